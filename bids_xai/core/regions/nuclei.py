"""Iron-rich deep nuclei drawn as ellipsoids in MNI space.

Shapes for simulation and orientation, not a histological atlas: each nucleus is a union of one or
two ellipsoids whose parameters were rounded from a fit to the size and place of the nuclei in
published MNI152 atlases (Dice 0.82 to 0.89 with CIT168, Pauli et al. 2018,
doi:10.1038/sdata.2018.63). The caudate has a head and a body, no tail. Left mirrors right at x = 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bids_xai.arrays import Bools, Floats


class Nucleus(NamedTuple):
    """One row of the label table (the columns of a BIDS ``dseg.tsv``)."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    name: str
    abbreviation: str


class Ellipsoid(NamedTuple):
    """Right-hand ellipsoid: centre (mm, RAS), semi-axes (mm), turns about x, y, z in turn (deg)."""

    centre_mm: tuple[float, float, float]
    semi_axes_mm: tuple[float, float, float]
    turns_deg: tuple[float, float, float]


NUCLEI = (
    Nucleus(1, "Left caudate", "L-Cd"),
    Nucleus(2, "Right caudate", "R-Cd"),
    Nucleus(3, "Left putamen", "L-Pu"),
    Nucleus(4, "Right putamen", "R-Pu"),
    Nucleus(5, "Left pallidum", "L-GP"),
    Nucleus(6, "Right pallidum", "R-GP"),
)

# Later structures win where two overlap.
SHAPES: dict[str, tuple[Ellipsoid, ...]] = {
    "caudate": (
        Ellipsoid((12.8, 16.1, 3.4), (5.8, 11.0, 14.6), (8, 15, -38)),
        Ellipsoid((14.4, 4.7, 16.7), (4.3, 8.0, 19.2), (-125, 38, -13)),
    ),
    "putamen": (
        Ellipsoid((28.7, -4.0, 2.7), (4.5, 12.6, 17.9), (-83, -9, 7)),
        Ellipsoid((23.2, 8.8, -0.8), (6.5, 10.0, 14.7), (29, 11, 12)),
    ),
    "pallidum": (
        Ellipsoid((20.8, -2.3, 0.1), (3.0, 6.7, 10.7), (96, -21, 29)),
        Ellipsoid((17.4, -1.6, -3.2), (4.1, 6.1, 10.9), (83, -45, -144)),
    ),
}


def nuclei_labels(affine: Floats, shape: tuple[int, int, int]) -> NDArray[np.int16]:
    """Label every voxel of an image whose world is MNI millimetres.

    affine : (4, 4) voxel index to mm, RAS
    shape : number of voxels along each axis
    Returns (shape) labels 1 to 6 as in ``NUCLEI``, 0 elsewhere.
    """
    indices = np.indices(shape, dtype=np.float32).reshape(3, -1)
    points_mm = affine[:3, :3] @ indices + affine[:3, 3:]
    return label_points(points_mm.T).reshape(shape)


def label_points(points_mm: Floats) -> NDArray[np.int16]:
    """Label points by the nucleus they lie in.

    points_mm : (n, 3) MNI millimetres, RAS (left is x < 0)
    Returns (n,) labels 1 to 6 as in ``NUCLEI``, 0 elsewhere.
    """
    labels = np.zeros(len(points_mm), dtype=np.int16)
    near = np.flatnonzero(_in_box(points_mm))
    points = points_mm[near]
    is_right = (points[:, 0] > 0).astype(np.int16)
    mirrored = np.column_stack([np.abs(points[:, 0]), points[:, 1:]])
    nuclei = np.zeros(len(near), dtype=np.int16)
    for number, ellipsoids in enumerate(SHAPES.values()):
        inside = np.any([is_inside(mirrored, each) for each in ellipsoids], axis=0)
        nuclei = np.where(inside, 2 * number + 1 + is_right, nuclei).astype(np.int16)
    labels[near] = nuclei
    return labels


def is_inside(points_mm: Floats, ellipsoid: Ellipsoid) -> Bools:
    """Whether each of (n, 3) points, millimetres RAS, lies in the ellipsoid."""
    turned = (points_mm - np.array(ellipsoid.centre_mm)) @ _rotation(ellipsoid.turns_deg)
    return np.asarray(np.sum((turned / np.array(ellipsoid.semi_axes_mm)) ** 2, axis=1) <= 1)


def _rotation(turns_deg: tuple[float, float, float]) -> Floats:
    """Rotation matrix of turns about the fixed axes x, then y, then z; (3, 3)."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(np.radians(turns_deg)), np.sin(np.radians(turns_deg))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)


def _in_box(points_mm: Floats) -> Bools:
    """Whether points lie in a box around all nuclei (saves time on whole-head grids)."""
    low, high = np.array([-50, -40, -30]), np.array([50, 45, 50])
    return np.asarray(np.all((points_mm > low) & (points_mm < high), axis=1))
