"""How good the classifiers are: per split, over the splits, and against each other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from bids_xai.arrays import Floats64
from bids_xai.core.comparisons import holm, mcnemar_exact, wilcoxon_signed_rank
from bids_xai.core.scores import (
    MULTICLASS_MEASURES,
    MulticlassScores,
    calibration,
    fpr_grid,
    multiclass_scores,
    roc_band,
    roc_on_grid,
    summarise_values,
)
from bids_xai.group.context import GroupContext, write_table

PERFORMANCE_COLUMNS = {
    "configuration": "Configuration or baseline of the study",
    "split": "Number of the split, from 0",
    "n_test": "Number of test scans",
    "accuracy": "Share of scans predicted right",
    "balanced_accuracy": "Mean of the classes' recalls (of two: sensitivity and specificity)",
    "macro_auc": "Mean of the classes' AUC, each against all others",
    "sensitivity": "Share of the positive class predicted right",
    "specificity": "Share of the others not predicted as the positive class",
    "auc": "Area under the receiver operating characteristic curve of the positive class",
    "tp": "True positives",
    "fp": "False positives",
    "tn": "True negatives",
    "fn": "False negatives",
    "epochs": "Epochs until training ended; n/a for a baseline",
    "seconds": "Duration of the training in s; n/a for a baseline",
}
SUMMARY_COLUMNS = {
    "configuration": "Configuration or baseline of the study",
    "metric": "Column of performance.tsv",
    "mean": "Mean over splits",
    "sd": "Standard deviation over splits",
    "percentile_2_5": "2.5th percentile over splits",
    "percentile_97_5": "97.5th percentile over splits",
    "n_splits": "Number of splits that have the metric",
}
COMPARISON_COLUMNS = {
    "configuration_a": "First configuration",
    "configuration_b": "Second configuration",
    "n": "Number of participants tested by both (each counted once, in its first split)",
    "only_a_correct": "Right in the first only",
    "only_b_correct": "Right in the second only",
    "p_value": "Exact McNemar test, two-sided",
    "p_holm": "p_value after Holm's correction over all pairs",
    "n_splits": "Splits that both were tested in",
    "mean_difference": "Mean over splits of the difference in balanced accuracy, a minus b",
    "p_wilcoxon": "Wilcoxon signed-rank test over splits of balanced accuracy, two-sided. Splits "
    "share participants, so that it is too optimistic",
    "p_wilcoxon_holm": "p_wilcoxon after Holm's correction over all pairs",
}
ROC_COLUMNS = {
    "configuration": "Configuration or baseline of the study",
    "fpr": "False positive rate",
    "tpr": "True positive rate, mean over splits",
    "percentile_2_5": "2.5th percentile of the true positive rate over splits",
    "percentile_97_5": "97.5th percentile of the true positive rate over splits",
    "n_splits": "Splits with both classes among the test scans",
}
CALIBRATION_COLUMNS = {
    "configuration": "Configuration or baseline of the study",
    "bin": "Number of the bin of equally many test scans, all splits together, from 1",
    "n": "Scans in the bin",
    "predicted": "Mean predicted probability of the positive class",
    "observed": "Share of the positive class",
    "brier": "Brier score of the configuration",
    "expected_error": "Expected calibration error of the configuration",
}
CONFUSION_COLUMNS = {
    "configuration": "Configuration or baseline of the study",
    "true_class": "Class of the participant",
    "predicted_class": "Class predicted",
    "n": "Test scans, all splits together",
}
_CALIBRATION_BINS = 10

Row = dict[str, Any]


def write_performance(context: GroupContext, rows: Sequence[Row]) -> list[Path]:
    """Write performance, its summary, comparisons, ROC, calibration and confusion tables.

    rows : of ``predictions.tsv``; of each scan the first attribution method's counts
    """
    first = context.study.attribution.methods[0]
    rows = [row for row in rows if row["method"] in (first, "n/a", None)]
    present = dict.fromkeys(row["configuration"] for row in rows)
    study = context.study
    known = [c.id for c in study.configurations] + [b.id for b in study.baselines]
    ids = [name for name in known if name in present]
    performance: list[Row] = []
    summary: list[Row] = []
    for name in ids:
        mine = [row for row in rows if row["configuration"] == name]
        of_splits = [_of_split(context, name, part) for part in _by_split(mine)]
        performance += of_splits
        summary += _summary_rows(name, of_splits)
    folder = context.folder
    return [
        *write_table(folder / "performance.tsv", performance, PERFORMANCE_COLUMNS),
        *write_table(folder / "performance_summary.tsv", summary, SUMMARY_COLUMNS),
        *write_table(
            folder / "comparisons.tsv", compare(rows, ids, performance), COMPARISON_COLUMNS
        ),
        *write_table(folder / "roc.tsv", _roc(context, rows, ids), ROC_COLUMNS),
        *write_table(
            folder / "calibration.tsv", _calibration(context, rows, ids), CALIBRATION_COLUMNS
        ),
        *write_table(folder / "confusion.tsv", _confusion(context, rows, ids), CONFUSION_COLUMNS),
    ]


def _by_split(rows: Sequence[Row]) -> list[list[Row]]:
    numbers = sorted({int(row["split"]) for row in rows})
    return [[row for row in rows if int(row["split"]) == number] for number in numbers]


def _probabilities(context: GroupContext, rows: Sequence[Row]) -> Floats64:
    """(n, k) probabilities of the classes."""
    target = context.study.target
    if len(target.names) > 2:
        return np.array([[float(r[f"probability_{c}"]) for c in target.names] for r in rows])
    positive = np.array([float(row["probability"]) for row in rows])
    pair = np.stack([1 - positive, positive], axis=1)
    return pair if target.positive_index == 1 else pair[:, ::-1]


def _of_split(context: GroupContext, name: str, rows: list[Row]) -> Row:
    target = context.study.target
    score: MulticlassScores = multiclass_scores(
        [row["true_class"] for row in rows],
        _probabilities(context, rows),
        target.names,
        positive=target.positive_name,
    )
    i = target.positive_index
    tp, called, true = (
        int(n)
        for n in (score.confusion[i, i], score.confusion[:, i].sum(), score.confusion[i].sum())
    )
    split = int(rows[0]["split"])
    card = context.model_folder(name, split) / "model.json"
    metrics = json.loads(card.read_text()).get("metrics", {}) if card.is_file() else {}
    return {
        "configuration": name,
        "split": split,
        "n_test": len(rows),
        **{measure: getattr(score, measure) for measure in MULTICLASS_MEASURES},
        "tp": tp,
        "fp": called - tp,
        "fn": true - tp,
        "tn": len(rows) - called - true + tp,
        "epochs": metrics.get("epochs"),
        "seconds": metrics.get("seconds"),
    }


def _summary_rows(name: str, splits: Sequence[Row]) -> list[Row]:
    return [
        {
            "configuration": name,
            "metric": metric,
            "mean": found.mean,
            "sd": found.sd,
            "percentile_2_5": found.percentile_2_5,
            "percentile_97_5": found.percentile_97_5,
            "n_splits": found.n,
        }
        for metric in (*MULTICLASS_MEASURES, "epochs", "seconds")
        if (found := summarise_values([row[metric] for row in splits])) is not None
    ]


def compare(rows: Sequence[Row], ids: Sequence[str], performance: Sequence[Row] = ()) -> list[Row]:
    """Return one row a pair of configurations.

    McNemar's test wants independent pairs: of each participant the first test scan of the first
    split in which both configurations tested it counts. ``performance`` gives the balanced
    accuracies that Wilcoxon's test compares over splits.
    """
    by_scan = {
        (r["configuration"], int(r["split"]), r["participant_id"], _scan(r)): r["true_class"]
        == r["predicted_class"]
        for r in rows
    }
    result: list[Row] = []
    for a, b in combinations(ids, 2):
        pairs: dict[str, tuple[bool, bool]] = {}
        for name, split, participant, scan in sorted(by_scan):
            other = by_scan.get((b, split, participant, scan))
            if name == a and other is not None:
                pairs.setdefault(participant, (by_scan[name, split, participant, scan], other))
        if not pairs:
            continue
        of_a, of_b = [x for x, _ in pairs.values()], [y for _, y in pairs.values()]
        result.append(
            {
                "configuration_a": a,
                "configuration_b": b,
                "n": len(pairs),
                "only_a_correct": sum(x and not y for x, y in pairs.values()),
                "only_b_correct": sum(y and not x for x, y in pairs.values()),
                "p_value": mcnemar_exact(of_a, of_b),
                **_over_splits(performance, a, b),
            }
        )
    _corrected(result, "p_value", "p_holm")
    _corrected(result, "p_wilcoxon", "p_wilcoxon_holm")
    return result


def _over_splits(performance: Sequence[Row], a: str, b: str) -> Row:
    scores = {
        name: {
            row["split"]: row["balanced_accuracy"]
            for row in performance
            if row["configuration"] == name and row["balanced_accuracy"] is not None
        }
        for name in (a, b)
    }
    both = sorted(scores[a].keys() & scores[b].keys())
    if not both:
        return {"n_splits": 0, "mean_difference": None, "p_wilcoxon": None}
    of_a, of_b = ([scores[name][split] for split in both] for name in (a, b))
    return {
        "n_splits": len(both),
        "mean_difference": float(np.mean(np.subtract(of_a, of_b))),
        "p_wilcoxon": wilcoxon_signed_rank(of_a, of_b).p_value if len(both) > 1 else None,
    }


def _corrected(rows: Sequence[Row], key: str, corrected: str) -> None:
    """Add Holm-corrected p values to rows that have one."""
    mine = [row for row in rows if row[key] is not None]
    if mine:
        for row, p in zip(mine, holm([float(row[key]) for row in mine]), strict=True):
            row[corrected] = float(p)


def _scan(row: Row) -> tuple[str, str]:
    """Return session and name of a scan: a session may have several runs."""
    heatmap = Path(row.get("relevance") or "").name
    return row["session_id"], row.get("scan") or heatmap.partition("_space-")[0]


def _truth(context: GroupContext, rows: Sequence[Row]) -> tuple[list[bool], list[float]]:
    positive = context.study.target.positive_name
    return (
        [row["true_class"] == positive for row in rows],
        [float(row["probability"]) for row in rows],
    )


def _roc(context: GroupContext, rows: Sequence[Row], ids: Sequence[str]) -> list[Row]:
    grid, found = fpr_grid(), []
    for name in ids:
        curves = []
        for part in _by_split([row for row in rows if row["configuration"] == name]):
            curve = roc_on_grid(*_truth(context, part), grid)
            if curve is not None:  # both classes are there
                curves.append(curve)
        if not curves:
            continue
        band = roc_band(curves, grid)
        found += [
            {
                "configuration": name,
                "fpr": float(x),
                "tpr": float(y),
                "percentile_2_5": float(low),
                "percentile_97_5": float(high),
                "n_splits": band.n,
            }
            for x, y, low, high in zip(
                band.fpr, band.mean, band.percentile_2_5, band.percentile_97_5, strict=True
            )
        ]
    return found


def _calibration(context: GroupContext, rows: Sequence[Row], ids: Sequence[str]) -> list[Row]:
    found: list[Row] = []
    for name in ids:
        mine = [row for row in rows if row["configuration"] == name]
        curve = calibration(*_truth(context, mine), n_bins=min(_CALIBRATION_BINS, len(mine)))
        found += [
            {
                "configuration": name,
                "bin": index + 1,
                "n": int(n),
                "predicted": float(p),
                "observed": float(o),
                "brier": curve.brier,
                "expected_error": curve.expected_error,
            }
            for index, (n, p, o) in enumerate(
                zip(curve.counts, curve.predicted, curve.observed, strict=True)
            )
        ]
    return found


def _confusion(context: GroupContext, rows: Sequence[Row], ids: Sequence[str]) -> list[Row]:
    names = context.study.target.names
    return [
        {
            "configuration": name,
            "true_class": truth,
            "predicted_class": said,
            "n": sum(
                row["configuration"] == name
                and (row["true_class"], row["predicted_class"]) == (truth, said)
                for row in rows
            ),
        }
        for name in ids
        for truth in names
        for said in names
    ]
