"""Which steps run, and the page that is left where one of them fails."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bids_xai.bids.files import write_json
from bids_xai.cli.main import main
from bids_xai.errors import BadDataError, InterruptedRunError, UsageError
from bids_xai.group import STEPS
from bids_xai.group.failures import forget, report_failure
from bids_xai.group.run import _chosen, run_group
from bids_xai.reports.study.page import write_group_page
from bids_xai.settings import RunSettings


def settings(**options: Any) -> RunSettings:
    return RunSettings(Path("/in"), Path("/out"), "group", **options)


def test_steps_keep_their_order_and_pages_alone_are_one_step() -> None:
    assert _chosen(settings()) == list(STEPS)
    assert _chosen(settings(steps=("train", "cohort"))) == ["cohort", "train"]
    assert _chosen(settings(reports_only=True)) == ["report"]
    with pytest.raises(UsageError, match="do not go together"):
        _chosen(settings(reports_only=True, steps=("train",)))


def context(output_dir: Path, **options: Any) -> Any:
    folder = output_dir / "group" / "quick"
    study = SimpleNamespace(name="quick")
    chosen = RunSettings(Path("/in"), output_dir, "group", **options)
    return cast(
        "Any", SimpleNamespace(output_dir=output_dir, folder=folder, study=study, settings=chosen)
    )


def page_of(output_dir: Path) -> str:
    return (output_dir / "group_quick.html").read_text()


def test_a_failed_step_leaves_a_page_that_says_so(tmp_path: Path) -> None:
    error = BadDataError("the loss is not a number", file="a.tsv", fix="lower the rate")
    here = context(tmp_path)
    report_failure(here, "train", InterruptedRunError("stopped"))
    assert not list(tmp_path.glob("*.html"))  # stopped is not failed
    report_failure(here, "train", error)  # nothing else is there to be shown
    page = page_of(tmp_path)
    assert "The step train failed" in page
    assert "the loss is not a number [a.tsv]. Fix: lower the rate." in page
    assert page.index("The step train failed") < page.index("cohort.tsv")


def test_a_study_that_was_refused_shows_why_and_no_empty_sections(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    here = context(tmp_path)
    report_failure(here, "cohort", BadDataError("fewer than two classes", fix="add controls"))
    page = page_of(tmp_path)
    assert "fewer than two classes. Fix: add controls." in page
    assert "The study did not begin" in page
    assert page.count("<h2") == 1
    assert "is shown in" not in caplog.text
    here.folder.mkdir(parents=True, exist_ok=True)
    (here.folder / "cohort.tsv").write_text("participant_id\tincluded\n")
    report_failure(here, "cohort", BadDataError("fewer than two classes", fix="add controls"))
    page = page_of(tmp_path)  # what an earlier run left is still shown
    assert "The study did not begin" not in page
    assert page.count("<h2") > 5
    assert "is shown in" in caplog.text


def test_what_was_sloppy_is_said_on_the_page(tmp_path: Path) -> None:
    study = tmp_path / "group" / "quick" / "study.json"
    study.parent.mkdir(parents=True)
    for content, said in (
        ({}, []),
        ({"sloppy": False, "sloppy_scans": 0}, []),
        ({"sloppy": True}, ["Made with --sloppy"]),
        ({"sloppy_scans": 12}, ["12 scans had coarse masks"]),
    ):
        study.write_text(json.dumps(content))
        page = page_of(write_group_page(tmp_path, "quick").parent)
        assert ("sloppy" in page) == bool(said)
        assert all(text in page for text in said)


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
    assert "left out: 1 scans, " in text
    assert "step cohort: " in text
    assert (file.parent / "settings.toml").is_file()
    shown = capsys.readouterr().err
    assert "left out: 1 scans" not in shown
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


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("odd shape"), "ValueError: odd shape. This looks like a bug. Fix: "),
        (OSError(28, "No space left on device", "/x"), "No space left on device"),
        (MemoryError(), "out of memory (no more is known). Fix: take a smaller batch"),
    ],
)
def test_what_failed_is_said_until_the_step_succeeds(
    tmp_path: Path, error: Exception, words: str
) -> None:
    here = context(tmp_path)
    report_failure(here, "explain", error)
    assert words in page_of(tmp_path)
    write_group_page(tmp_path, "quick")  # as --reports-only does
    assert words in page_of(tmp_path)
    forget(here, "cohort")
    assert words in write_group_page(tmp_path, "quick").read_text()
    forget(here, "explain")
    assert words not in write_group_page(tmp_path, "quick").read_text()
    assert not list(tmp_path.rglob("problems.json"))


def test_a_part_of_the_trainings_mends_that_part_alone(tmp_path: Path) -> None:
    one, other = (context(tmp_path, configuration=("A",), split=(k,)) for k in (0, 1))
    report_failure(one, "train", BadDataError("first"))
    report_failure(other, "train", BadDataError("second"))
    forget(one, "train")
    file = tmp_path / "group" / "quick" / "problems.json"
    assert json.loads(file.read_text()) == {"train --configuration A --split 1": "second."}
    forget(context(tmp_path), "train")
    assert not file.exists()


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

    monkeypatch.setattr("bids_xai.group.train.run", broken)
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
