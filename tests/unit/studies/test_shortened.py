"""``--sloppy`` cuts a study short and leaves everything else as it is."""

from __future__ import annotations

from dataclasses import replace

from bids_xai.studies.schema import load_study
from bids_xai.studies.shortened import shortened


def test_few_epochs_and_splits() -> None:
    study = load_study("quick")
    short = shortened(study)
    assert (short.training.epochs, short.training.guidance_after, short.splits.repeats) == (3, 1, 2)
    few = short.quality
    assert (few.scans, few.steps, few.random_orders, few.randomization_scans) == (2, 5, 2, 1)
    assert replace(few, scans=20, steps=20, random_orders=5, randomization_scans=5) == study.quality
    back = replace(
        short,
        splits=study.splits,
        training=replace(short.training, epochs=60, guidance_after=12),
        quality=study.quality,
    )
    assert back == study


def test_a_short_study_stays_short() -> None:
    study = load_study("quick")
    one = replace(study, splits=replace(study.splits, repeats=1))
    assert shortened(one).splits.repeats == 1
    assert shortened(shortened(study)) == shortened(study)
