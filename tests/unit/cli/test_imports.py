"""What a command loads before it knows that there is work: nothing that is slow to load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qc_cases import usual_but_two

from bids_xai.bids.files import write_json, write_nifti, write_text
from bids_xai.bids.stamps import write_stamp
from bids_xai.group import STEPS
from bids_xai.settings import EMBEDDED_TEMPLATE, OutputSpace, RunSettings
from bids_xai.workflows import participant as level
from bids_xai.workflows.jobs import Outcome

SLOW = ("torch", "sklearn", "matplotlib", "nilearn", "pandas", "nipype", "ants", "bids")


def slow_of(code: str, *words: str) -> list[str]:
    """The libraries among ``SLOW`` that a process has loaded after some code."""
    tail = f"\nimport json, sys\nprint(json.dumps([n for n in {SLOW} if n in sys.modules]))"
    run = subprocess.run(
        [sys.executable, "-c", code + tail, *words],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    names: list[str] = json.loads(run.stdout.splitlines()[-1])
    return names


def test_a_library_that_is_loaded_would_be_seen() -> None:
    assert slow_of("import bids_xai.figures.style") == ["matplotlib"]


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_load_little(option: str) -> None:
    code = (
        "import sys\nfrom bids_xai.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "assert 'scipy' not in sys.modules"
    )
    assert slow_of(code, option) == []


def test_steps_and_levels_load_slow_libraries_where_there_is_work() -> None:
    modules = [entry.partition(":")[0] for entry in STEPS.values()]
    modules += ["bids_xai.group.run", "bids_xai.workflows.participant", "bids_xai.cli.summary"]
    assert slow_of("\n".join(f"import {module}" for module in modules)) == []


RUN = (
    "import sys\nfrom bids_xai.cli.main import main\n"
    "assert main(sys.argv[1:]) == 0, 'the run failed'\n"
)


def test_pages_that_are_up_to_date_need_no_library_that_draws(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_json(raw / "dataset_description.json", {"Name": "tiny", "BIDSVersion": "1.10.0"})
    usual_but_two(out)
    write_text(out / "sub-00" / "anat" / "sub-00_from-T1w_to-A_mode-image_xfm.h5", "")
    command = [str(raw), str(out), "group", "--steps", "qc", "report"]
    assert "matplotlib" in slow_of(RUN, *command)
    pages = sorted(out.glob("*.html"))
    before = [page.stat().st_mtime_ns for page in pages]
    assert [page.name for page in pages] == ["group_qc.html", "group_quick.html"]
    assert slow_of(RUN, *command) == []
    assert [page.stat().st_mtime_ns for page in pages] == before


def test_a_session_that_is_up_to_date_needs_no_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stamp of the session is written as a run would leave it."""
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_json(raw / "dataset_description.json", {"Name": "tiny", "BIDSVersion": "1.10.0"})
    (raw / "sub-01" / "anat").mkdir(parents=True)
    write_nifti(raw / "sub-01" / "anat" / "sub-01_T1w.nii.gz", np.ones((2, 2, 2)), np.eye(4))
    settings = RunSettings(
        *(raw, out, "participant"),
        inputs=("T1w",),
        output_spaces=(OutputSpace(EMBEDDED_TEMPLATE),),
        nprocs=1,
    )

    def run(jobs: Any, *_: Any, **__: Any) -> Outcome:
        for job in jobs:
            write_stamp(job.stamp, job.digest, out, [])
        return Outcome(done=[job.label for job in jobs])

    monkeypatch.setattr(level, "run_jobs", run)
    monkeypatch.setattr(level, "ready_templates", lambda _: [])
    assert level.run_participants(settings).done == ["sub-01"]
    command = [str(raw), str(out), "participant", "--inputs", "T1w", "--nprocs", "1"]
    command += ["--output-spaces", EMBEDDED_TEMPLATE]
    assert slow_of(RUN, *command) == []
    write_text(raw / "sub-01" / "anat" / "sub-01_T1w.json", "{}")
    assert "bids" in slow_of(RUN, *command, "--dry-run")
