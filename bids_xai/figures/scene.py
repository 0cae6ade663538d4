"""What a sheet of brain slices shows: a grey background, outlines, maps in colour, lines of cuts.

All volumes are (x, y, z) in RAS order: x grows to the patient's right, y to the front, z upwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Colormap, ListedColormap, Normalize

from bids_xai.arrays import Bools, Floats
from bids_xai.figures.cuts import AXES

CONVENTION = "Radiological convention: the patient's right (R) is on the left of the picture."

_MARGIN_VOXELS = 2
_FAINT = 0.05  # of the background's window: below it counts as air when cropping
_INFERNO_FROM = 0.3  # leaves out the colours that vanish on black


@dataclass(frozen=True)
class Overlay:
    """A map drawn in colour: up to ``window[0]`` transparent, ``window[1]`` the last colour.

    signed : the same for both signs of the value (the map's colours then run through white).
    """

    values: Floats
    window: tuple[float, float]
    signed: bool = False

    @property
    def shown(self) -> Bools:
        """Where the map is drawn."""
        strength = np.abs(self.values) if self.signed else self.values
        result: Bools = strength > self.window[0]
        return result

    @property
    def norm(self) -> Normalize:
        """From values to 0..1."""
        low, high = self.window
        high = max(high, low + 1e-12 + 1e-6 * abs(low))
        return Normalize(-high if self.signed else low, high, clip=False)

    @property
    def colours(self) -> Colormap:
        """Colours that grow lighter with the value; diverging through white where signed."""
        return colormaps.get_cmap("RdBu_r") if self.signed else _bright_inferno()


@cache
def _bright_inferno() -> Colormap:
    return ListedColormap(colormaps.get_cmap("inferno")(np.linspace(_INFERNO_FROM, 1.0, 256)))


@dataclass(frozen=True)
class Scene:
    """The grey picture under all slices, and the contours over it.

    window : background values drawn black and white
    origin_mm : position of voxel (0, 0, 0), for grids along the axes of a common space
    """

    background: Floats
    window: tuple[float, float]
    voxel_mm: tuple[float, ...]
    outlines: tuple[Bools, ...] = ()
    outline_labels: tuple[str, ...] = ()
    origin_mm: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Row:
    """A line of slices, each (plane, index), with one overlay."""

    cuts: tuple[tuple[str, int], ...]
    overlay: Overlay | None = None
    label: str = ""


def grey_window(volume: Floats) -> tuple[float, float]:
    """Return the values drawn black and white: 0 (or the minimum) and the 99.5th percentile."""
    finite = volume[np.isfinite(volume)]
    filled = finite[finite > 0]
    if not filled.size:
        return 0.0, 1.0
    return min(0.0, float(finite.min())), float(np.percentile(filled, 99.5))


def extent_of(scene: Scene, overlays: Sequence[Overlay]) -> Bools:
    """Where there is something to see: the overlays, else the outlines, else the background."""
    for masks in ([o.shown for o in overlays], list(scene.outlines)):
        union = np.any(masks, axis=0) if masks else np.zeros(1, dtype=bool)
        if union.any():
            result: Bools = union
            return result
    return _lit(scene)


def _lit(scene: Scene) -> Bools:
    low, high = scene.window
    lit: Bools = np.nan_to_num(scene.background) > low + _FAINT * (high - low)
    return lit


def cropped(scene: Scene, rows: Sequence[Row]) -> tuple[Scene, list[Row]]:
    """Cut air off all sides, the same from all volumes; slice positions move along."""
    overlays = [row.overlay for row in rows if row.overlay]
    filled = np.any([_lit(scene), *scene.outlines, *(o.shown for o in overlays)], axis=0)
    if not filled.any():
        return scene, list(rows)
    others = [tuple(k for k in range(filled.ndim) if k != axis) for axis in range(filled.ndim)]
    lines = [np.flatnonzero(filled.any(axis=axes)) for axes in others]
    start = np.maximum([line[0] - _MARGIN_VOXELS for line in lines], 0)
    stop = [line[-1] + 1 + _MARGIN_VOXELS for line in lines]
    box = tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    origin = scene.origin_mm and tuple(
        o + s * v for o, s, v in zip(scene.origin_mm, start, scene.voxel_mm, strict=True)
    )
    smaller = replace(
        scene,
        background=scene.background[box],
        outlines=tuple(mask[box] for mask in scene.outlines),
        origin_mm=origin,
    )
    return smaller, [_cropped_row(row, box, start, smaller.background.shape) for row in rows]


def _cropped_row(row: Row, box: tuple[slice, ...], start: Floats, shape: tuple[int, ...]) -> Row:
    limits = {plane: (int(start[axis]), shape[axis] - 1) for plane, axis in AXES.items()}
    cuts = tuple(
        (plane, min(max(index - limits[plane][0], 0), limits[plane][1]))
        for plane, index in row.cuts
    )
    overlay = row.overlay and replace(row.overlay, values=row.overlay.values[box])
    return replace(row, cuts=cuts, overlay=overlay)
