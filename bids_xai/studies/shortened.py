"""A study cut short for ``--sloppy``: everything runs, nothing is a result."""

from __future__ import annotations

from dataclasses import replace

from bids_xai.studies.schema import Study

EPOCHS = 3
SPLITS = 2


def shortened(study: Study) -> Study:
    """Return the study with at most three epochs (one before guidance) and two splits."""
    return replace(
        study,
        splits=replace(study.splits, repeats=min(study.splits.repeats, SPLITS)),
        training=replace(
            study.training,
            epochs=min(study.training.epochs, EPOCHS),
            guidance_after=min(study.training.guidance_after, 1),
        ),
    )
