"""A dry run: who would be in, and how much a training takes."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest

from bids_xai.errors import BadDataError, NoInputError
from bids_xai.group import dry_run
from bids_xai.models.size import network_size
from bids_xai.studies.tables import Transfer


def test_the_size_of_a_network_is_counted_without_running_it() -> None:
    """graz on 176 x 224 x 256: 0.33 million parameters."""
    weights, maps = network_size("graz", (176, 224, 256), 2)
    assert weights == pytest.approx(0.33e6, rel=0.02)
    # eight channels, convolution and ReLU, at full, twice half, ... size
    full = 176 * 224 * 256
    by_hand = 2 * 8 * sum(full / 8**k * (1 + 1 / 8) for k in range(4))
    assert maps == pytest.approx(by_hand, rel=0.01)


def test_a_dry_run_says_who_is_in_before_a_class_is_missed(
    derivatives: Any, caplog: pytest.LogCaptureFixture
) -> None:

    derivatives.people("participant_id\tdiagnosis\nsub-01\tNC\nsub-02\tMCI\n")
    for label in ("01", "02"):
        derivatives.scan(label)
    with caplog.at_level(logging.INFO, "bids_xai"), pytest.raises(BadDataError, match="AD"):
        dry_run.say_what_would_be_done(derivatives.context(dry_run=True), ["train"])
    assert "included (1 of NC, 0 of AD), 1 scans excluded" in caplog.text
    assert "excluded: 1 scans, diagnosis is MCI" in caplog.text


def test_a_dry_run_says_who_and_how_much(
    derivatives: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:

    derivatives.people(
        "participant_id\tdiagnosis\n"
        + "".join(f"sub-{i:02d}\t{'AD' if i % 2 else 'NC'}\n" for i in range(1, 11))
    )
    for i in range(1, 10):
        derivatives.scan(f"{i:02d}")
    monkeypatch.setattr(dry_run, "common_shape", lambda *_: (40, 48, 40))
    with caplog.at_level(logging.INFO, "bids_xai"):
        dry_run.say_what_would_be_done(derivatives.context(dry_run=True), ["train"])
    said = caplog.text
    assert "9 scans of 9 participants included (4 of NC, 5 of AD), 0 scans excluded" in said
    assert "excluded: 1 participants, no input map among the derivatives" in said
    assert "2 split(s)" in said
    assert "configuration C: graz on 40×48×40 voxels" in said
    assert "would run train: 6 training(s)" in said
    assert not (derivatives.out / "group").exists()


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"input": {"suffix": "FLAIR"}}, "FLAIR"),
        ({"training": {"transfer": Transfer("pretrained/A")}}, "no trained model 'pretrained/A'"),
        ({"training": {"transfer": Transfer("quick/A")}}, ""),
    ],
)
def test_what_a_configuration_lacks_fails_a_dry_run(
    derivatives: Any, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], missing: str
) -> None:
    """It ended with status 0, and announced trainings that could not begin."""
    labels = [f"{i:02d}" for i in range(1, 11)]
    rows = "".join(f"sub-{label}\t{'AD' if int(label) % 2 else 'NC'}\n" for label in labels)
    derivatives.people("participant_id\tdiagnosis\n" + rows)
    for label in labels:
        derivatives.scan(label)
    monkeypatch.setattr(dry_run, "common_shape", lambda *_: (40, 48, 40))
    context = derivatives.context(dry_run=True)
    first, *others = context.study.configurations
    study = replace(context.study, configurations=(replace(first, **changes), *others))
    with pytest.raises(NoInputError, match=missing) if missing else nullcontext():
        dry_run.say_what_would_be_done(replace(context, study=study), ["train"])
