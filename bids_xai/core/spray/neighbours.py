"""Nearest neighbours of maps with very many voxels, exactly, block by block, in bounded memory.

Squared distances come from matrix products of maps less their mean: a search tree is made for
many short rows and gains nothing on rows of 100,000 voxels and more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bids_xai.arrays import Floats, Floats64, Ints
from bids_xai.core.spray.products import add_products, mirror
from bids_xai.errors import BadDataError

Maps = Floats

MEMORY_MB = 1024.0
"""Default bound of the working memory (the maps themselves not counted)."""

EXACT_UP_TO = 2000
"""Up to so many maps, products are taken in float64; beyond, in float32 with float64 sums."""

_SAMPLE = 256  # maps whose mean is the centre, about
_NARROWEST, _WIDEST = 256, 8192  # voxels in a product; more would lose digits in float32


@dataclass(frozen=True)
class Neighbours:
    """The nearest maps of every map.

    indices : (n, c) nearest first, the map itself always first
    squared : (n, c) squared Euclidean distances, 0 for the map itself
    recall : share of the true neighbours found, measured on a sample; None for an exact search
    """

    indices: Ints
    squared: Floats64
    recall: float | None = None


@dataclass(frozen=True)
class Blocks:
    """How much is worked on at once within a bound of memory.

    rows : maps on a side of a block of distances; columns : voxels in a product; strip : rows of a
        block whose nearest are looked for at once
    """

    rows: int
    columns: int
    strip: int

    @classmethod
    def within(cls, memory_mb: float, n: int) -> Blocks:
        """Half of the memory for a block of distances, the rest for what makes and reads it.

        A block is as large as it can be: maps are read and centred once for each block of a row of
        blocks, and up to 8,000 maps are a single block of the default memory.
        """
        memory = memory_mb * 2**20
        rows = int(min(n, max(64, np.sqrt(memory / 2 / 8))))
        values = memory / 4 / precision(n).itemsize  # of the maps of both sides
        strip = int(memory / 16 / (8 * 2 * rows))  # order and copies beside the block
        columns = min(_WIDEST, int(values / (2 * rows)))
        return cls(rows, max(_NARROWEST, columns), max(16, strip))


def precision(n: int) -> np.dtype[Any]:
    """Type of the products of ``n`` maps."""
    return np.dtype(np.float64 if n <= EXACT_UP_TO else np.float32)


@dataclass(frozen=True)
class Centred:
    """Maps (n, p) and a centre (p,) that is taken off them before products are taken.

    Distances are the same for every centre; near the mean few digits are lost.
    device : where matrix products are taken: ``cpu`` by numpy, any other name by torch
    """

    maps: Maps
    centre: Floats64
    device: str = "cpu"

    @classmethod
    def of(cls, maps: Maps, device: str = "cpu") -> Centred:
        """The mean of some maps, evenly spaced, is near enough: the others are not read for it."""
        some = maps[:: max(1, len(maps) // _SAMPLE)]
        centre = np.zeros(maps.shape[1])
        with np.errstate(invalid="ignore"):  # told by the squares
            for values in some:
                centre += values
        return cls(maps, centre / len(some), device)

    def distances(self, rows: slice | Ints, others: slice | Ints, width: int) -> Floats64:
        """Squared distances of some maps to others, by products of ``width`` voxels at a time.

        Raises ``BadDataError`` for maps that are not finite.
        """
        same = rows is others
        numbers = np.arange(len(self.maps))
        squares, squares_of_others = np.zeros(numbers[rows].size), np.zeros(numbers[others].size)
        products: Floats64 = np.zeros((squares.size, squares_of_others.size))
        width = min(width, self.centre.size)
        room = np.empty(squares.size * width, precision(len(self.maps)))  # fresh memory costs time
        room_of_others = room if same else np.empty(squares_of_others.size * width, room.dtype)
        for columns in _slices(self.centre.size, width):
            left = self._part(rows, columns, room)
            right = left if same else self._part(others, columns, room_of_others)
            squares += _squares(left)
            squares_of_others += 0.0 if same else _squares(right)
            add_products(products, left, right, self.device)
        if same:
            mirror(products)
            squares_of_others = squares
        self._check_finite(squares, squares_of_others)
        products *= -2
        products += squares[:, None]
        products += squares_of_others[None, :]
        return np.maximum(products, 0.0, out=products)

    def _part(self, rows: slice | Ints, columns: slice, room: Maps) -> Maps:
        """Some voxels of some maps, less the centre, written into ``room``, in its precision."""
        maps = self.maps[rows, columns]
        part: Maps = room[: maps.size].reshape(maps.shape)
        centre = self.centre[columns].astype(part.dtype)
        with np.errstate(invalid="ignore"):  # told by the squares
            return np.subtract(maps, centre, out=part, casting="same_kind")

    def _check_finite(self, *squares: Floats64) -> None:
        if not all(np.isfinite(values).all() for values in squares):
            n, p = self.maps.shape
            raise BadDataError(
                f"Maps to cluster must be finite, those given ({n} of {p} voxels) are not",
                fix="look for NaN and infinite values, or for overflow of float16, in the maps",
            )


def _squares(part: Maps) -> Floats64:
    """Sums of squares (n,) of a part (n, w) of maps, in float64."""
    sums: Floats64 = np.einsum("ij,ij->i", part, part, dtype=np.float64)
    return sums


def squared_distances(features: Maps, block: int = 65536) -> Floats64:
    """Squared Euclidean distances (n, n) of maps (n, p), by matrix products of blocks of voxels.

    In float64 up to 2,000 maps: the error is about 1e-15 of the squared distance from the mean.
    Raises ``BadDataError`` for maps that are not finite.
    """
    all_maps = slice(0, len(features))
    centred = Centred.of(features)
    distances = centred.distances(all_maps, all_maps, block)
    np.fill_diagonal(distances, 0.0)
    return distances


def exact_neighbours(
    features: Maps, count: int, *, memory_mb: float = MEMORY_MB, device: str = "cpu"
) -> Neighbours:
    """The ``count`` nearest maps of every map, itself included; ties in the order of the rows.

    features : (n, p) float16, float32 or float64; may be memory-mapped, is read in blocks
    memory_mb : bound of the working memory
    device : ``cpu``, or of torch (``cuda``) for the matrix products
    Raises ``BadDataError`` for maps that are not finite.
    """
    n = len(features)
    count = min(count, n)
    blocks = Blocks.within(memory_mb, n)
    centred = Centred.of(features, device)
    best = _Best.empty(n, count)
    for first in _slices(n, blocks.rows):
        for second in _slices(n, blocks.rows):
            if second.start < first.start:
                continue  # seen from the other side
            block = centred.distances(first, first if second == first else second, blocks.columns)
            if second == first:
                np.fill_diagonal(block, -1.0)  # itself comes first, duplicates or not
            else:
                best.offer(second, first.start, block.T, blocks.strip)
            best.offer(first, second.start, block, blocks.strip)
    return Neighbours(best.indices, np.maximum(best.squared, 0.0))


@dataclass(frozen=True)
class _Best:
    """The nearest maps found so far, for all maps."""

    indices: Ints
    squared: Floats64

    @classmethod
    def empty(cls, n: int, count: int) -> _Best:
        return cls(np.zeros((n, count), np.int64), np.full((n, count), np.inf))

    def offer(self, rows: slice, start: int, block: Floats64, strip: int) -> None:
        """Keep the nearest of what there was and of a block whose columns begin at ``start``.

        Blocks come in ascending order of their columns, so that ties go to the lower row.
        strip : rows that are looked at together
        """
        for part in _slices(len(block), strip):
            self._offer(slice(rows.start + part.start, rows.start + part.stop), start, block[part])

    def _offer(self, rows: slice, start: int, block: Floats64) -> None:
        count = self.squared.shape[1]
        columns = smallest_columns(block, min(count, block.shape[1]))
        values = np.hstack([self.squared[rows], np.take_along_axis(block, columns, 1)])
        indices = np.hstack([self.indices[rows], columns + start])
        order = np.argsort(values, axis=1, kind="stable")[:, :count]
        self.squared[rows] = np.take_along_axis(values, order, 1)
        self.indices[rows] = np.take_along_axis(indices, order, 1)


def smallest_columns(values: Floats64, count: int) -> Ints:
    """Columns (b, count) of the smallest values of each row (b, m), ascending; ties by column."""
    if count >= values.shape[1]:
        return np.argsort(values, axis=1, kind="stable")
    columns: Ints = np.argpartition(values, count - 1, axis=1)[:, :count]
    columns.sort(axis=1)
    smallest = np.take_along_axis(values, columns, 1)
    limit = smallest.max(axis=1, keepdims=True)
    columns = np.take_along_axis(columns, np.argsort(smallest, axis=1, kind="stable"), 1)
    tied = np.count_nonzero(values <= limit, axis=1) > count  # others as near as the last
    if tied.any():
        columns[tied] = np.argsort(values[tied], axis=1, kind="stable")[:, :count]
    return columns


def _slices(size: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, size)) for start in range(0, size, step)]
