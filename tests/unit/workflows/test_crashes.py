"""From nipype's crash files to one message a session."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bids_xai.workflows.crashes import failures_from_crashes

HEAD = "Node: participant.{session}.{step}\nWorking directory: w\n\nNode inputs:\n\nseed = 0\n\n"
USER = "bids_xai.errors.BadDataError: the image is damaged [x.nii.gz]. Fix: copy it again."


def crash(folder: Path, number: int, session: str, step: str, *lines: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"crash-{number}-root-{step}-ab.txt"
    text = HEAD.format(session=session, step=step) + "Traceback (most recent call last):\n"
    path.write_text(text + "\n".join(lines) + "\n")
    return path


def test_a_users_error_speaks_for_itself_and_the_crash_is_kept(tmp_path: Path) -> None:
    made = crash(tmp_path / "c", 1, "sub01", "fit_0", '  File "x.py", line 3, in f', USER)
    logs = {"sub01": tmp_path / "logs" / "sub-01" / "run"}
    found = failures_from_crashes(tmp_path / "c", logs)
    assert found == {"sub01": "the image is damaged [x.nii.gz]. Fix: copy it again."}
    kept = tmp_path / "logs" / "sub-01" / "run" / made.name
    assert kept.read_bytes() == made.read_bytes()


def test_a_bug_gives_its_last_line_and_the_place_of_the_traceback(tmp_path: Path) -> None:
    made = crash(tmp_path / "c", 1, "sub01", "fit_0", "  in f", "ValueError: no such shape", "")
    found = failures_from_crashes(tmp_path / "c", {"sub01": tmp_path / "logs"})
    assert found == {
        "sub01": f"step fit_0 failed: ValueError: no such shape [{tmp_path / 'logs' / made.name}]. "
        "Fix: read that file; it has the traceback."
    }


def test_a_crash_without_a_reason_says_so(tmp_path: Path) -> None:
    crash(tmp_path / "c", 1, "sub01", "fit_0", "  nothing")
    found = failures_from_crashes(tmp_path / "c", {"sub01": tmp_path / "logs"})
    assert "step fit_0 failed: it gave no reason" in found["sub01"]


@pytest.mark.parametrize("line", ["MemoryError", "zlib.error: Error -3 while decompressing data"])
def test_errors_of_any_shape_are_told(tmp_path: Path, line: str) -> None:
    crash(tmp_path / "c", 1, "sub01", "fit_0", "\tTraceback (most recent call last):", f"\t{line}")
    found = failures_from_crashes(tmp_path / "c", {"sub01": tmp_path / "logs"})
    assert f"step fit_0 failed: {line}" in found["sub01"]


def test_the_first_crash_of_a_session_counts_and_all_are_kept(tmp_path: Path) -> None:
    crash(tmp_path / "c", 2, "sub01", "late", "ValueError: second")
    crash(tmp_path / "c", 1, "sub01", "early", "ValueError: first")
    crash(tmp_path / "c", 3, "sub02ses1", "fit_0", USER)
    logs = {"sub01": tmp_path / "a", "sub02ses1": tmp_path / "b", "sub03": tmp_path / "d"}
    found = failures_from_crashes(tmp_path / "c", logs)
    assert set(found) == {"sub01", "sub02ses1"}
    assert "step early failed: ValueError: first" in found["sub01"]
    assert len(list((tmp_path / "a").iterdir())) == 2
    assert not (tmp_path / "d").exists()


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    crash(folder, 1, "sub99", "fit_0", USER)
    (folder / "crash-2.txt").write_bytes(b"\xff\xfe no node")
    (folder / "nipype.cfg").write_text("Node: participant.sub01.fit_0\n")
    assert failures_from_crashes(folder, {"sub01": tmp_path / "logs"}) == {}
    assert failures_from_crashes(tmp_path / "gone", {"sub01": tmp_path / "logs"}) == {}
    assert not (tmp_path / "logs").exists()


# nipype itself writes the crashes here, in a process of its own: it configures itself globally
_GRAPH = """
import sys
from nipype.interfaces.utility import Function
from nipype.pipeline import engine as pe
def user():
    from bids_xai.errors import BadDataError
    raise BadDataError("the image is damaged", file="x.nii.gz", fix="copy it again")
def bug():
    raise ValueError("no such shape")
graph = pe.Workflow("participant", base_dir=sys.argv[1])
for name, function in (("sub01", user), ("sub02", bug)):
    session = pe.Workflow(name)
    session.add_nodes([pe.Node(Function(function=function), "fit_0")])
    graph.add_nodes([session])
graph.config["execution"] = {
    "crashdump_dir": sys.argv[2], "crashfile_format": "txt", "stop_on_first_crash": "false"}
try:
    graph.run()
except Exception:
    pass
"""


@pytest.fixture(scope="module")
def crashes_of_nipype(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("work")
    folder = tmp_path_factory.mktemp("crashes")
    script = work / "graph.py"  # nipype reads the functions' source
    script.write_text(_GRAPH)
    subprocess.run(
        [sys.executable, str(script), str(work), str(folder)],
        env=os.environ | {"NO_ET": "1", "NIPYPE_CONFIG_DIR": str(work)},
        capture_output=True,
        check=True,
        timeout=100,
    )
    assert len(list(folder.glob("crash-*.txt"))) == 2
    return folder


def test_a_users_error_is_found_in_what_nipype_writes(
    crashes_of_nipype: Path, tmp_path: Path
) -> None:
    logs = {"sub01": tmp_path / "1", "sub02": tmp_path / "2"}
    found = failures_from_crashes(crashes_of_nipype, logs)
    assert found["sub01"] == "the image is damaged [x.nii.gz]. Fix: copy it again."


def test_a_bug_is_found_in_what_nipype_writes(crashes_of_nipype: Path, tmp_path: Path) -> None:
    logs = {"sub01": tmp_path / "1", "sub02": tmp_path / "2"}
    found = failures_from_crashes(crashes_of_nipype, logs)
    assert "step fit_0 failed: ValueError: no such shape" in found["sub02"]


def test_sessions_are_told_apart_in_what_nipype_writes(
    crashes_of_nipype: Path, tmp_path: Path
) -> None:
    logs = {"sub01": tmp_path / "1", "sub02": tmp_path / "2"}
    found = failures_from_crashes(crashes_of_nipype, logs)
    assert set(found) == {"sub01", "sub02"}
    assert all("fit_0" in message or "damaged" in message for message in found.values())
    assert len(list((tmp_path / "1").iterdir())) == len(list((tmp_path / "2").iterdir())) == 1
