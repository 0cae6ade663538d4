"""Hippocampi and lateral ventricles, and a head in which they shrink or grow.

A structure is a map of proportions in template space. Smoothing it gives a potential whose gradient
points into the structure and fades within a centimetre; the head is deformed along it, just far
enough for the volume wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_xai.arrays import Bools, Floats
from bids_xai.core.regions.nuclei import Ellipsoid, Nucleus, is_inside
from bids_xai.simulation.anatomy import HEAD_CENTRE_MM
from bids_xai.simulation.deformation import CONTROL_MM, ControlGrid, Grid, interpolate
from bids_xai.templates import embedded

Corner = NDArray[np.intp] | tuple[int, int, int]

STRUCTURES = (
    Nucleus(1, "Left hippocampus", "L-Hip"),
    Nucleus(2, "Right hippocampus", "R-Hip"),
    Nucleus(3, "Left lateral ventricle", "L-LV"),
    Nucleus(4, "Right lateral ventricle", "R-LV"),
)
NAMES = ("hippocampus", "ventricles")

# Right side, rounded from a fit to size and place in a published MNI152 atlas (Dice 0.79 with the
# Harvard-Oxford subcortical labels). Head and body, and the tail that rises behind.
HIPPOCAMPUS = (
    Ellipsoid((26.0, -16.0, -18.6), (10.0, 14.7, 4.8), (-34, 22, 18)),
    Ellipsoid((27.4, -30.8, -8.6), (8.0, 16.3, 3.1), (-43, -9, -19)),
)

# Boxes of the template in mm with x counted from the middle: the lateral ventricles lie in the
# first; third ventricle and cisterns, which touch them, in the others.
_LATERAL = ((0, -52, -4), (36, 34, 32))
_NOT_LATERAL = (((0, -52, -4), (5, 3, 8)), ((0, -52, -4), (10, -28, 17)))
_SEED_MM = (8.0, 8.0, 18.0)  # in the right lateral ventricle
_RIM_VOXELS = 2  # of partial volume around it

_BOX_LOW, _BOX_HIGH = np.array([-48, -70, -42]), np.array([48, 48, 46])
_RESOLUTION_MM = 1.0
_SMOOTHING_MM = 4.0
_REACH = 0.01  # of the greatest pull; what is left beyond changes no volume
_STEPS_MM = np.linspace(-6, 6, 17)
_MEASURE_MM = 1.5


@dataclass(frozen=True)
class Structure:
    """A structure in template space; maps are (x, y, z) float32 on ``grid``.

    ``proportion`` 0 to 1; ``pull`` (3, x, y, z) gradient of the smoothed proportion, largest
    length 1, pointing inwards; ``steps_mm`` and ``ratios`` (k,): displacement along ``pull``
    against the volume it gives, as a share of the volume before.
    """

    grid: Grid
    proportion: Floats
    pull: Floats
    steps_mm: Floats
    ratios: Floats

    def step_for(self, ratio: float) -> float:
        """Displacement (mm) along ``pull`` that makes the volume ``ratio`` times as large."""
        return float(np.interp(ratio, self.ratios, self.steps_mm))


@lru_cache(maxsize=1)
def structures() -> dict[str, Structure]:
    """Both structures, by the names in ``NAMES``."""
    grid = _box()
    maps = (_hippocampi(grid), _ventricles(grid))
    return {name: _structure(grid, each) for name, each in zip(NAMES, maps, strict=True)}


def atrophy(effect: float) -> Callable[[Floats], Floats]:
    """Deformation that takes ``effect`` of the hippocampi and adds as much to the ventricles.

    effect : share of the volume, 0 to 0.7
    Returns a function from (3, n) template points to displacements (3, n), both mm.
    """
    pair = structures()
    steps = [
        pair[name].step_for(1 + sign * effect) for name, sign in zip(NAMES, (-1, 1), strict=True)
    ]

    def move(points: Floats) -> Floats:
        total = np.zeros_like(points)
        for name, step_mm in zip(NAMES, steps, strict=True):
            total += np.float32(step_mm) * pulled(pair[name], points)
        return total

    return move


def pulled(structure: Structure, points: Floats) -> Floats:
    """The ``pull`` (3, n) of a structure at (3, n) template points, mm; 0 beyond its box."""
    result = np.zeros_like(points)
    near = np.flatnonzero(_between(points, _BOX_LOW, _BOX_HIGH))
    for axis in range(3):
        result[axis, near] = interpolate(
            structure.pull[axis], structure.grid.affine, points[:, near]
        )
    return result


def label_structures(points: Floats) -> NDArray[np.int16]:
    """Labels (n,) of (3, n) template points, mm, as in ``STRUCTURES``; 0 elsewhere."""
    labels = np.zeros(points.shape[1], dtype=np.int16)
    is_right = points[0] > 0
    for number, name in enumerate(NAMES):
        inside = _proportion(structures()[name], points) >= 0.5
        labels[inside] = 2 * number + 1 + is_right[inside]
    return labels


def volumes_ml(control: ControlGrid, centre_mm: Floats) -> dict[str, float]:
    """True volume of each structure, both sides, in a head: integral of its proportion.

    centre_mm : (3,) of the head in T1w world
    """
    grid = measuring_grid(centre_mm)
    template = control.to_template(grid.points())
    voxel_ml = float(np.linalg.det(grid.affine[:3, :3])) / 1000
    return {
        name: float(_proportion(structures()[name], template).sum(dtype=np.float64)) * voxel_ml
        for name in NAMES
    }


def measuring_grid(centre_mm: Floats) -> Grid:
    """Points 1.5 mm apart that cover the inner brain about the centre of the head (3,), mm."""
    shape = tuple(int(n) for n in (_BOX_HIGH - _BOX_LOW) * 1.25 // _MEASURE_MM)
    affine = np.diag([_MEASURE_MM] * 3 + [1.0])
    middle = centre_mm - HEAD_CENTRE_MM + (_BOX_HIGH + _BOX_LOW) / 2
    affine[:3, 3] = middle - _MEASURE_MM * (np.array(shape) - 1) / 2
    return Grid(affine, (shape[0], shape[1], shape[2]))


def _box() -> Grid:
    """Grid of the structures' maps, 1 mm, template world."""
    affine = np.eye(4)
    affine[:3, 3] = _BOX_LOW
    x, y, z = (int(n) + 1 for n in _BOX_HIGH - _BOX_LOW)
    return Grid(affine, (x, y, z))


def _proportion(structure: Structure, points: Floats) -> Floats:
    """Proportion (n,) of a structure at (3, n) template points, mm; 0 beyond its box."""
    result = np.zeros(points.shape[1], dtype=np.float32)
    near = np.flatnonzero(_between(points, _BOX_LOW, _BOX_HIGH))
    result[near] = interpolate(structure.proportion, structure.grid.affine, points[:, near])
    return result


def _hippocampi(grid: Grid) -> Floats:
    """Proportion of both hippocampi in each voxel, from eight points in every voxel."""
    points = grid.points()
    mirrored = np.column_stack([np.abs(points[0]), points[1], points[2]])
    larger = [each._replace(semi_axes_mm=_longer(each.semi_axes_mm)) for each in HIPPOCAMPUS]
    near = np.flatnonzero(np.any([is_inside(mirrored, each) for each in larger], axis=0))
    counts = np.zeros(len(mirrored), dtype=np.float32)
    for offset in product((-0.25, 0.25), repeat=3):
        moved = mirrored[near] + np.array(offset, dtype=np.float32)
        counts[near] += np.any([is_inside(moved, each) for each in HIPPOCAMPUS], axis=0)
    return (counts / 8).reshape(grid.shape)


def _longer(semi_axes_mm: tuple[float, float, float]) -> tuple[float, float, float]:
    x, y, z = (edge + _RESOLUTION_MM for edge in semi_axes_mm)
    return (x, y, z)


def _ventricles(grid: Grid) -> Floats:
    """Proportion of the lateral ventricles: the template's fluid that hangs together there."""
    points = grid.points()
    fluid = np.ones(points.shape[1], dtype=np.float32)
    for image in (embedded.grey_matter(_RESOLUTION_MM), embedded.white_matter(_RESOLUTION_MM)):
        fluid -= interpolate(np.asarray(image.dataobj), np.array(image.affine), points)
    mirrored = np.stack([np.abs(points[0]), points[1], points[2]])
    there = _between(mirrored, *_LATERAL)
    for box in _NOT_LATERAL:
        there &= ~_between(mirrored, *box)
    fluid = (np.clip(fluid, 0, 1) * there).reshape(grid.shape)
    parts, _ = ndimage.label(fluid > 0.5)
    seeds = [[side * _SEED_MM[0], *_SEED_MM[1:]] for side in (-1, 1)]
    indices = np.rint(np.array(seeds) - grid.affine[:3, 3]).astype(int)
    core = np.isin(parts, parts[tuple(indices.T)])
    rim = ndimage.binary_dilation(core, iterations=_RIM_VOXELS)
    return np.where(rim, fluid, 0).astype(np.float32)


def _between(points: Floats, low: Corner, high: Corner) -> Bools:
    """Whether each of (3, n) points lies in a box, its border included."""
    inside = (points >= np.array(low)[:, None]) & (points <= np.array(high)[:, None])
    return np.asarray(inside.all(axis=0))


def _structure(grid: Grid, proportion: Floats) -> Structure:
    potential = ndimage.gaussian_filter(proportion, _SMOOTHING_MM)
    pull = np.stack(np.gradient(potential)).astype(np.float32)
    pull /= np.linalg.norm(pull, axis=0).max()
    steps, ratios = _calibrate(grid, proportion, pull)
    return Structure(grid, proportion, pull, steps, ratios)


def _calibrate(grid: Grid, proportion: Floats, pull: Floats) -> tuple[Floats, Floats]:
    """Steps (mm) along ``pull`` and the volumes they give, relative to that of no step.

    A control grid holds the pull at points ``CONTROL_MM`` apart. Linear interpolation between
    points that lie anywhere smooths it, on average, by a triangle of that half-width.
    """
    width = CONTROL_MM / np.sqrt(6) / _RESOLUTION_MM
    pull = np.stack([ndimage.gaussian_filter(each, width) for each in pull])
    moved = np.flatnonzero(np.linalg.norm(pull, axis=0).ravel() > _REACH)
    points, pulls = grid.points()[:, moved], pull.reshape(3, -1)[:, moved]
    moves = [points + np.float32(step) * pulls for step in _STEPS_MM]
    volumes = np.array([interpolate(proportion, grid.affine, each).sum() for each in moves])
    return _STEPS_MM, volumes / volumes[len(volumes) // 2]
