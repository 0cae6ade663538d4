"""Jobs in nipype graphs: order, failures, progress, and what is left behind."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bids_xai.workflows.jobs import SessionJob


def job(label: str, folder: Path) -> SessionJob:
    return SessionJob(label, label, folder / f"{label}.json", "digest", lambda name: name)


def test_names_fit_nipype_and_tell_labels_apart(tmp_path: Path) -> None:
    labels = ["sub-01_ses-1", "sub-01ses1", "sub-a+b", "sub-ab"]
    names = [job(label, tmp_path).name for label in labels]
    assert len(set(names)) == len(labels)
    assert names[0] == "sub-01_ses-1"
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_") for name in names)


# nipype configures itself globally and starts processes: each run in one of its own
_RUN = """
import logging, sys
from functools import partial
from pathlib import Path
from nipype.interfaces.utility import Function
from nipype.pipeline import engine as pe
from bids_xai.settings import OutputSpace, RunSettings
from bids_xai.workflows.engine import run_jobs
from bids_xai.workflows.jobs import SessionJob

OUT = Path(sys.argv[1])

def step(name, wait, log, mode):
    import os, time
    if name == "sub-2":
        if mode == "kill":
            os.kill(os.getpid(), 9)
        from bids_xai.errors import BadDataError
        raise BadDataError("the image is damaged", file="x.nii.gz", fix="copy it again")
    time.sleep(wait)
    with open(log, "a") as stream:
        stream.write(name + "\\n")
    return name

def publish(ready, stamp, root):
    from pathlib import Path
    from bids_xai.bids.stamps import write_stamp
    write_stamp(Path(stamp), "digest", Path(root), [])
    return stamp

def graph(name, stamp):
    made = pe.Workflow(name)
    first, second = (
        pe.Node(Function(function=step, output_names=["out"]), f"step_{i}") for i in (1, 2)
    )
    last = pe.Node(Function(function=publish, output_names=["out"]), "publish")
    for node in (first, second):
        # where the failure of one session ends the run, the others last until it is known
        node.inputs.wait = 1.0 if sys.argv[3] == "stop" else 0.01
        node.inputs.log = str(OUT / "order.txt")
        node.inputs.mode = sys.argv[3]
    first.inputs.name = name
    last.inputs.stamp, last.inputs.root = str(stamp), str(OUT)
    made.connect([(first, second, [("out", "name")]), (second, last, [("out", "ready")])])
    return made

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    settings = RunSettings(
        bids_dir=OUT, output_dir=OUT, analysis_level="participant", nprocs=int(sys.argv[2]),
        stop_on_first_crash=sys.argv[3] == "stop",
        use_plugin=Path(sys.argv[4]) if len(sys.argv) > 4 else None,
    )
    jobs = [
        SessionJob(f"sub-{i}", str(i), OUT / f"sub-{i}.json", "digest",
            partial(graph, stamp=OUT / f"sub-{i}.json"))
        for i in range(1, 6)
    ]
    outcome = run_jobs(jobs, settings, "working")
    print("DONE", outcome.done)
    print("FAILED", outcome.failed)
"""


def run(folder: Path, nprocs: int, mode: str = "go", *plugin: Path, code: str = _RUN) -> str:
    script = folder / "run.py"
    script.write_text(code)
    out = folder / "out"
    out.mkdir()
    done = subprocess.run(
        [sys.executable, str(script), str(out), str(nprocs), mode, *map(str, plugin)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module", params=[1, 2])
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "said.txt").write_text(run(folder, request.param))
    return folder


def test_a_failure_is_told_and_stops_no_other(finished: Path) -> None:
    said = (finished / "said.txt").read_text()
    assert "DONE ['sub-1', 'sub-3', 'sub-4', 'sub-5']" in said
    assert "FAILED {'sub-2': 'the image is damaged [x.nii.gz]. Fix: copy it again.'}" in said


def test_sessions_are_finished_one_after_the_other(finished: Path) -> None:
    order = (finished / "out" / "order.txt").read_text().split()
    assert sorted(order) == sorted(["sub-1", "sub-3", "sub-4", "sub-5"] * 2)
    for name in ("sub-1", "sub-3", "sub-4", "sub-5"):
        first, second = (i for i, other in enumerate(order) if other == name)
        assert second - first <= 3  # breadth first would give 4


def test_progress_comes_with_every_session(finished: Path) -> None:
    said = (finished / "said.txt").read_text()
    assert all(f"[{number}/5] sub-" in said for number in range(1, 6))
    assert said.count("/5] sub-2 failed") == 1  # who failed has ended, too
    assert len(re.findall(r"/5\] sub-\d done", said)) == 4


def test_nothing_is_left_but_the_failed_session(finished: Path) -> None:
    left = [path.name for path in (finished / "out" / "work" / "participant").iterdir()]
    assert left == ["sub-2"]
    kept = list((finished / "out" / "logs" / "sub-2").rglob("crash-*.txt"))
    assert len(kept) == 1


def test_the_first_crash_stops_the_run_where_asked(tmp_path: Path) -> None:
    said = run(tmp_path, 1, "stop")
    assert "DONE ['sub-1']" in said
    assert "'sub-5': 'not processed: the run stopped before it'" in said


def test_a_killed_process_takes_its_own_session_only(tmp_path: Path) -> None:
    """As the system kills where memory runs out."""
    said = run(tmp_path, 2, "kill")
    assert "DONE ['sub-1', 'sub-3', 'sub-4', 'sub-5']" in said
    assert "continuing with 1" in said
    assert "FAILED {'sub-2': 'its process was killed" in said


def test_stopping_leaves_the_rest_where_processes_run_side_by_side(tmp_path: Path) -> None:
    said = run(tmp_path, 2, "stop")
    assert "'sub-2': 'the image is damaged" in said
    assert "'sub-5': 'not processed: the run stopped before it'" in said


@pytest.mark.parametrize("name", ["Linear", "MultiProc"])
def test_a_plugin_of_the_user_runs_all_sessions(tmp_path: Path, name: str) -> None:
    file = tmp_path / "plugin.yml"
    arguments = "plugin_args: {n_procs: 2, mp_context: forkserver}" if name == "MultiProc" else ""
    file.write_text(f"plugin: {name}\n{arguments}\n")
    said = run(tmp_path, 1, "go", file)
    assert f"5 session(s) by {file}" in said
    assert "DONE ['sub-1', 'sub-3', 'sub-4', 'sub-5']" in said
    assert "FAILED {'sub-2': 'the image is damaged [x.nii.gz]" in said
    left = [path.name for path in (tmp_path / "out" / "work" / "participant").iterdir()]
    assert left == ["sub-2"]


@pytest.mark.parametrize("nprocs", [1, 2])
def test_the_log_of_the_run_has_reasons_and_tracebacks_of_all_processes(
    tmp_path: Path, nprocs: int
) -> None:
    plain = 'logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)'
    logged = 'from bids_xai.bids import run_log; run_log.start(["bids_xai"])'
    assert plain in _RUN
    run(tmp_path, nprocs, code=_RUN.replace(plain, logged))
    (file,) = (tmp_path / "out" / "logs").glob("2*/run.log")
    text = file.read_text()
    assert "working: sub-2, since it has not been done" in text
    assert "Traceback of Node" in text or "Traceback (most recent call last)" in text
    assert "BadDataError: the image is damaged" in text
    (told,) = [line for line in text.splitlines() if "nipype ended with" in line]  # by the worker
    own = text.splitlines()[0].partition("[")[2].partition("]")[0]
    assert (f"[{own}]" in told) == (nprocs == 1)
    (settings,) = (tmp_path / "out" / "logs").glob("2*/settings.toml")
    assert settings.parent == file.parent
    participant = tmp_path / "out" / "logs" / "sub-2" / file.parent.name
    assert {path.name[:5] for path in participant.iterdir()} == {"setti", "crash"}
