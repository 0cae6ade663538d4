"""How far heatmaps agree across methods, splits and configurations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bids_xai.arrays import Floats
from bids_xai.figures.regions import agreement_matrices
from bids_xai.reports.blocks import Block, Picture, Subheading, TableBlock, Text, embedded
from bids_xai.reports.study.rows import grouped, means_by, text_of
from bids_xai.reports.study_files import StudyFiles, natural, section
from bids_xai.tables.atlas import OVERLAP, Overlap
from bids_xai.tables.numbers import number, percent

_TOPS = {"top10_sum": "by sum", "top10_density": "by density", "top10_gain": "by gain"}
_TOP_TITLES = tuple(title.capitalize() for title in _TOPS.values())
_FEWEST_DRAWN = 3
_MAPS: Mapping[str, tuple[str, Callable[[float | None], str]]] = {
    "iou_0.1": ("IoU, top 10 %", percent),
    "iou_0.4": ("IoU, top 40 %", percent),
    "iou_0.5": ("IoU, top 50 %", percent),
    "ssim": ("SSIM", number),
    "spearman": ("Rank correlation", number),
    "euclidean": ("Distance of maps over their sum", number),
    "l2": ("Distance of maps over their maximum", number),
}


@dataclass(frozen=True)
class _Comparison:
    """What is compared, within what, and words for the latter."""

    kind: str
    title: str
    within: Callable[[Overlap], str]
    words: str


_COMPARISONS = (
    _Comparison("methods", "Methods", lambda row: text_of(row.configuration), "configuration {}"),
    _Comparison("configurations", "Configurations", lambda row: text_of(row.method), "method {}"),
)
_GROUPS = ("TP", "TN")


@section("Agreement of heatmaps", "atlas")
def agreement(study: StudyFiles) -> list[Block]:
    """Return which regions and voxels methods, configurations and splits have in common."""
    rows = study.rows(OVERLAP, "atlas")
    if not rows:
        return [study.missing(OVERLAP, "atlas")]
    blocks: list[Block] = []
    for comparison in _COMPARISONS:
        compared = [row for row in rows if row.comparison == comparison.kind]
        if compared:
            blocks.append(Subheading(comparison.title))
            blocks += _matrices(study, compared, comparison)
            blocks += _distances(study, compared, comparison)
    splits = [row for row in rows if row.comparison == "splits"]
    if splits:
        blocks += [Subheading("Splits"), *_over_splits(study, splits)]
    return blocks or [Text("There is nothing to compare.", "note")]


def _matrices(
    study: StudyFiles, rows: Sequence[Overlap], comparison: _Comparison
) -> Iterator[Block]:
    """Share of the ten leading regions in common: a picture for each atlas and what is within.

    Of two there is nothing to draw; all such pairs make one table.
    """
    positive = study.classes[1]
    groups = grouped(
        _tops(rows, positive), lambda row: (comparison.within(row), text_of(row.atlas))
    )
    pairs: list[tuple[str, ...]] = []
    for (within, atlas), lines in sorted(groups.items()):
        part = _joined(lines)
        names, words = _names(part), comparison.words.format(within)
        if len(names) < _FEWEST_DRAWN:
            values = {row.metric: row.value for row in part}
            cells = [percent(values.get(metric)) for metric in _TOPS]
            pairs.append((words.capitalize(), ", ".join(names), atlas, *cells))
            continue
        metrics = grouped(part, lambda row: row.metric)
        panels = {
            title: (names, _matrix(metrics.get(metric, ()), names))
            for metric, title in _TOPS.items()
            if metric in metrics
        }
        yield _picture(panels, f"{words}, atlas {atlas}", positive)
    if pairs:
        caption = f"Proportion of the ten leading regions that two share, scans of {positive}."
        yield TableBlock(caption, ("Within", "Pair", "Atlas", *_TOP_TITLES), tuple(pairs))


def _tops(rows: Sequence[Overlap], group: str) -> list[Overlap]:
    return [row for row in rows if row.metric in _TOPS and row.group == group]


def _joined(rows: Sequence[Overlap]) -> Sequence[Overlap]:
    """The lines of joined sides where there are any."""
    return [row for row in rows if row.merged] or rows


def _names(rows: Sequence[Overlap]) -> list[str]:
    return list(dict.fromkeys([*(row.a for row in rows), *(row.b for row in rows)]))


def _matrix(rows: Sequence[Overlap], names: list[str]) -> Floats:
    values = np.full((len(names), len(names)), np.nan)
    np.fill_diagonal(values, 1.0)
    for row in rows:
        i, j = names.index(row.a), names.index(row.b)
        values[i, j] = values[j, i] = math.nan if row.value is None else row.value
    return values


def _picture(panels: Mapping[str, tuple[list[str], Floats]], what: str, group: str) -> Picture:
    caption = (
        f"Percentage of the ten leading regions that two share, regardless of order, "
        f"for scans of {group}: {what}."
    )
    return embedded(agreement_matrices(panels), f"Shared leading regions: {what}", caption)


def _distances(
    study: StudyFiles, rows: Sequence[Overlap], comparison: _Comparison
) -> Iterator[Block]:
    """How alike mean maps are, pair by pair, in both classes."""
    maps = [row for row in rows if row.metric in _MAPS and row.group in study.classes]
    for within, part in sorted(grouped(maps, comparison.within).items()):
        lines = []
        for (a, b, group), pair in grouped(part, lambda row: (row.a, row.b, row.group)).items():
            values = {row.metric: row.value for row in pair}
            cells = [write(values.get(metric)) for metric, (_, write) in _MAPS.items()]
            lines.append((f"{a}, {b}", group, *cells))
        caption = (
            f"Mean maps of {comparison.words.format(within)}, pair by pair. IoU: intersection "
            "over union of the smallest sets of voxels that contain this fraction of the positive "
            "relevance."
        )
        yield TableBlock(caption, ("Pair", "Class", *(t for t, _ in _MAPS.values())), tuple(lines))


def _over_splits(study: StudyFiles, rows: Sequence[Overlap]) -> Iterator[Block]:
    """Means over all pairs of splits: leading regions, then maps."""
    yield Text(
        "Each split trained its own network. Low agreement means that a heatmap depends strongly "
        "on the particular training it comes from."
    )
    groups = grouped(
        _tops(rows, study.classes[1]),
        lambda row: (text_of(row.configuration), text_of(row.method), text_of(row.atlas)),
    )
    lines = []
    for key, part in sorted(groups.items()):
        means = means_by(_joined(part), lambda row: row.metric, lambda row: row.value)
        lines.append((*key, *(percent(means.get(metric)) for metric in _TOPS)))
    if lines:
        caption = (
            f"Proportion of the ten leading regions in scans of {study.classes[1]} that two "
            "splits share, mean over all pairs of splits."
        )
        header = ("Configuration", "Method", "Atlas", *_TOP_TITLES)
        yield TableBlock(caption, header, tuple(sorted(lines, key=lambda line: natural(line[0]))))
    yield _maps_over_splits(study, rows)


def _maps_over_splits(study: StudyFiles, rows: Sequence[Overlap]) -> TableBlock:
    maps = [row for row in rows if row.metric in _MAPS and row.group in (*study.classes, *_GROUPS)]
    groups = grouped(maps, lambda row: (text_of(row.configuration), text_of(row.method), row.group))
    lines = []
    for key, part in sorted(groups.items()):
        means = means_by(part, lambda row: row.metric, lambda row: row.value)
        cells = [write(means.get(metric)) for metric, (_, write) in _MAPS.items()]
        lines.append((*key, *cells))
    header = ("Configuration", "Method", "Group", *(title for title, _ in _MAPS.values()))
    caption = "Mean maps of two splits, mean over all pairs of splits."
    return TableBlock(caption, header, tuple(lines))
