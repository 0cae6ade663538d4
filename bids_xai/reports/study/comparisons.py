"""Pairwise tests between configurations and baselines, and what they do not show."""

from __future__ import annotations

from typing import Any

import numpy as np

from bids_xai.reports.blocks import Block, Items, Table, Text
from bids_xai.reports.study_files import Study, section, titles_of
from bids_xai.tables.numbers import MISSING, count, plural

_FEW_PAIRS = 8  # up to so many splits the smallest possible p of Wilcoxon's test is worth saying


@section("Comparisons")
def comparisons(study: Study) -> list[Block]:
    """Return the pairwise tests between configurations, and with the baselines."""
    if len(titles_of(study)) < 2:
        return [Text("Only one configuration: nothing to compare.")]
    table = study.table("comparisons.tsv")
    if table is None:
        return [study.missing("comparisons.tsv")]
    blocks: list[Block] = [_mcnemar(table)]
    notes = ["A large p does not show that two of them are equally good."]
    if "p_wilcoxon" in table.columns and table["p_wilcoxon"].notna().any():
        blocks.append(_wilcoxon(table))
        notes += _wilcoxon_notes(table)
    elif "p_wilcoxon" in table.columns:
        notes.append("Wilcoxon's test compares splits: it needs two that both were tested in.")
    return [*blocks, Items(tuple(notes))]


def _mcnemar(table: Any) -> Table:
    rows = tuple(
        (
            _pair(line),
            count(line.n),
            count(line.only_a_correct),
            count(line.only_b_correct),
            _p(line.p_value),
            _p(line.p_holm),
        )
        for line in table.itertuples()
    )
    first, second = "Only first right", "Only second right"
    header = ("Pair", "Participants", first, second, "p", "p (Holm)")
    caption = (
        "Exact McNemar test: is one right more often than the other on the same participants? "
        "Only participants that exactly one of them got right bear on it. Participants that both "
        "tested, each counted once: its first test scan in the first split. p (Holm): corrected "
        "for the "
        f"{plural(len(rows), 'pair')} of this table."
    )
    return Table(caption, header, rows)


def _wilcoxon(table: Any) -> Table:
    tested = table[table["p_wilcoxon"].notna()]
    rows = tuple(
        (
            _pair(line),
            count(line.n_splits),
            _points(line.mean_difference),
            _p(line.p_wilcoxon),
            _p(line.p_wilcoxon_holm),
        )
        for line in tested.itertuples()
    )
    header = ("Pair", "Splits", "Mean difference (points)", "p", "p (Holm)")
    caption = (
        "Wilcoxon's signed-rank test: does the difference in balanced accuracy, first minus "
        "second, lean to one side over the splits? In percentage points. p (Holm): corrected for "
        f"the {plural(len(rows), 'pair')} of this table."
    )
    return Table(caption, header, rows)


def _wilcoxon_notes(table: Any) -> list[str]:
    notes = [
        "Splits share participants, so their differences are not independent and the p of "
        "Wilcoxon's test is too small. It says how steadily one is ahead in this data set, not "
        "how sure that is for new participants."
    ]
    splits = int(table["n_splits"].max())
    if splits <= _FEW_PAIRS:
        least = 2.0 ** (1 - splits)
        notes.append(f"With {splits} splits, Wilcoxon's p cannot be below {least:.2g}.")
    return notes


def _pair(line: Any) -> str:
    return f"{line.configuration_a} and {line.configuration_b}"


def _points(share: float) -> str:
    return MISSING if np.isnan(share) else f"{100 * share:+.1f}".replace("-", "−")


def _p(value: float) -> str:
    if np.isnan(value):
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
