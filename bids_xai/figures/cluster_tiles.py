"""Small pictures of many heatmaps in one PNG sheet: the projections of each along three axes."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray

from bids_xai.arrays import Bools, Floats, Floats64

TILE_PX = (54, 168)
"""Height and width of a tile in pixels."""
MOST_TILES = 1000
"""More maps get no picture, so that a page stays small."""

_COLUMNS = 16
_COLOURS = 63  # of the map; colour 63 is the outline of the brain
_OUTLINE = (130, 160, 190)


def projection_tile(volume: Floats, brain: Bools | None = None) -> NDArray[np.uint8]:
    """Return the strongest absolute values along three axes, side by side, as colour numbers.

    volume, brain : (x, y, z) in RAS order; radiological, front and top of the head at the top
    """
    strength = np.abs(volume).astype(np.float64)
    top = np.percentile(strength[strength > 0], 99.9) if (strength > 0).any() else 1.0
    scaled = np.clip(strength / top, 0, 1)
    tile = np.zeros(TILE_PX, np.uint8)
    width = TILE_PX[1] // 3
    for number, axis in enumerate((2, 1, 0)):
        seen = scaled.max(axis=axis).T[::-1, ::-1]
        cell = np.round(_fitted(seen, TILE_PX[0], width) * (_COLOURS - 1)).astype(np.uint8)
        if brain is not None:
            shadow = _fitted(brain.max(axis=axis).T[::-1, ::-1].astype(np.float64), *cell.shape)
            cell[_border(shadow > 0.5) & (cell < _COLOURS // 3)] = _COLOURS
        tile[:, number * width : (number + 1) * width] = cell
    return tile


def _fitted(image: Floats64, height: int, width: int) -> Floats64:
    """The image at the largest size that fits, centred, each pixel the strongest it covers."""
    rows, columns = image.shape
    scale = min(height / rows, width / columns)
    h, w = max(1, int(rows * scale)), max(1, int(columns * scale))
    if scale < 1:
        image = np.maximum.reduceat(image, np.arange(h) * rows // h, axis=0)
        image = np.maximum.reduceat(image, np.arange(w) * columns // w, axis=1)
    else:
        image = image[np.arange(h) * rows // h][:, np.arange(w) * columns // w]
    result = np.zeros((height, width))
    top, left = (height - h) // 2, (width - w) // 2
    result[top : top + h, left : left + w] = image
    return result


def _border(mask: Bools) -> Bools:
    inner = mask.copy()
    for axis in (0, 1):
        for step in (-1, 1):
            inner &= np.roll(mask, step, axis=axis)
    result: Bools = mask & ~inner
    return result


def tile_sheet(tiles: Sequence[NDArray[np.uint8]]) -> bytes:
    """Return the tiles as one PNG with a palette, 16 a line, in their order."""
    from PIL import Image

    height, width = TILE_PX
    lines = max(1, -(-len(tiles) // _COLUMNS))
    sheet = np.zeros((lines * height, min(len(tiles), _COLUMNS) * width), np.uint8)
    for number, tile in enumerate(tiles):
        top, left = number // _COLUMNS * height, number % _COLUMNS * width
        sheet[top : top + height, left : left + width] = tile
    colours = (colormaps.get_cmap("inferno")(np.linspace(0, 1, _COLOURS))[:, :3] * 255).astype(
        np.uint8
    )
    image = Image.frombytes("P", (sheet.shape[1], sheet.shape[0]), sheet.tobytes())
    image.putpalette([*colours.ravel().tolist(), *_OUTLINE])
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
