"""Step ``baselines``: support vector machines on the splits of the networks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import bids_xai
from bids_xai.bids.stamps import fingerprint, is_current, write_stamp
from bids_xai.core.baselines import FittedSvm, fit_svm, predict
from bids_xai.core.cohort.splits import check_no_leakage, split_hash
from bids_xai.group.baseline_features import Features, files_behind, measure
from bids_xai.group.context import (
    LOG,
    GroupContext,
    Scan,
    load_scans,
    load_splits,
    read_rows,
    write_table,
)
from bids_xai.group.outcomes import prediction_row, probability_columns, test_scans
from bids_xai.studies.tables import Baseline

BASELINE_COLUMNS = {
    "participant_id": "Participant",
    "session_id": "Session, n/a where the dataset has none",
    "scan": "Name of the scan, which tells runs of a session apart",
    "configuration": "Baseline of the study",
    "split": "Number of the split, from 0",
    "method": "n/a: baselines are not explained",
    "set": "Set of the split the scan is in",
    "true_class": "Class of the participant",
    "predicted_class": "Class with the highest probability",
    "probability": "Probability of the positive class, were the classes equally frequent",
    "outcome": "TP, FP, TN or FN",
    "chosen": "Parameters chosen by cross-validation within train and validation: penalty C and "
    "gamma of the radial kernel (both for features of total variance 1), principal components",
}
_TRAINING = ("train", "validation")
_OF_HEATMAPS = (
    "relevance_class",
    "relevance_sum",
    "warped_sum",
    "inner_mask_share",
    "relevance",
    "warped",
)


@dataclass(frozen=True)
class _Job:
    """A baseline, a split (participant label -> set), and all scans of the study."""

    context: GroupContext
    baseline: Baseline
    split: int
    members: dict[str, str]
    scans: list[Scan]

    @property
    def table(self) -> Path:
        """Predictions of this split."""
        folder = self.context.folder / "baselines" / self.baseline.id
        return folder / f"split-{self.split}.tsv"

    @property
    def stamp(self) -> Path:
        """What the table was made from."""
        return self.table.with_name(f"split-{self.split}_stamp.json")

    @property
    def title(self) -> str:
        """``svmvolume, split 0``."""
        return f"{self.baseline.id}, split {self.split}"

    @property
    def training(self) -> list[Scan]:
        """The scans to fit on: nothing is left to a validation set, folds within do its work."""
        return [scan for scan in self.scans if self.members.get(scan.participant) in _TRAINING]

    @property
    def test(self) -> list[Scan]:
        """The scans to predict."""
        return test_scans(self.context, self.scans, self.members)

    @property
    def seed(self) -> int:
        """Repetitions of a split differ in the inner folds, as networks do in their start."""
        repetition = self.split % self.context.study.splits.repetitions
        return self.context.settings.random_seed + repetition


def run(context: GroupContext) -> list[Path]:
    """Fit what is not up to date; write ``baselines.tsv`` of all that is.

    Other splits than those of ``--split`` stay as they are; ``--configuration`` says nothing about
    baselines. Raises the errors of :func:`measure` and of :func:`core.baselines.fit_svm`.
    """
    if not context.study.baselines:
        return []
    selected = context.selected_splits(len(load_splits(context)))
    measured: dict[str, Features] = {}
    for job, digest in _jobs(context):
        if job.split not in selected:
            continue
        if is_current(job.stamp, digest, context.folder):
            LOG.info("baseline %s: up to date", job.title)
            continue
        kind = job.baseline.features
        if kind not in measured:
            measured[kind] = measure(context, kind, job.scans)
        _fit(job, digest, measured[kind])
    columns = BASELINE_COLUMNS | probability_columns(context)
    return write_table(context.folder / "baselines.tsv", baseline_rows(context), columns)


def baseline_rows(context: GroupContext) -> list[dict[str, Any]]:
    """Return the predictions of every baseline and split that is up to date.

    Rows as in ``predictions.tsv``, their columns about heatmaps ``None``.
    """
    rows: list[dict[str, Any]] = []
    nothing = dict.fromkeys(_OF_HEATMAPS)
    for job, digest in _jobs(context):
        if is_current(job.stamp, digest, context.folder):
            rows += [{**row, **nothing} for row in read_rows(job.table, "baselines")]
    return rows


def _jobs(context: GroupContext) -> list[tuple[_Job, str]]:
    """Every baseline and split of the study, with the fingerprint of what goes in."""
    if not context.study.baselines:
        return []
    scans, splits = load_scans(context), load_splits(context)
    found = []
    for baseline in context.study.baselines:
        files = files_behind(context, baseline.features, scans)
        for split, members in enumerate(splits):
            job = _Job(context, baseline, split, members, scans)
            found.append((job, _digest(job, files)))
    return found


def _digest(job: _Job, files: list[Path]) -> str:
    """The fingerprint of everything the predictions of a job depend on."""
    study = job.context.study.as_plain()
    return fingerprint(
        files,
        {
            "version": bids_xai.__version__,
            "baseline": asdict(job.baseline),
            "input": study["input"],
            "target": study["target"],
            "template": job.context.template,
            "members": split_hash(job.members),
            "classes": {scan.name: scan.class_name for scan in job.scans},
            "test": [scan.name for scan in job.test],
            "seed": job.seed,
        },
    )


def _fit(job: _Job, digest: str, features: Features) -> None:
    """Fit a machine on one split and write what it says of the test scans."""
    names = job.context.study.target.names
    training, test = job.training, job.test
    participants = [scan.participant for scan in (*training, *test)]
    sets = ["training"] * len(training) + ["test"] * len(test)
    check_no_leakage(participants, sets)
    chosen = features.chosen(training)
    baseline = job.baseline
    fitted = fit_svm(
        features.of(training, chosen),
        [names.index(scan.class_name) for scan in training],
        [scan.participant for scan in training],
        kernel=baseline.kernel,
        pca=baseline.pca,
        inner_folds=baseline.inner_folds,
        seed=job.seed,
    )
    LOG.info(
        "baseline %s: %d scans, %d features, %s; balanced accuracy within training %.2f",
        job.title,
        len(training),
        int(chosen.sum()),
        fitted.parameters,
        fitted.inner_score,
    )
    rows = _rows(job, fitted, features.of(test, chosen))
    written = write_table(job.table, rows, BASELINE_COLUMNS | probability_columns(job.context))
    write_stamp(job.stamp, digest, job.context.folder, written)


def _rows(job: _Job, fitted: FittedSvm, features: Any) -> list[dict[str, Any]]:
    test = job.test
    probabilities = np.zeros((len(test), len(job.context.study.target.names)))
    probabilities[:, fitted.classes] = predict(fitted, features)  # a class may not train
    return [
        {
            **prediction_row(job.context, job.baseline.id, job.split, scan, found),
            "scan": scan.name,
            "chosen": str(fitted.parameters),
        }
        for scan, found in zip(test, probabilities, strict=True)
    ]
