"""Pairwise tests between configurations and baselines, and what they do not show."""

from __future__ import annotations

from collections.abc import Sequence

from bids_xai.reports.blocks import Block, Items, TableBlock, Text
from bids_xai.reports.study_files import StudyFiles, section, titles_of
from bids_xai.tables.numbers import MISSING, count, plural
from bids_xai.tables.predictions import COMPARISONS, Comparison

_FEW_PAIRS = 8  # up to so many splits the smallest possible p of Wilcoxon's test is worth saying


@section("Comparisons")
def comparisons(study: StudyFiles) -> list[Block]:
    """Return the pairwise tests between configurations, and with the baselines."""
    if len(titles_of(study)) < 2:
        return [Text("Only one configuration: nothing to compare.")]
    pairs = study.rows(COMPARISONS)
    if not pairs:
        return [study.missing(COMPARISONS)]
    blocks: list[Block] = [_mcnemar(pairs)]
    notes = ["A large p does not show that two of them are equally good."]
    if any(pair.p_wilcoxon is not None for pair in pairs):
        blocks.append(_wilcoxon(pairs))
        notes += _wilcoxon_notes(max(pair.n_splits for pair in pairs))
    else:
        notes.append("Wilcoxon's test compares splits: it needs two in which both were tested.")
    return [*blocks, Items(tuple(notes))]


def _mcnemar(pairs: Sequence[Comparison]) -> TableBlock:
    rows = tuple(
        (
            _pair(pair),
            count(pair.n),
            count(pair.only_a_correct),
            count(pair.only_b_correct),
            _p(pair.p_value),
            _p(pair.p_holm),
        )
        for pair in pairs
    )
    first, second = "Only first right", "Only second right"
    header = ("Pair", "Participants", first, second, "p", "p (Holm)")
    caption = (
        "Exact McNemar test: is one correct more often than the other on the same participants? "
        "Only participants that exactly one of them classified correctly affect it. Participants "
        "tested by both, each counted once: its first test scan in the first split. p (Holm): "
        f"corrected for the {plural(len(rows), 'pair')} of this table."
    )
    return TableBlock(caption, header, rows)


def _wilcoxon(pairs: Sequence[Comparison]) -> TableBlock:
    rows = tuple(
        (
            _pair(pair),
            count(pair.n_splits),
            _points(pair.mean_difference),
            _p(pair.p_wilcoxon),
            _p(pair.p_wilcoxon_holm),
        )
        for pair in pairs
        if pair.p_wilcoxon is not None
    )
    header = ("Pair", "Splits", "Mean difference (points)", "p", "p (Holm)")
    caption = (
        "Wilcoxon's signed-rank test: does the difference in balanced accuracy, first minus "
        "second, differ systematically from zero over the splits? In percentage points. p (Holm): "
        f"corrected for the {plural(len(rows), 'pair')} of this table."
    )
    return TableBlock(caption, header, rows)


def _wilcoxon_notes(splits: int) -> list[str]:
    notes = [
        "Splits share participants, so their differences are not independent and the p of "
        "Wilcoxon's test is too small. It shows how consistently one is ahead in this data "
        "set, not how certain that is for new participants."
    ]
    if splits <= _FEW_PAIRS:
        least = 2.0 ** (1 - splits)
        notes.append(f"With {splits} splits, Wilcoxon's p cannot be below {least:.2g}.")
    return notes


def _pair(pair: Comparison) -> str:
    return f"{pair.configuration_a} and {pair.configuration_b}"


def _points(share: float | None) -> str:
    return MISSING if share is None else f"{100 * share:+.1f}".replace("-", "−")


def _p(value: float | None) -> str:
    if value is None:
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
