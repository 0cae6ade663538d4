"""ROC curves of all test sets, from their table or from the predictions themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bids_xai.arrays import Bools, Floats
from bids_xai.figures.panels import Curve
from bids_xai.figures.roc import RocPanel, roc_bands, roc_curves
from bids_xai.reports.blocks import Block, embedded
from bids_xai.reports.study.rows import grouped
from bids_xai.reports.study_files import StudyFiles, section, titles_of
from bids_xai.tables.predictions import PERFORMANCE_SUMMARY, PREDICTIONS, ROC, Prediction, RocPoint


@section("ROC curves")
def roc(study: StudyFiles) -> list[Block]:
    """Return the ROC curves of all test sets."""
    points = study.rows(ROC)
    return [_roc_with_bands(study, points) if points else _roc_of_splits(study)]


def _roc_with_bands(study: StudyFiles, points: Sequence[RocPoint]) -> Block:
    titles = titles_of(study)
    by_name = grouped(points, lambda point: point.configuration)
    bands = {
        title: _band(sorted(by_name[name], key=lambda point: point.fpr), _area(study, name))
        for name, title in titles.items()
        if name in by_name
    }
    if not bands:
        return study.missing(ROC)
    positive = study.classes[1]
    against = "the others" if len(study.names) > 2 else study.classes[0]
    described = f"Receiver operating characteristic, {', '.join(bands)}"
    line = (
        "Line: mean sensitivity over the test sets at equal specificity. Band: 2.5 to 97.5 "
        "percentile over the test sets, at each false-positive rate."
        if max(band.n_splits for band in bands.values()) > 1
        else "Line: the only test set."
    )
    caption = f"{positive} against {against}. {line} The dotted diagonal is chance level."
    without = [title for title in titles.values() if title not in bands]
    if without:
        caption += f" Without a test set of both classes: {', '.join(without)}."
    return embedded(roc_bands(bands), described, caption)


def _band(points: Sequence[RocPoint], note: str) -> RocPanel:
    return RocPanel(
        np.array([point.fpr for point in points], float),
        np.array([point.tpr for point in points], float),
        np.array([point.percentile_2_5 for point in points], float),
        np.array([point.percentile_97_5 for point in points], float),
        max(point.n_splits for point in points),
        note,
    )


def _area(study: StudyFiles, name: str) -> str:
    """``AUC 0.64 ± 0.06``; nothing where the table has none."""
    for row in study.rows(PERFORMANCE_SUMMARY):
        if (row.configuration, row.metric) == (name, "auc") and row.mean is not None:
            spread = "" if row.sd is None else f" ± {row.sd:.2f}"
            return f"AUC {row.mean:.2f}{spread}"
    return ""


def _roc_of_splits(study: StudyFiles) -> Block:
    """The curves from the predictions themselves, where there is no table of curves."""
    rows = study.rows(PREDICTIONS)
    if not rows or not study.identifiers:
        return study.missing(PREDICTIONS)
    by_name = grouped(rows, lambda row: row.configuration)
    curves = {
        title: _curves(study, by_name.get(name, ())) for name, title in titles_of(study).items()
    }
    described = f"Receiver operating characteristic, {', '.join(curves)}"
    caption = (
        "Thin: one test set. Thick: mean sensitivity at equal specificity. The dotted diagonal is "
        "chance."
    )
    return embedded(roc_curves(curves), described, caption)


def _curves(study: StudyFiles, rows: Sequence[Prediction]) -> list[Curve]:
    """One curve for each split whose test set has both classes."""
    curves = []
    for _, part in sorted(grouped(rows, lambda row: row.split).items()):
        # of more classes, FN is any wrong one of the others, too
        truth = np.array(
            [
                row.true_class == study.classes[1]
                if len(study.names) > 2
                else row.outcome in ("TP", "FN")
                for row in part
            ]
        )
        if truth.any() and not truth.all():
            curves.append(roc_points(truth, np.array([row.probability for row in part])))
    return curves


def roc_points(truth: Bools, probability: Floats) -> Curve:
    """Return false and true positive rates, one point for each different threshold.

    truth : (n,) bool, both classes occur; probability : (n,) of the positive class
    """
    order = np.argsort(-probability, kind="stable")
    truth, probability = truth[order], probability[order]
    last = np.append(np.flatnonzero(np.diff(probability)), len(truth) - 1)
    true_positives, false_positives = np.cumsum(truth)[last], np.cumsum(~truth)[last]
    fpr: Floats = np.concatenate([[0.0], false_positives / (~truth).sum()])
    tpr: Floats = np.concatenate([[0.0], true_positives / truth.sum()])
    return fpr, tpr
