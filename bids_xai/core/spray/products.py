"""Sums of matrix products of maps, tile by tile, by the library that is fastest at them."""

from __future__ import annotations

from typing import Any

import numpy as np

from bids_xai.arrays import Floats, Floats64

TILE = 2048
"""Rows on a side of a product: large enough for the full speed of a processor, small in memory."""


def add_products(
    sums: Floats64, left: Floats, right: Floats, device: str = "cpu", tile: int = TILE
) -> None:
    """Add ``left @ right.T`` to ``sums`` (a, b), in place.

    left : (a, w); right : (b, w), both float32 or float64. Where ``right`` *is* ``left``, tiles
        above the diagonal are left out: :func:`mirror` fills them in once all sums are complete
    device : ``cpu`` by numpy, any other name by torch (on a GPU in full precision)
    """
    same = right is left
    ours = _on(left, device)
    others = ours if same else _on(right, device)
    for rows in _tiles(len(left), tile):
        for columns in _tiles(len(right), tile):
            if not (same and columns.start > rows.start):
                sums[rows, columns] += _on_host(ours[rows] @ others[columns].T)


def mirror(sums: Floats64, tile: int = TILE) -> None:
    """Fill the tiles above the diagonal of symmetric sums (a, a) from those below, in place."""
    for rows in _tiles(len(sums), tile):
        for columns in _tiles(rows.start, tile):
            sums[columns, rows] = sums[rows, columns].T


def _tiles(size: int, tile: int) -> list[slice]:
    return [slice(start, min(start + tile, size)) for start in range(0, size, tile)]


def _on(values: Floats, device: str) -> Any:
    """The values where products are taken."""
    if device == "cpu":
        return values
    import torch

    return torch.from_numpy(np.ascontiguousarray(values)).to(device)


def _on_host(product: Any) -> Floats:
    """A product as numpy has it."""
    return product if isinstance(product, np.ndarray) else product.cpu().numpy()
