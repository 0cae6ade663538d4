"""Classifiers against each other: on the same participants, and over the same splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from bids_xai.core.comparisons import holm, mcnemar_exact, wilcoxon_signed_rank
from bids_xai.tables.predictions import BaselinePrediction, Comparison, Performance, Prediction


@dataclass(frozen=True, order=True)
class _TestedScan:
    """Which scan was tested in which split; a session may have several runs, which names tell."""

    split: int
    participant_id: str
    session_id: str
    scan: str


_Answers = dict[_TestedScan, bool]
"""Whether a classifier was right, scan by scan."""


@dataclass(frozen=True)
class _OverSplits:
    """Two classifiers over the splits that both were tested in."""

    n_splits: int
    mean_difference: float | None = None
    p_wilcoxon: float | None = None


def compare(
    rows: Sequence[Prediction | BaselinePrediction],
    names: Sequence[str],
    performance: Sequence[Performance] = (),
) -> list[Comparison]:
    """Return one row a pair of configurations or baselines that tested a participant both.

    McNemar's test wants independent pairs: of each participant the first test scan of the first
    split in which both configurations tested it counts. ``performance`` gives the balanced
    accuracies that Wilcoxon's test compares over splits.
    """
    answers: dict[str, _Answers] = {name: {} for name in names}
    for row in rows:
        scan = _TestedScan(row.split, row.participant_id, row.session_id or "", row.scan)
        answers.setdefault(row.configuration, {})[scan] = row.true_class == row.predicted_class
    pairs = [
        _comparison(a, b, both, _over_splits(performance, a, b))
        for a, b in combinations(names, 2)
        if (both := _both(answers[a], answers[b]))
    ]
    p_holm = _corrected([pair.p_value for pair in pairs])
    p_wilcoxon_holm = _corrected([pair.p_wilcoxon for pair in pairs])
    return [
        replace(pair, p_holm=mcnemar, p_wilcoxon_holm=wilcoxon)
        for pair, mcnemar, wilcoxon in zip(pairs, p_holm, p_wilcoxon_holm, strict=True)
    ]


def _both(of_a: _Answers, of_b: _Answers) -> list[tuple[bool, bool]]:
    """Whether either was right, once a participant that both tested."""
    pairs: dict[str, tuple[bool, bool]] = {}
    for scan in sorted(of_a.keys() & of_b.keys()):
        pairs.setdefault(scan.participant_id, (of_a[scan], of_b[scan]))
    return list(pairs.values())


def _comparison(
    a: str, b: str, pairs: Sequence[tuple[bool, bool]], over_splits: _OverSplits
) -> Comparison:
    return Comparison(
        configuration_a=a,
        configuration_b=b,
        n=len(pairs),
        only_a_correct=sum(right_a and not right_b for right_a, right_b in pairs),
        only_b_correct=sum(right_b and not right_a for right_a, right_b in pairs),
        p_value=mcnemar_exact([right for right, _ in pairs], [right for _, right in pairs]),
        p_holm=None,
        n_splits=over_splits.n_splits,
        mean_difference=over_splits.mean_difference,
        p_wilcoxon=over_splits.p_wilcoxon,
        p_wilcoxon_holm=None,
    )


def _over_splits(performance: Sequence[Performance], a: str, b: str) -> _OverSplits:
    of_a, of_b = _accuracies(performance, a), _accuracies(performance, b)
    splits = sorted(of_a.keys() & of_b.keys())
    if not splits:
        return _OverSplits(0)
    first, second = [of_a[split] for split in splits], [of_b[split] for split in splits]
    return _OverSplits(
        len(splits),
        float(np.mean(np.subtract(first, second))),
        wilcoxon_signed_rank(first, second).p_value if len(splits) > 1 else None,
    )


def _accuracies(performance: Sequence[Performance], name: str) -> dict[int, float]:
    """Split → balanced accuracy of a configuration."""
    return {
        row.split: row.balanced_accuracy
        for row in performance
        if row.configuration == name and row.balanced_accuracy is not None
    }


def _corrected(p_values: Sequence[float | None]) -> list[float | None]:
    """The p values after Holm's correction over those that are defined."""
    defined = [p for p in p_values if p is not None]
    corrected = iter(holm(defined) if defined else ())
    return [None if p is None else float(next(corrected)) for p in p_values]
