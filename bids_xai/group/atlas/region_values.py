"""Region values of all maps as compact arrays, and the table of them, written line by line."""

from __future__ import annotations

import filecmp
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from bids_xai.arrays import Floats, Floats64
from bids_xai.bids.files import TEMPORARY, column_descriptions, tsv_text, write_json
from bids_xai.core.regions.names import Region, joined_regions, joined_sums, single_regions
from bids_xai.core.regions.sums import RegionIndex, divide
from bids_xai.errors import CannotCreateError
from bids_xai.group.context import GroupContext
from bids_xai.templates.grid import load_atlases
from bids_xai.templates.lookup import Atlas

Row = dict[str, str]

_LINES = 20_000  # turned into text at a time


@dataclass(frozen=True)
class Part:
    """The maps of one configuration and method: lines ``start`` to ``stop`` of the predictions."""

    configuration: str
    method: str
    start: int
    stop: int

    @property
    def lines(self) -> slice:
        """Its lines."""
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class View:
    """Relevance by region of one atlas, its sides apart or joined.

    sums, abs_sums : (n_maps, n_regions); totals : (n_maps,) of the whole maps
    n_voxels : (n_regions,)
    """

    atlas: str
    merged: bool
    regions: tuple[Region, ...]
    n_voxels: Floats64
    sums: Floats64
    abs_sums: Floats64
    totals: Floats64

    @property
    def densities(self) -> Floats64:
        """Sum a voxel, (n_maps, n_regions), NaN for a region without voxels."""
        return divide(self.sums, self.n_voxels[None, :])

    @property
    def shares(self) -> Floats64:
        """Share of the whole map's sum, (n_maps, n_regions), NaN where that is zero."""
        return divide(self.sums, self.totals[:, None])

    def of(self, part: Part) -> View:
        """The maps of one part."""
        return View(
            self.atlas,
            self.merged,
            self.regions,
            self.n_voxels,
            self.sums[part.lines],
            self.abs_sums[part.lines],
            self.totals[part.lines],
        )


class RegionValues:
    """Collects the region sums of maps, atlas by atlas; 16 bytes a map and region."""

    def __init__(self, atlases: Sequence[Atlas], n_maps: int) -> None:
        self.atlases = tuple(atlases)
        chosen = [[index for index, _ in atlas.labels] for atlas in atlases]
        pairs = zip(atlases, chosen, strict=True)
        self.index = RegionIndex([(a.volume.data, values) for a, values in pairs])
        self.totals: Floats64 = np.full(n_maps, np.nan)
        self._sums = [np.full((n_maps, len(values)), np.nan) for values in chosen]
        self._abs_sums = [np.full((n_maps, len(values)), np.nan) for values in chosen]

    def add(self, line: int, data: Floats) -> None:
        """Take in the map of one line. Raises as :meth:`RegionIndex.sums`."""
        self.totals[line] = data.sum(dtype=np.float64)
        for place, found in enumerate(self.index.sums(data)):
            self._sums[place][line] = found.sum
            self._abs_sums[place][line] = found.abs_sum

    def views(self) -> list[View]:
        """Every atlas with its sides apart, then joined where it has any."""
        found = []
        for place, atlas in enumerate(self.atlases):
            sizes = self.index.n_voxels[place].astype(np.float64)
            sums, abs_sums = self._sums[place], self._abs_sums[place]
            single, joined = single_regions(atlas.labels), joined_regions(atlas.labels)
            found.append(View(atlas.name, False, single, sizes, sums, abs_sums, self.totals))
            if joined:
                sizes, sums, abs_sums = (joined_sums(v, joined) for v in (sizes, sums, abs_sums))
                found.append(View(atlas.name, True, joined, sizes, sums, abs_sums, self.totals))
        return found


def find_atlases(context: GroupContext) -> list[Atlas]:
    """Return the atlases of this run, as the participant level finds them.

    Raises as :func:`load_atlases` does.
    """
    return load_atlases(context.template, context.settings.atlas)


def parts_of(context: GroupContext, rows: Sequence[Row]) -> tuple[list[Row], list[Part]]:
    """Sort predictions by configuration, method and split, and tell where each pair lies."""
    study = context.study
    configurations = [configuration.id for configuration in study.configurations]

    def key(row: Row) -> tuple[tuple[int, str], tuple[int, str], int]:
        first = _rank(row["configuration"], configurations)
        return first, _rank(row["method"], study.attribution.methods), int(row["split"])

    ordered = sorted(rows, key=key)
    parts: list[Part] = []
    for line, row in enumerate(ordered):
        pair = (row["configuration"], row["method"])
        if parts and (parts[-1].configuration, parts[-1].method) == pair:
            parts[-1] = Part(*pair, parts[-1].start, line + 1)
        else:
            parts.append(Part(*pair, line, line + 1))
    return ordered, parts


def _rank(name: str, order: Sequence[str]) -> tuple[int, str]:
    return (order.index(name) if name in order else len(order), name)


def region_lines(rows: Sequence[Row], views: Sequence[View]) -> Iterator[dict[str, Any]]:
    """Yield the lines of ``regions.tsv``, map by map; sides apart."""
    single = [view for view in views if not view.merged]
    tables = [(view, view.densities, view.shares) for view in single]
    for line, row in enumerate(rows):
        for view, densities, shares in tables:
            for place, region in enumerate(view.regions):
                yield {
                    **row,
                    "atlas": view.atlas,
                    "index": region.index,
                    "name": region.name,
                    "hemisphere": region.hemisphere,
                    "n_voxels": int(view.n_voxels[place]),
                    "sum": view.sums[line, place],
                    "abs_sum": view.abs_sums[line, place],
                    "density": densities[line, place],
                    "share": shares[line, place],
                }


def stream_table(
    path: Path, lines: Iterable[Mapping[str, Any]], columns: Mapping[str, str]
) -> list[Path]:
    """Write a TSV of any length with its JSON, atomically, a block of lines at a time.

    A file that holds the same already keeps its time stamp. Returns both files.
    Raises :class:`CannotCreateError` where the folder or disk refuses.
    """
    about = write_json(path.with_suffix(".json"), column_descriptions(columns))
    temporary = path.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
    source = iter(lines)
    try:
        try:
            with temporary.open("x", encoding="utf-8", newline="") as stream:
                stream.write(tsv_text([], columns))
                while block := list(islice(source, _LINES)):
                    stream.write(tsv_text(block, columns).partition("\n")[2])
            if not (path.is_file() and filecmp.cmp(path, temporary, shallow=False)):
                os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise CannotCreateError(
            f"cannot write the file: {error.strerror or error}",
            file=path,
            fix="check free space and write permission of the folder",
        ) from error
    return [path, about]
