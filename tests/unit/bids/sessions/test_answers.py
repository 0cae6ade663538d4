"""Kept sessions are those that pybids would give, and are asked for again once anything changed."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from asking import sessions

from bids_xai.bids.derivatives import DerivativeFolder
from bids_xai.bids.records import EchoSeries, Session
from bids_xai.bids.sessions import answers
from bids_xai.bids.sessions.answers import SessionRecords, as_plain, session_of
from bids_xai.errors import NothingMatchedError
from bids_xai.settings import RunSettings
from bids_xai.workflows import participant as level
from bids_xai.workflows.jobs import Outcome
from bids_xai.workflows.participant import run_participants

QUESTION: dict[str, Any] = {"sessions": [], "filters": {}, "inputs": ["megre"], "brain_masks": True}


def mask(root: Path, sub: str = "01") -> Path:
    file = root / f"sub-{sub}" / "anat" / f"sub-{sub}_desc-brain_mask.nii.gz"
    file.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.ones((2, 2, 2), np.uint8), np.eye(4)), file)
    return file


def records(raw: Any, out: Path, other: Path | None = None, **question: Any) -> SessionRecords:
    folders = [] if other is None else [DerivativeFolder("other", other)]
    return SessionRecords(out, raw.root, folders, QUESTION | question)


def test_sessions_come_back_as_they_were(raw: Any, tmp_path: Path) -> None:
    raw.json("MEGRE.json", {"MagneticFieldStrength": 2.89})
    raw.session("01", "1", echo_times_s=(0.1 + 0.2, 0.4))
    raw.session("01", "2")
    raw.image("sub-01/ses-1/anat/sub-01_ses-1_FLAIR.nii.gz")
    other = tmp_path / "other" / "sub-01" / "ses-1" / "anat"
    other.mkdir(parents=True)
    for name in ("desc-brain_mask", "label-lesion_mask", "R1map"):
        image = nib.Nifti1Image(np.ones((2, 2, 2), np.uint8), np.eye(4))
        nib.save(image, other / f"sub-01_ses-1_{name}.nii.gz")
    there = sessions(
        raw, inputs=("megre", "FLAIR", "R1map"), derivatives=(("other", tmp_path / "other"),)
    )
    assert there[0].maps
    assert there[0].flair
    assert there[0].lesion_mask
    assert there[1].notes
    kept = records(raw, tmp_path / "out")
    assert kept.read("01") is None
    kept.write("01", there)
    assert records(raw, tmp_path / "out").read("01") == there
    assert session_of(json.loads(json.dumps(as_plain(there[0])))) == there[0]


def test_what_json_cannot_hold_is_not_kept(raw: Any, tmp_path: Path) -> None:
    odd = Session("01", None, None, (EchoSeries({}, (), (), float("nan")),))
    kept = records(raw, tmp_path)
    kept.read("01")
    kept.write("01", [odd])
    assert not (tmp_path / "logs").exists()


CHANGES: dict[str, Callable[[Any, Path], object]] = {
    "a new image": lambda raw, _: raw.image("sub-01/anat/sub-01_run-2_T1w.nii.gz"),
    "an image is gone": lambda raw, _: (raw.root / "sub-01/anat/sub-01_T1w.nii.gz").unlink(),
    "an image is renamed": lambda raw, _: (raw.root / "sub-01/anat/sub-01_T1w.nii.gz").rename(
        raw.root / "sub-01/anat/sub-01_T2w.nii.gz"
    ),
    "a sidecar": lambda raw, _: raw.json(
        "sub-01/anat/sub-01_echo-1_MEGRE.json", {"EchoTime": 0.005}
    ),
    "a sidecar above": lambda raw, _: raw.json("MEGRE.json", {"MagneticFieldStrength": 3}),
    "an image above": lambda raw, _: raw.image("sub-01_T1w.nii.gz"),
    "the time of an image": lambda raw, _: os.utime(
        raw.root / "sub-01/anat/sub-01_T1w.nii.gz", ns=(1, 1)
    ),
    "a mask made elsewhere": lambda _, other: mask(other),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_any_file_that_counts_is_seen(raw: Any, tmp_path: Path, name: str) -> None:
    other = tmp_path / "other"
    raw.session("01")
    kept = records(raw, tmp_path, other)
    kept.read("01")
    kept.write("01", sessions(raw))
    assert records(raw, tmp_path, other).read("01") is not None
    CHANGES[name](raw, other)
    assert records(raw, tmp_path, other).read("01") is None


def test_another_question_other_code_or_another_place_is_answered_anew(
    raw: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw.session("01")
    kept = records(raw, tmp_path)
    kept.read("01")
    kept.write("01", sessions(raw))
    for question in (
        {"sessions": ["1"]},
        {"filters": {"t1w": {"run": 1}}},
        {"inputs": ["megre", "T1w"]},
        {"brain_masks": False},
    ):
        assert records(raw, tmp_path, **question).read("01") is None
    assert records(raw, tmp_path, tmp_path / "other").read("01") is None
    assert records(raw, tmp_path).read("01") is not None
    with monkeypatch.context() as patch:
        patch.setattr(answers, "code_state", lambda *_: "other")
        assert records(raw, tmp_path).read("01") is None
    raw.root.rename(tmp_path / "moved")  # the records hold whole paths
    moved = dataclasses.replace(raw, root=tmp_path / "moved")
    assert records(moved, tmp_path).read("01") is None


def test_other_participants_and_tables_do_not_count(raw: Any, tmp_path: Path) -> None:
    raw.session("01")
    kept = records(raw, tmp_path)
    kept.read("01")
    kept.write("01", sessions(raw))
    raw.session("02")
    (raw.root / "participants.tsv").write_text("participant_id\n")
    assert records(raw, tmp_path).read("01") is not None


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"sessions": 1}', '{"sessions": [{}]}', '{"sessions": [1]}']
)
def test_a_damaged_record_is_as_good_as_none(raw: Any, tmp_path: Path, content: str) -> None:
    raw.session("01")
    kept = records(raw, tmp_path)
    kept.read("01")
    kept.write("01", sessions(raw))
    file = kept.file("01")
    digest = json.loads(file.read_text())["digest"]
    file.write_text(content.replace("{", f'{{"digest": "{digest}", ', 1).replace(", }", "}"))
    assert records(raw, tmp_path).read("01") is None


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Whom pybids was asked to index, a time each; nothing else of the level is done."""
    times: list[tuple[str, ...]] = []

    def index(root: Path, participants: Any = (), folder: Path | None = None) -> Any:
        times.append(tuple(participants))
        return open_index(root, participants, folder)

    open_index = level.open_index
    monkeypatch.setattr(level, "open_index", index)
    monkeypatch.setattr(level, "ready_templates", lambda _: [])
    monkeypatch.setattr(level, "run_jobs", lambda *_, **__: Outcome())
    monkeypatch.setattr(level, "_draw", lambda *_: None)
    return times


def test_pybids_is_asked_for_those_of_whom_something_changed(
    raw: Any, tmp_path: Path, asked: list[tuple[str, ...]]
) -> None:
    for label in ("01", "02", "03"):
        raw.session(label)
    raw.image("sub-04/anat/sub-04_T1w.nii.gz")  # has nothing to work on: asked for every time
    settings = RunSettings(raw.root, tmp_path / "out", "participant", nprocs=1)
    dry = dataclasses.replace(settings, dry_run=True)
    run_participants(dry)
    assert not (tmp_path / "out").exists()
    run = run_participants(settings)
    again = run_participants(settings)
    assert asked == [(), (), ("04",)]
    assert (again.unchanged, again.failed) == (run.unchanged, run.failed)
    assert list(run.failed) == ["sub-04"]
    raw.session("02", "2")
    assert "sub-02_ses-2" in run_participants(settings).unchanged
    assert asked[3:] == [("02", "04")]
    (raw.root / "sub-04" / "anat" / "sub-04_T1w.nii.gz").unlink()
    raw.session("04")
    assert run_participants(settings).failed == {}
    assert run_participants(settings).failed == {}
    assert asked[4:] == [("04",)]
    with pytest.raises(NothingMatchedError):
        run_participants(dataclasses.replace(settings, session_label=("9",)))
    assert asked[5:] == [()]


def test_what_was_asked_with_an_index_is_kept_beside_it(
    raw: Any, tmp_path: Path, asked: list[tuple[str, ...]]
) -> None:
    """A dry run of thousands, and the tasks of an array after it, do not ask pybids again."""
    for label in ("01", "02"):
        raw.session(label)
    index = tmp_path / "index"
    settings = RunSettings(raw.root, tmp_path / "out", "participant", nprocs=1)
    dry = dataclasses.replace(settings, dry_run=True, bids_database_dir=index)
    run_participants(dry)
    run_participants(dry)
    run_participants(dataclasses.replace(dry, participant_label=("02",)))
    run_participants(dataclasses.replace(dry, output_dir=tmp_path / "other"))
    assert asked == [()]
    assert not (tmp_path / "out").exists()
    run_participants(dataclasses.replace(dry, inputs=("megre", "FLAIR")))
    assert asked == [(), ()]
    (raw.root / "sub-01" / "anat" / "sub-01_echo-1_MEGRE.json").write_text('{"EchoTime": 0.005}')
    run_participants(dry)
    assert asked == [(), (), ("01",)]
    kept = SessionRecords(tmp_path / "out", raw.root, [], QUESTION, index)
    kept.read("01")
    assert kept.file_beside_index("01").parent.parent == index
    assert SessionRecords(tmp_path / "out", raw.root, [], QUESTION).file_beside_index("01") is None


def test_an_index_that_cannot_be_written_to_stops_nobody(raw: Any, tmp_path: Path) -> None:
    raw.session("01")
    index = tmp_path / "index"
    index.write_text("a file where the folder would be")
    kept = SessionRecords(tmp_path / "out", raw.root, [], QUESTION, index)
    assert kept.read("01") is None
    kept.write_beside_index("01", sessions(raw))
    assert kept.read("01") is None
    kept.write("01", sessions(raw))
    assert kept.read("01") == sessions(raw)


def test_notes_and_errors_are_told_again(
    raw: Any, tmp_path: Path, asked: list[tuple[str, ...]], caplog: pytest.LogCaptureFixture
) -> None:
    raw.session("01")
    raw.image("sub-01/anat/sub-01_run-2_T1w.nii.gz")
    raw.session("02", echo_times_s=(0.01,))
    settings = RunSettings(raw.root, tmp_path / "out", "participant", nprocs=1)
    told = []
    for _ in range(2):
        caplog.clear()
        failed = run_participants(settings).failed
        told.append((caplog.messages, failed))
    assert told[0] == told[1]
    assert any("2 t1w images" in message for message in told[1][0])
    assert "two echoes, found one" in told[1][1]["sub-02"]
    sidecar = raw.root / "sub-01" / "anat" / "sub-01_echo-1_MEGRE.json"
    sidecar.write_text("{")
    for _ in range(2):
        assert sidecar.name in run_participants(settings).failed["sub-01"]
    raw.json("sub-01/anat/sub-01_echo-1_MEGRE.json", {"EchoTime": 0.01})
    assert list(run_participants(settings).failed) == ["sub-02"]
