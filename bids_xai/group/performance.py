"""How good the classifiers are: per split, over the splits, and against each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from bids_xai.core.scores import (
    MEASURES,
    ClassificationScores,
    classification_scores,
    holm,
    mcnemar_exact,
    summarise,
)
from bids_xai.group.context import GroupContext, write_table

PERFORMANCE_COLUMNS = {
    "configuration": "Configuration of the study",
    "split": "Number of the split, from 0",
    "n_test": "Number of test scans",
    "accuracy": "Share of scans predicted right",
    "balanced_accuracy": "Mean of sensitivity and specificity",
    "sensitivity": "Share of the positive class predicted right",
    "specificity": "Share of the negative class predicted right",
    "auc": "Area under the receiver operating characteristic curve",
    "tp": "True positives", "fp": "False positives",
    "tn": "True negatives", "fn": "False negatives",
}  # fmt: skip
SUMMARY_COLUMNS = {
    "configuration": "Configuration of the study",
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
}


def write_performance(context: GroupContext, rows: Sequence[dict[str, Any]]) -> list[Path]:
    """Write ``performance.tsv``, ``performance_summary.tsv`` and ``comparisons.tsv``."""
    first_method = context.study.attribution.methods[0]
    rows = [row for row in rows if row["method"] == first_method]
    ids = [c.id for c in context.study.configurations]
    performance: list[dict[str, Any]] = []
    summary: list[dict[str, Any]] = []
    for name in ids:
        mine = [row for row in rows if row["configuration"] == name]
        scores = _scores_by_split(context, mine)
        performance += [
            {"configuration": name, "split": split, "n_test": n, **vars(score)}
            for split, (n, score) in scores.items()
        ]
        summary += _summary_rows(name, [score for _, score in scores.values()])
    folder = context.folder
    return [
        *write_table(folder / "performance.tsv", performance, PERFORMANCE_COLUMNS),
        *write_table(folder / "performance_summary.tsv", summary, SUMMARY_COLUMNS),
        *write_table(folder / "comparisons.tsv", compare(rows, ids), COMPARISON_COLUMNS),
    ]


def _scores_by_split(
    context: GroupContext, rows: list[dict[str, Any]]
) -> dict[int, tuple[int, ClassificationScores]]:
    positive = context.study.target.positive
    result = {}
    for split in sorted({int(row["split"]) for row in rows}):
        mine = [row for row in rows if int(row["split"]) == split]
        score = classification_scores(
            [row["true_class"] == positive for row in mine],
            [float(row["probability"]) for row in mine],
        )
        result[split] = (len(mine), score)
    return result


def _summary_rows(name: str, scores: list[ClassificationScores]) -> list[dict[str, Any]]:
    if not scores:
        return []
    return [
        {
            "configuration": name, "metric": metric, "mean": found.mean, "sd": found.sd,
            "percentile_2_5": found.percentile_2_5, "percentile_97_5": found.percentile_97_5,
            "n_splits": found.n,
        }
        for metric in MEASURES
        if (found := summarise(scores)[metric]) is not None
    ]  # fmt: skip


def compare(rows: Sequence[dict[str, Any]], ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return one row a pair of configurations.

    McNemar's test wants independent pairs: of each participant the first test scan of the first
    split in which both configurations tested it counts.
    """
    by_scan = {
        (r["configuration"], int(r["split"]), r["participant_id"], _scan(r)):
            r["true_class"] == r["predicted_class"]
        for r in rows
    }  # fmt: skip
    result: list[dict[str, Any]] = []
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
                "configuration_a": a, "configuration_b": b, "n": len(pairs),
                "only_a_correct": sum(x and not y for x, y in pairs.values()),
                "only_b_correct": sum(y and not x for x, y in pairs.values()),
                "p_value": mcnemar_exact(of_a, of_b),
            }
        )  # fmt: skip
    for row, p in zip(
        result, holm([float(r["p_value"]) for r in result]) if result else [], strict=True
    ):
        row["p_holm"] = float(p)
    return result


def _scan(row: dict[str, Any]) -> tuple[str, str]:
    """Return session and name of a scan: a session may have several runs."""
    return row["session_id"], Path(row.get("relevance") or "").name.partition("_space-")[0]
