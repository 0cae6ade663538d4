"""The end of a run: what was written, what failed, what is worth a look, the next command."""

from __future__ import annotations

import errno
import json
import logging
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bids_xai.bids import run_log
from bids_xai.cli.main import main
from bids_xai.cli.parser import parse_settings
from bids_xai.cli.summary import GroupSummary, say_participants
from bids_xai.errors import BadDataError, InterruptedRunError
from bids_xai.settings import RunSettings
from bids_xai.tables.spray import CLUSTER_VERDICTS, ClusterVerdict
from bids_xai.tables.trust import VERDICTS, CheckVerdict

Said = Callable[[], list[str]]


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Said:
    caplog.set_level(logging.INFO, "bids_xai")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "participants.tsv").write_text("participant_id\tdiagnosis\nsub-01\tAD\nsub-02\tNC\n")
    return folder


def finished(**outcome: Any) -> Any:
    empty = {"done": [], "unchanged": [], "failed": {}, "pages": []}
    return cast("Any", SimpleNamespace(**{**empty, **outcome}))


def next_step(raw: Path, said: Said, *options: str) -> str:
    """What is said to do after a participant level that went well."""
    words = [str(raw), str(raw.parent / "out"), "participant", *options]
    say_participants(parse_settings(words), words, finished(done=["sub-01"]), 3.0)
    (line,) = [text for text in said() if text.startswith("next: ")]
    return line


def group_words(line: str) -> list[str]:
    """The words after the positional ones of the command in a line."""
    words = shlex.split(line.partition("  bids_xai ")[2])
    assert words[2] == "group"
    parse_settings(words)  # it can be given as it stands
    return words[3:]


def test_after_r2star_and_a_diagnosis_comes_the_quick_study(raw: Path, said: Said) -> None:
    line = next_step(raw, said)
    assert group_words(line) == ["--study", "quick"]
    assert "docs/studies.md" not in line


def test_what_the_group_level_needs_is_carried_over(raw: Path, said: Said) -> None:
    line = next_step(
        raw,
        said,
        "--output-spaces",
        "MNI152NLin2009aSym:res-3",
        "--atlas",
        "A=/a b.nii.gz",
        "-d",
        "truth=/t",
        "--random-seed",
        "3",
        "--skip-bids-validation",
        "--rician",
        "--sloppy",
        "--nprocs",
        "64",
        "--noise-floor",
        "2",
    )
    words = group_words(line)
    settings = parse_settings([str(raw), "/out", "group", *words])
    assert [str(space) for space in settings.output_spaces] == ["MNI152NLin2009aSym:res-3"]
    assert settings.atlas == ("A=/a b.nii.gz",)
    assert settings.derivatives == (("truth", Path("/t")),)
    assert settings.random_seed == 3
    assert settings.skip_bids_validation
    assert settings.nprocs == 64
    assert not {"--rician", "--sloppy", "--noise-floor"} & {*words}  # of the other level, or no use


@pytest.mark.parametrize(
    ("options", "people"),
    [
        (["--inputs", "T1w"], None),
        (["--inputs", "FLAIR"], None),
        ([], "participant_id\tgroup\nsub-01\tAD\nsub-02\tNC\n"),
        ([], "participant_id\tdiagnosis\nsub-01\tMS\nsub-02\tHC\n"),
        ([], ""),
    ],
)
def test_where_the_quick_study_would_fail_one_is_to_be_copied(
    options: list[str], people: str | None, raw: Path, said: Said
) -> None:
    if people is not None:
        (raw / "participants.tsv").write_text(people)
    line = next_step(raw, said, *options)
    assert group_words(line)[:2] == ["--study", "mine.toml"]
    assert "docs/studies.md" in line


def test_one_of_many_participants_waits_for_the_others(raw: Path, said: Said) -> None:
    assert "once all are done" in next_step(raw, said, "--participant-label", "01")


def test_what_failed_comes_last_with_the_command_to_go_on(raw: Path, said: Said) -> None:
    words = [str(raw), "my out", "participant", "-w", "w"]
    run = finished(failed={"sub-02": "no echo", "sub-01": "no T1w"}, done=["sub-03"])
    say_participants(parse_settings(words), words, run, 3.0)
    lines = said()
    assert lines[-2:] == ["failed: sub-01: no T1w", "failed: sub-02: no echo"]
    assert lines[-3].endswith(f"  bids_xai {raw} 'my out' participant -w w")
    assert "1 session(s) done, 0 unchanged, 2 failed in 3 s; pages in" in lines[0]


def cluster(number: int, finding: str, verdict: str) -> ClusterVerdict:
    return ClusterVerdict(
        configuration="A",
        space="T1w",
        rank=number,
        cluster=number,
        finding=finding,
        strength=0.5,
        n=4,
        stability=0.9,
        survives=True,
        verdict=verdict,
        examples=None,
    )


def check(
    name: str, split: int | None, passed: bool | None, verdict: str, **of: Any
) -> CheckVerdict:
    about = {"configuration": "A", "method": "lrp-zplus", "region": None, "n": 3, "value": 0.5}
    return CheckVerdict(**{**about, **of}, split=split, check=name, passed=passed, verdict=verdict)


CLUSTERS = [cluster(2, "suspicious", "it follows the scanner"), cluster(1, "none", "nothing")]
MUTE = "fails: the network gives nearly the same output for every scan"
CHECKS = [
    check("aopc", None, True, "passes"),
    check("network", 1, False, MUTE, configuration="B", method=None),
    check("aopc", 1, None, "undecided", configuration="B"),
]


def trained(out: Path, study: str, configuration: str, split: int, suffix: str) -> None:
    folder = out / "models" / study / configuration / f"split-{split}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.json").write_text(json.dumps({"suffix": suffix}))
    (folder / "stamp.json").write_text("{}")


def group(raw: Path, *options: str) -> tuple[RunSettings, list[str]]:
    words = [str(raw), str(raw.parent / "out"), "group", *options]
    return parse_settings(words), words


def test_the_group_level_tells_of_trainings_page_and_next_command(raw: Path, said: Said) -> None:
    settings, words = group(raw, "--output-spaces", "MNI152NLin2009aSym")
    out = settings.output_dir
    trained(out, "quick", "A", 0, "R2starmap")
    trained(out, "quick", "A", 1, "R2starmap")
    summary = GroupSummary(settings, words)
    os.utime(out / "models/quick/A/split-1/stamp.json", ns=(1, 1))
    trained(out, "quick", "B", 0, "R2starmap")
    trained(out, "other", "A", 0, "R2starmap")  # by another run at the same time
    summary.say_done(out / "group_quick.html")
    written, ahead = said()
    assert written == (
        f"written: 2 training(s) made, 1 unchanged; the page {out / 'group_quick.html'}"
    )
    command = shlex.split(ahead.partition("  bids_xai ")[2])
    assert command[2:5] == ["participant", "--model", str(out / "models/quick/A/split-0")]
    assert command[5:] == ["--output-spaces", "MNI152NLin2009aSym:res-2"]
    parse_settings(command)


def test_the_group_level_names_the_page_of_quality(raw: Path, said: Said) -> None:
    settings, words = group(raw, "--steps", "qc")
    page = settings.output_dir / "group_qc.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("")
    GroupSummary(settings, words).say_done(None)
    assert f"written: the page {page}" in said()


def test_a_model_of_other_images_is_given_those(raw: Path, said: Said) -> None:
    settings, words = group(raw)
    trained(settings.output_dir, "quick", "A", 0, "T1w")
    GroupSummary(settings, words).say_done(Path("page.html"))
    assert said()[-1].endswith("--inputs T1w")


def test_a_model_that_says_the_same_of_every_scan_is_not_the_one_named(
    raw: Path, said: Said
) -> None:
    settings, words = group(raw)
    out = settings.output_dir
    trained(out, "quick", "B", 1, "R2starmap")
    table = out / "group" / "quick" / "quality" / "summary.tsv"
    VERDICTS.write(table, CHECKS)
    GroupSummary(settings, words).say_done(Path("page.html"))
    assert str(out / "models/quick/B/split-1") in said()[-1]  # there is no other
    trained(out, "quick", "C", 0, "R2starmap")
    GroupSummary(settings, words).say_done(Path("page.html"))
    assert said()[-1].endswith(f"--model {out / 'models/quick/C/split-0'}")


def test_a_part_of_the_group_level_names_the_whole(raw: Path, said: Said) -> None:
    settings, words = group(
        raw,
        "--steps",
        "train",
        "--configuration",
        "A",
        "--split",
        "1",
        "--sloppy",
        "--random-seed",
        "2",
    )
    trained(settings.output_dir, "quick", "A", 0, "R2starmap")
    summary = GroupSummary(settings, words)
    trained(settings.output_dir, "quick", "A", 1, "R2starmap")
    summary.say_done(None)
    written, ahead = said()
    assert written == "written: 1 training(s) made, 0 unchanged"  # split 0 is another task's
    assert group_words(ahead) == ["--study", "quick", "--sloppy", "--random-seed", "2"]


def worth_a_look(raw: Path, said: Said, *options: str) -> list[str]:
    settings, words = group(raw, *options)
    folder = settings.output_dir / "group" / "quick"
    CLUSTER_VERDICTS.write(folder / "spray" / "verdicts.tsv", CLUSTERS)
    VERDICTS.write(folder / "quality" / "summary.tsv", CHECKS)
    GroupSummary(settings, words).say_done(None)
    return [text for text in said() if text.startswith("look at: ")]


def test_suspicious_clusters_and_failed_checks_are_worth_a_look(raw: Path, said: Said) -> None:
    spray, checks = worth_a_look(raw, said)
    assert "1 of 2 cluster(s) of heatmaps suspicious" in spray
    assert "configuration A, space T1w, cluster 2: it follows the scanner" in spray
    assert "verdicts.tsv" in spray
    assert "1 of 3 check(s) of the heatmaps failed" in checks
    assert "configuration B, split 1, check network: fails: the network gives" in checks


def test_tables_of_steps_that_did_not_run_are_left_alone(raw: Path, said: Said) -> None:
    assert worth_a_look(raw, said, "--steps", "train") == []


def test_there_is_nothing_to_mend_after_a_signal(raw: Path, said: Said) -> None:
    settings, words = group(raw, "--steps", "train")
    GroupSummary(settings, words).say_stopped(InterruptedRunError("stopped by SIGTERM"))
    GroupSummary(settings, words).say_stopped(BadDataError("damaged"))
    stopped, failed = said()
    assert stopped.startswith("next: continue with  bids_xai ")
    assert stopped.endswith("group --steps train")
    assert failed.startswith("next: correct what is named below, and continue with  bids_xai ")


@pytest.fixture
def dataset(raw: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NO_ET",
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
        "CUBLAS_WORKSPACE_CONFIG",
    ):
        monkeypatch.setenv(name, "1")  # main() sets them: put back after the test
    return raw


@pytest.mark.parametrize("error", [BadDataError("the loss is wrong"), ValueError("a bug")])
def test_a_step_that_fails_is_told_with_its_traceback_in_the_log(
    error: Exception,
    dataset: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(settings: RunSettings, **options: bool) -> None:
        run_log.begin(settings)
        raise error

    monkeypatch.setattr("bids_xai.group.run.run_group", fails)
    out = dataset.parent / "out"
    line = [str(dataset), str(out), "group"]
    if isinstance(error, ValueError):
        with pytest.raises(ValueError, match="a bug"):
            main(line)
    else:
        assert main(line) == 65
        *_, ahead, last = capsys.readouterr().err.splitlines()
        assert last == "bids_xai: error: the loss is wrong."
        assert ahead.endswith(f"continue with  bids_xai {dataset} {out} group")
    (file,) = out.glob("logs/*/run.log")
    assert f"{type(error).__name__}: " in file.read_text()
    assert "in fails" in file.read_text()


def test_the_page_is_the_last_line_and_only_stdout_has_it(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = dataset.parent / "out" / "group_quick.html"
    monkeypatch.setattr("bids_xai.group.run.run_group", lambda settings, **options: page)
    assert main([str(dataset), str(dataset.parent / "out"), "group"]) == 0
    assert capsys.readouterr().out == f"{page}\n"


def test_a_dry_run_names_what_would_fail(
    raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (raw / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    found = finished(failed={"sub-02": "EchoTime 4.92 is in milliseconds"})
    monkeypatch.setattr("bids_xai.workflows.participant.run_participants", lambda _: found)
    monkeypatch.setattr("bids_xai.cli.main._set_environment", lambda: None)
    assert main([str(raw), str(raw.parent / "out"), "participant", "--dry-run"]) == 1
    assert "failed: sub-02: EchoTime 4.92" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "file", "writable", "text"),
    [
        (errno.EROFS, None, False, "[/dev/shm]. Fix: make it writable"),
        (errno.EROFS, None, True, "Fix: check the disk of the output"),
        (errno.EROFS, "/out/x.tsv", False, "[/out/x.tsv]. Fix: check the disk of the output"),
        (errno.ENOSPC, None, False, "Fix: check the disk of the output"),
    ],
)
def test_a_read_only_shared_memory_is_not_the_fault_of_the_output_disk(
    number: int,
    file: str | None,
    writable: bool,
    text: str,
    dataset: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(settings: RunSettings, **options: bool) -> None:
        raise OSError(number, os.strerror(number), file)

    monkeypatch.setattr("bids_xai.group.run.run_group", fails)
    access = os.access

    def of_this_machine(path: Any, mode: int) -> bool:
        return writable if path == "/dev/shm" else access(path, mode)

    monkeypatch.setattr(os, "access", of_this_machine)
    assert main([str(dataset), str(dataset.parent / "out"), "group"]) != 0
    assert text in capsys.readouterr().err
