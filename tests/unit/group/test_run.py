"""Which steps run, what a run leaves, and what happens where a step fails."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest

from bids_xai.bids.files import write_json
from bids_xai.cli.main import main
from bids_xai.errors import OtherRunError, UsageError
from bids_xai.group import STEPS
from bids_xai.group.context import GroupContext
from bids_xai.group.failures import report_failure
from bids_xai.group.run import find_template, run_group, selected_steps, with_idle_threads
from bids_xai.settings import RunSettings


def settings(**options: Any) -> RunSettings:
    return RunSettings(Path("/in"), Path("/out"), "group", **options)


def page_of(output_dir: Path) -> str:
    return (output_dir / "group_quick.html").read_text()


def test_steps_keep_their_order_and_pages_alone_are_one_step() -> None:
    assert selected_steps(settings()) == list(STEPS)
    assert selected_steps(settings(steps=("train", "cohort"))) == ["cohort", "train"]
    assert selected_steps(settings(reports_only=True)) == ["report"]
    with pytest.raises(UsageError, match="cannot be combined"):
        selected_steps(settings(reports_only=True, steps=("train",)))


def test_a_run_leaves_a_log_and_its_settings_and_a_dry_one_nothing(
    derivatives: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NO_ET",
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
        "CUBLAS_WORKSPACE_CONFIG",
    ):
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

    stamp = derivatives.out / "logs" / "sub-AD0" / "sub-AD0.json"
    write_json(stamp, {"settings": {"sloppy": True}})
    before = sorted(path for path in derivatives.raw.rglob("*"))
    assert main(command) == 0
    (file,) = derivatives.out.glob("logs/*/run.log")
    text = file.read_text()
    assert "cohort: 8 scans of 8 participants included" in text
    assert "DEBUG" in text
    assert "excluded: 1 scans, " in text
    assert "step cohort: " in text
    assert (file.parent / "settings.toml").is_file()
    shown = capsys.readouterr().err
    assert "excluded: 1 scans" not in shown
    assert "1 of the scans were preprocessed with --sloppy" in shown
    description = json.loads((derivatives.out / "group" / "quick" / "study.json").read_text())
    assert description["sloppy_scans"] == 1
    assert f"log in {file}" in shown
    assert main(command) == 0
    assert len(list(derivatives.out.glob("logs/*/run.log"))) == 2  # a folder a command
    assert sorted(path for path in derivatives.raw.rglob("*")) == before

    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("RANK", "1")  # of torchrun, whose first process alone writes
    assert main(command) == 0
    assert len(list(derivatives.out.glob("logs/*/run.log"))) == 2


def test_any_error_of_a_step_is_shown_and_raised(
    derivatives: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in the training, in a run from its beginning: the page has the true numbers."""
    derivatives.people(
        "participant_id\tdiagnosis\n"
        + "".join(f"sub-{i:02d}\t{('NC', 'AD')[i % 2]}\n" for i in range(12))
    )
    for i in range(12):
        derivatives.scan(f"{i:02d}")

    def broken(_: object) -> list[Path]:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("bids_xai.group.train.step.run", broken)
    chosen = RunSettings(
        derivatives.raw,
        derivatives.out,
        "group",
        study="quick",
        steps=("cohort", "train"),
        skip_bids_validation=True,
    )
    with pytest.raises(ZeroDivisionError):
        run_group(chosen)
    page = page_of(derivatives.out)
    assert "The step train failed" in page
    assert "ZeroDivisionError: a bug" in page
    assert "12 scans of 12 participants: 6 of AD and 6 of NC." in page
    monkeypatch.setattr("bids_xai.group.cohort.step.plan", broken)
    (derivatives.out / "group_quick.html").unlink()
    with pytest.raises(ZeroDivisionError):
        run_group(dataclasses.replace(chosen, steps=("cohort",)))
    assert "The step cohort failed" in page_of(derivatives.out)


def test_a_study_has_one_run_at_a_time_and_trainings_go_side_by_side(
    derivatives: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    derivatives.people("participant_id\tdiagnosis\n")
    derivatives.scan("01")
    cohort = RunSettings(
        derivatives.raw,
        derivatives.out,
        "group",
        study="quick",
        steps=("cohort",),
        skip_bids_validation=True,
    )
    train = dataclasses.replace(cohort, steps=("train",))
    ran = []

    def step(context: GroupContext) -> list[Path]:
        ran.append(context.settings.steps)
        if ran == [cohort.steps]:
            with pytest.raises(OtherRunError, match=f"working here: process {os.getpid()} on "):
                run_group(cohort)
            run_group(train)
        return []

    monkeypatch.setattr("bids_xai.group.cohort.step.run", step)
    monkeypatch.setattr("bids_xai.group.train.step.run", step)
    run_group(cohort)
    assert ran == [cohort.steps, train.steps]
    folder = derivatives.out / "group" / "quick"
    assert not (folder / "problems.json").exists()  # nothing of the study is at fault
    assert list(folder.parent.glob(".*")) == []


def test_a_refused_training_is_no_problem_of_the_study(derivatives: Any) -> None:
    derivatives.scan("01")
    context = derivatives.context()
    report_failure(context, "train", OtherRunError("another run is working here"))
    assert not (derivatives.out / "group" / "quick" / "problems.json").exists()
    report_failure(context, "train", UsageError("another mistake"))
    assert (derivatives.out / "group" / "quick" / "problems.json").exists()


def test_the_template_is_that_of_the_transforms(derivatives: Any) -> None:
    derivatives.scan("01", "1")
    settings = derivatives.context().settings
    assert find_template(settings) == "MNI152NLin2009aSym"  # first by name: not asked for any


@pytest.mark.parametrize(("idle", "n_threads"), [(1, 1), (3, 3), (8, 4)])
def test_networks_get_no_more_threads_than_there_are_idle_processors(
    idle: int, n_threads: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bids_xai.group.run.free_cpus", lambda available: min(idle, available))
    with caplog.at_level("INFO", logger="bids_xai"):
        assert with_idle_threads(settings(nprocs=4)).training_threads == n_threads
    assert (f"{idle} of 4 processors are idle" in caplog.text) == (idle < 4)
