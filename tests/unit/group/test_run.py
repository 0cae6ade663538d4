"""Which steps run, and the page that is left where one of them fails."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bids_xai.cli.main import main
from bids_xai.errors import BadDataError, InterruptedRunError, UsageError
from bids_xai.group import STEPS
from bids_xai.group.run import _chosen, _report_failure
from bids_xai.settings import RunSettings


def settings(**options: Any) -> RunSettings:
    return RunSettings(Path("/in"), Path("/out"), "group", **options)


def test_steps_keep_their_order_and_pages_alone_are_one_step() -> None:
    assert _chosen(settings()) == list(STEPS)
    assert _chosen(settings(steps=("train", "cohort"))) == ["cohort", "train"]
    assert _chosen(settings(reports_only=True)) == ["report"]
    with pytest.raises(UsageError, match="do not go together"):
        _chosen(settings(reports_only=True, steps=("train",)))


def context(output_dir: Path) -> Any:
    folder = output_dir / "group" / "quick"
    return cast(
        "Any",
        SimpleNamespace(output_dir=output_dir, folder=folder, study=SimpleNamespace(name="quick")),
    )


def test_a_failed_step_leaves_a_page_that_says_so(tmp_path: Path) -> None:
    error = BadDataError("the loss is not a number", file="a.tsv", fix="lower the rate")
    here = context(tmp_path)
    _report_failure(here, "train", error)
    assert not list(tmp_path.iterdir())  # nothing was there to be shown
    here.folder.mkdir(parents=True)
    _report_failure(here, "train", InterruptedRunError("stopped"))
    assert not list(tmp_path.glob("*.html"))  # stopped is not failed
    _report_failure(here, "train", error)
    page = (tmp_path / "group_quick.html").read_text()
    assert "The step train failed" in page
    assert "the loss is not a number [a.tsv]. Fix: lower the rate." in page
    assert page.index("The step train failed") < page.index("cohort.tsv")


def test_a_run_leaves_a_log_and_its_settings_and_a_dry_one_nothing(
    derivatives: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NO_ET",
                 "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "CUBLAS_WORKSPACE_CONFIG"):  # fmt: skip
        monkeypatch.setenv(name, "1")  # main() sets them: put back after the test
    (derivatives.raw / "dataset_description.json").write_text(
        json.dumps({"Name": "tiny", "BIDSVersion": "1.10.0"})
    )
    lines = ["participant_id\tdiagnosis", "sub-late\tMCI"]
    derivatives.scan("late")
    for kind in ("NC", "AD"):
        for number in range(4):
            derivatives.scan(f"{kind}{number}")
            lines.append(f"sub-{kind}{number}\t{kind}")
    derivatives.people("\n".join(lines) + "\n")
    command = [str(derivatives.raw), str(derivatives.out), "group", "--steps", "cohort"]
    monkeypatch.setattr("bids_xai.group.run.say_what_would_be_done", lambda *of: None)
    assert main([*command, "--dry-run"]) == 0
    assert not (derivatives.out / "logs").exists()

    before = sorted(path for path in derivatives.raw.rglob("*"))
    assert main(command) == 0
    (file,) = derivatives.out.glob("logs/*/run.log")
    text = file.read_text()
    assert "cohort: 8 scans of 8 participants included" in text
    assert "DEBUG" in text
    assert "left out: 1 scans, " in text
    assert "step cohort: " in text
    assert (file.parent / "settings.toml").is_file()
    shown = capsys.readouterr().err
    assert "left out: 1 scans" not in shown
    assert f"log in {file}" in shown
    assert main(command) == 0
    assert len(list(derivatives.out.glob("logs/*/run.log"))) == 2  # a folder a command
    assert sorted(path for path in derivatives.raw.rglob("*")) == before

    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("RANK", "1")  # of torchrun, whose first process alone writes
    assert main(command) == 0
    assert len(list(derivatives.out.glob("logs/*/run.log"))) == 2
