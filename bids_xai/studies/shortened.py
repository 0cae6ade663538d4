"""A study cut short for ``--sloppy``: everything runs, nothing is a result."""

from __future__ import annotations

from dataclasses import replace

from bids_xai.studies.tables import Configuration, Quality, Study

EPOCHS = 3
SPLITS = 2
SCANS, STEPS, ORDERS = 2, 5, 2


def shortened(study: Study) -> Study:
    """Return the study with at most three epochs (one before guidance) and few splits."""
    splits = study.splits
    once = splits.repetitions > 1 or splits.scheme != "random"
    return replace(
        study,
        splits=replace(
            splits,
            repeats=min(splits.repeats, 1 if once else SPLITS),
            repetitions=min(splits.repetitions, SPLITS),
            folds=min(splits.folds, 3),
            counts=(),  # of cohorts that are larger than those of a trial
        ),
        training=replace(
            study.training,
            epochs=min(study.training.epochs, EPOCHS),
            guidance_after=min(study.training.guidance_after, 1),
        ),
        search=replace(study.search, draws=min(study.search.draws, SPLITS)),
        quality=_fewer_scans(study.quality),
        configurations=tuple(map(_shortened, study.configurations)),
    )


def _fewer_scans(quality: Quality) -> Quality:
    return replace(
        quality,
        scans=min(quality.scans, SCANS),
        steps=min(quality.steps, STEPS),
        random_orders=min(quality.random_orders, ORDERS),
        noise_draws=1,
        randomization_scans=min(quality.randomization_scans, 1),
    )


def _shortened(configuration: Configuration) -> Configuration:
    training = {
        key: min(value, EPOCHS) if key == "epochs" else value
        for key, value in configuration.training.items()
    }
    return replace(configuration, training=training)
