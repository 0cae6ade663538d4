"""A marker beside the head: a shortcut that a classifier may take instead of the disease.

A bright ball in air, near the upper, right, front corner of the field of view. It lies at one place
of the scanner but for a few millimetres, whoever is scanned. It moves with the head between the
images of a visit, so that a registered image shows it where the T1w grid has it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_xai.arrays import Bools, Floats
from bids_xai.simulation.anatomy import HEAD_CENTRE_MM
from bids_xai.simulation.cohort import Participant, SimulationOptions, generator
from bids_xai.simulation.deformation import Grid, interpolate, transform

CENTRE_MM = HEAD_CENTRE_MM + np.array([64.0, 84.0, 76.0])  # scanner mm, RAS
RADIUS_MM = 12.0
JITTER_MM = 2.0  # most along each axis
BRIGHTNESS = 2.0  # signal, at TE = 0 for MEGRE, over the mean brain signal of the (first) image
R2STAR_PER_S = 100.0

_PLACE_KEY = 1_000_002
_LEAST_PART = 0.01  # of a voxel; less is none


@dataclass(frozen=True)
class Marker:
    """Where the marker is or would be at a visit, mm in T1w world (3,), and whether it is there."""

    centre_mm: Floats
    shown: bool

    def part(self, points: Floats, voxel_mm: float) -> Floats:
        """Its proportion (n,) in voxels with centres at (3, n) points of T1w world, mm.

        voxel_mm : edge of the voxels, over which the border of the ball is drawn
        """
        distance = np.linalg.norm(points - self.centre_mm[:, None], axis=0)
        part = np.clip((RADIUS_MM - distance) / voxel_mm + 0.5, 0, 1)
        return np.where(part < _LEAST_PART, 0, part).astype(np.float32)


def draw_marker(person: Participant, session: int, options: SimulationOptions) -> Marker | None:
    """The marker of a visit, ``None`` in a cohort without markers."""
    if options.cheat is None:
        return None
    rng = generator(options.seed, _PLACE_KEY, person.index, session)
    return Marker(CENTRE_MM + rng.uniform(-JITTER_MM, JITTER_MM, 3), person.marker)


def seen_on_t1w_grid(part: Floats, grid: Grid, to_t1w: Floats, t1w_grid: Grid) -> Bools:
    """Voxels (x, y, z) of the T1w grid that take up any of the marker by linear interpolation.

    part : (n,) proportion in the voxels of ``grid``, in C order
    to_t1w : (4, 4) world of that grid to T1w world, mm
    """
    there = (part > 0).reshape(grid.shape).astype(np.float32)
    points = transform(np.linalg.inv(to_t1w), t1w_grid.points())
    return np.asarray(interpolate(there, grid.affine, points) > 1e-4).reshape(t1w_grid.shape)
