"""How far heatmaps agree across methods, splits and configurations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from bids_xai.figures.regions import agreement_matrices
from bids_xai.reports.blocks import Block, Picture, Subheading, Table, Text, embedded
from bids_xai.reports.study_files import Study, natural, section
from bids_xai.tables.numbers import MISSING, number, percent

_TOPS = {"top10_sum": "by sum", "top10_density": "by density", "top10_gain": "by gain"}
_TOP_TITLES = tuple(title.capitalize() for title in _TOPS.values())
_FEWEST_DRAWN = 3
_MAPS = {
    "iou_0.1": ("IoU, top 10 %", percent),
    "iou_0.4": ("IoU, top 40 %", percent),
    "iou_0.5": ("IoU, top 50 %", percent),
    "ssim": ("SSIM", number),
    "spearman": ("Rank correlation", number),
    "euclidean": ("Distance of maps over their sum", number),
    "l2": ("Distance of maps over their maximum", number),
}
_KINDS = {
    "methods": ("Methods", "configuration", "configuration {}"),
    "configurations": ("Configurations", "method", "method {}"),
}
_GROUPS = ("TP", "TN")


@section("Agreement of heatmaps", "atlas")
def agreement(study: Study) -> list[Block]:
    """Return which regions and voxels methods, configurations and splits have in common."""
    table = study.table("atlas/overlap.tsv")
    if table is None:
        return [study.missing("atlas/overlap.tsv")]
    blocks: list[Block] = []
    for kind, (title, key, words) in _KINDS.items():
        mine = table[table["comparison"] == kind]
        if len(mine):
            blocks.append(Subheading(title))
            blocks += _matrices(study, mine, key, words)
            blocks += _distances(study, mine, key, words)
    splits = table[table["comparison"] == "splits"]
    if len(splits):
        blocks += [Subheading("Splits"), *_over_splits(study, splits)]
    return blocks or [Text("There is nothing to compare.", "note")]


def _matrices(study: Study, table: Any, key: str, words: str) -> Iterator[Block]:
    """Share of the ten leading regions in common: a picture for each atlas and ``key``.

    Of two there is nothing to draw; all such pairs make one table.
    """
    positive = study.classes[1]
    tops = table[table["metric"].isin(list(_TOPS)) & (table["group"] == positive)]
    pairs: list[tuple[str, ...]] = []
    for (what, atlas), part in tops.groupby([key, "atlas"], sort=True):
        part = _merged(part)
        names = _names(part)
        if len(names) < _FEWEST_DRAWN:
            values = dict(zip(part["metric"], part["value"], strict=True))
            cells = [percent(values.get(metric, np.nan)) for metric in _TOPS]
            pairs.append((words.format(what).capitalize(), ", ".join(names), str(atlas), *cells))
            continue
        panels = {
            title: (names, _matrix(part[part["metric"] == metric], names))
            for metric, title in _TOPS.items()
            if (part["metric"] == metric).any()
        }
        yield _picture(panels, f"{words.format(what)}, atlas {atlas}", positive)
    if pairs:
        caption = f"Part of the ten leading regions that two have in common, scans of {positive}."
        yield Table(caption, ("Within", "Pair", "Atlas", *_TOP_TITLES), tuple(pairs))


def _merged(part: Any) -> Any:
    """The lines of joined sides where there are any."""
    joined = part[part["merged"] == "true"]
    return joined if len(joined) else part


def _names(part: Any) -> list[str]:
    return list(dict.fromkeys([*part["a"], *part["b"]]))


def _matrix(part: Any, names: list[str]) -> Any:
    values = np.full((len(names), len(names)), np.nan)
    np.fill_diagonal(values, 1.0)
    for a, b, value in zip(part["a"], part["b"], part["value"], strict=True):
        values[names.index(a), names.index(b)] = values[names.index(b), names.index(a)] = value
    return values


def _picture(panels: dict[str, Any], what: str, group: str) -> Picture:
    caption = (
        f"Share in % of the ten leading regions that two have in common, whatever their order, for "
        f"scans of {group}: {what}."
    )
    return embedded(agreement_matrices(panels), f"Leading regions in common: {what}", caption)


def _distances(study: Study, table: Any, key: str, words: str) -> Iterator[Block]:
    """How alike mean maps are, pair by pair, in both classes."""
    maps = table[table["metric"].isin(list(_MAPS)) & table["group"].isin(study.classes)]
    for what, part in maps.groupby(key, sort=True):
        rows = []
        for (a, b, group), pair in part.groupby(["a", "b", "group"], sort=False):
            values = dict(zip(pair["metric"], pair["value"], strict=True))
            cells = [write(values.get(metric, np.nan)) for metric, (_, write) in _MAPS.items()]
            rows.append((f"{a}, {b}", str(group), *cells))
        caption = (
            f"Mean maps of {words.format(what)}, pair by pair. IoU: intersection over union of the "
            "smallest sets of voxels that hold this part of the positive relevance."
        )
        yield Table(caption, ("Pair", "Class", *(t for t, _ in _MAPS.values())), tuple(rows))


def _over_splits(study: Study, table: Any) -> Iterator[Block]:
    """Means over all pairs of splits: leading regions, then maps."""
    yield Text(
        "Each split trained a network of its own. Low agreement says that a heatmap owes much to "
        "the one training it comes from."
    )
    tops = table[table["metric"].isin(list(_TOPS)) & (table["group"] == study.classes[1])]
    rows = []
    for (name, method, atlas), part in tops.groupby(["configuration", "method", "atlas"]):
        means = _merged(part).groupby("metric")["value"].mean()
        cells = [percent(float(means.get(metric, np.nan))) for metric in _TOPS]
        rows.append((str(name), str(method), str(atlas), *cells))
    if rows:
        caption = (
            f"Ten leading regions in scans of {study.classes[1]} that two splits have in common, "
            "mean over all pairs of splits."
        )
        header = ("Configuration", "Method", "Atlas", *_TOP_TITLES)
        yield Table(caption, header, tuple(sorted(rows, key=lambda row: natural(row[0]))))
    yield _maps_over_splits(study, table)


def _maps_over_splits(study: Study, table: Any) -> Table:
    chosen = [group for group in (*study.classes, *_GROUPS) if (table["group"] == group).any()]
    maps = table[table["metric"].isin(list(_MAPS)) & table["group"].isin(chosen)]
    rows = []
    for (name, method, group), part in maps.groupby(["configuration", "method", "group"]):
        means = part.groupby("metric")["value"].mean()
        cells = [write(float(means.get(metric, np.nan))) for metric, (_, write) in _MAPS.items()]
        rows.append((str(name), str(method), str(group) or MISSING, *cells))
    header = ("Configuration", "Method", "Group", *(title for title, _ in _MAPS.values()))
    caption = "Mean maps of two splits, mean over all pairs of splits."
    return Table(caption, header, tuple(rows))
