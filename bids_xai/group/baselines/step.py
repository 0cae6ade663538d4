"""Step ``baselines``: support vector machines on the splits of the networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bids_xai.core.baselines import FittedSvm, fit_svm, predict
from bids_xai.core.cohort.splits import check_no_leakage, split_hash
from bids_xai.group.baselines.features import Features, files_behind, measure
from bids_xai.group.context import LOG, GroupContext
from bids_xai.group.outcomes import prediction, probability_classes, test_scans
from bids_xai.group.scans import Scan
from bids_xai.group.units import Unit, Units
from bids_xai.studies.tables import Baseline, Input, Study, Target
from bids_xai.tables.predictions import BASELINES, BaselinePrediction, Prediction

_TRAINING = ("train", "validation")
"""Sets to fit on: nothing is left to a validation set, folds within do its work."""


@dataclass(frozen=True)
class BaselineFit:
    """A support vector machine to be fitted: of a baseline, on a split.

    members : participant label → set; training, test : the scans of the split
    seed : of the inner folds: repetitions of a split differ in them, as networks do in their start
    table : file that its predictions go into
    files : that the features come from; options : what else its predictions depend on
    """

    baseline: Baseline
    split: int
    target: Target
    members: Mapping[str, str]
    training: tuple[Scan, ...]
    test: tuple[Scan, ...]
    seed: int
    table: Path
    files: tuple[Path, ...]
    options: Mapping[str, Any]

    @property
    def title(self) -> str:
        """``svmvolume, split 0``."""
        return f"{self.baseline.id}, split {self.split}"

    @property
    def unit(self) -> Unit:
        """The fit as a unit of work."""
        return Unit(
            f"baseline {self.title}",
            self.table.with_name(f"{self.table.stem}_stamp.json"),
            self.files,
            {
                **self.options,
                "baseline": asdict(self.baseline),
                "members": split_hash(self.members),
                "test": [scan.name for scan in self.test],
                "seed": self.seed,
            },
            shares_folder=True,
            step="baselines",
        )


@dataclass(frozen=True)
class BaselineInputs:
    """What the baselines of a study work on.

    fits : of every baseline and split, those of other runs included
    scans : all of the study; table, template : what their maps are
    folder : of the study's results
    """

    fits: tuple[BaselineFit, ...]
    scans: tuple[Scan, ...]
    target: Target
    table: Input
    template: str
    folder: Path


def run(context: GroupContext) -> list[Path]:
    """Fit what is not up to date; write ``baselines.tsv`` of all that is.

    Other splits than those of ``--split`` stay as they are; ``--configuration`` says nothing about
    baselines. Raises the errors of :func:`measure` and of :func:`core.baselines.fit_svm`.
    """
    inputs = read(context)
    if not inputs.fits:
        return []
    splits = context.selected_splits(1 + max(fit.split for fit in inputs.fits))
    units = Units(inputs.folder)
    features: dict[str, Features] = {}
    for fit in inputs.fits:
        if fit.split in splits:
            units.run(fit.unit, partial(_fit_and_write, fit, inputs, features))
    return write(current_predictions(inputs), inputs.folder / BASELINES.file, inputs.target)


def read(context: GroupContext) -> BaselineInputs:
    """Return every baseline and split of the study, with what they depend on.

    Raises :class:`NoInputError` and :class:`BadDataError` for tables that are missing or damaged.
    """
    study = context.study
    scans: list[Scan] = []
    fits: list[BaselineFit] = []
    if study.baselines:
        scans, splits = context.scans(), context.splits()
        seed = context.settings.random_seed
        for baseline in study.baselines:
            files = files_behind(baseline.features, scans, study.input, context.template)
            for split, members in enumerate(splits):
                repetition = split % study.splits.repetitions
                fit = BaselineFit(
                    baseline=baseline,
                    split=split,
                    target=study.target,
                    members=members,
                    training=tuple(s for s in scans if members.get(s.participant) in _TRAINING),
                    test=tuple(test_scans(scans, members, study.splits.test_baseline_only)),
                    seed=seed + repetition,
                    table=context.folder / "baselines" / baseline.id / f"split-{split}.tsv",
                    files=tuple(files),
                    options=_options(study, scans, context.template),
                )
                fits.append(fit)
    return BaselineInputs(
        tuple(fits), tuple(scans), study.target, study.input, context.template, context.folder
    )


def _options(study: Study, scans: Sequence[Scan], template: str) -> dict[str, Any]:
    """What the predictions of all fits depend on."""
    tables = study.as_plain()
    return {
        **{key: tables[key] for key in ("input", "target")},
        "template": template,
        "classes": {scan.name: scan.class_name for scan in scans},
    }


def _fit_and_write(
    fit: BaselineFit, inputs: BaselineInputs, features: dict[str, Features]
) -> list[Path]:
    """Fit a machine, on features that are measured once a kind; return the files written."""
    kind = fit.baseline.features
    if kind not in features:
        features[kind] = measure(kind, inputs.scans, inputs.table, inputs.template)
    return write(fit_baseline(fit, features[kind]), fit.table, fit.target)


def current_predictions(inputs: BaselineInputs) -> list[BaselinePrediction]:
    """Return the predictions of every baseline and split that is up to date."""
    units = Units(inputs.folder)
    return [
        row
        for fit in inputs.fits
        if units.is_current(fit.unit)
        for row in BASELINES.read(fit.table)
    ]


def fit_baseline(fit: BaselineFit, features: Features) -> list[BaselinePrediction]:
    """Fit a machine on the training scans of a split; return what it says of the test scans.

    Raises :class:`BadDataError` for a participant in both, and what
    :func:`core.baselines.fit_svm` raises.
    """
    participants = [scan.participant for scan in (*fit.training, *fit.test)]
    sets = ["training"] * len(fit.training) + ["test"] * len(fit.test)
    check_no_leakage(participants, sets)
    selected = features.selected(fit.training)
    names = fit.target.names
    machine = fit_svm(
        features.of(fit.training, selected),
        [names.index(scan.class_name) for scan in fit.training],
        [scan.participant for scan in fit.training],
        kernel=fit.baseline.kernel,
        pca=fit.baseline.pca,
        inner_folds=fit.baseline.inner_folds,
        seed=fit.seed,
    )
    LOG.info(
        "baseline %s: %d scans, %d features, %s; balanced accuracy within training %.2f",
        fit.title,
        len(fit.training),
        int(selected.sum()),
        machine.parameters,
        machine.inner_score,
    )
    probabilities = np.zeros((len(fit.test), len(names)))
    values = features.of(fit.test, selected)
    probabilities[:, machine.classes] = predict(machine, values)  # a class may not train
    return [
        _row(prediction(fit.target, fit.baseline.id, fit.split, scan, row), scan, machine)
        for scan, row in zip(fit.test, probabilities, strict=True)
    ]


def _row(outcome: Prediction, scan: Scan, machine: FittedSvm) -> BaselinePrediction:
    return BaselinePrediction(
        participant_id=outcome.participant_id,
        session_id=outcome.session_id,
        scan=scan.name,
        configuration=outcome.configuration,
        split=outcome.split,
        method=None,
        set_name=outcome.set_name,
        true_class=outcome.true_class,
        predicted_class=outcome.predicted_class,
        probability=outcome.probability,
        outcome=outcome.outcome,
        parameters=str(machine.parameters),
        class_probabilities=outcome.class_probabilities,
    )


def write(rows: Sequence[BaselinePrediction], table: Path, target: Target) -> list[Path]:
    """Write a table of predictions; return it and its JSON."""
    return BASELINES.write(table, rows, more=probability_classes(target))


def as_prediction(row: BaselinePrediction) -> Prediction:
    """Return a baseline's prediction as a line of ``predictions.tsv``: without a heatmap."""
    return Prediction(
        participant_id=row.participant_id,
        session_id=row.session_id,
        configuration=row.configuration,
        split=row.split,
        method=row.method,
        relevance_class=None,
        set_name=row.set_name,
        true_class=row.true_class,
        predicted_class=row.predicted_class,
        probability=row.probability,
        outcome=row.outcome,
        relevance_sum=None,
        warped_sum=None,
        inner_mask_share=None,
        heatmap=None,
        warped_heatmap=None,
        class_probabilities=row.class_probabilities,
    )
