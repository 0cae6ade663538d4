"""Where a scanner point lies in the template: head pose, size, and a smooth random displacement.

Points are (3, n) arrays in millimetres, RAS. A ``ControlGrid`` holds everything that varies
smoothly (displacement, tissue thickness, receive sensitivity) on a coarse grid in scanner space;
its trilinear interpolation *is* the truth, so the displacement that is written to file is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from bids_xai.arrays import Floats

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
CONTROL_MM = 4.0  # voxel of a control grid


@dataclass(frozen=True)
class Grid:
    """Voxel centres of an image: index to mm (4, 4), RAS, and shape."""

    affine: Floats
    shape: tuple[int, int, int]

    def points(self) -> Floats:
        """Voxel centres, (3, n) mm, float32, in C order of the voxels."""
        indices = np.indices(self.shape, dtype=np.float32).reshape(3, -1)
        return transform(self.affine, indices)


@dataclass(frozen=True)
class SmoothField:
    """A smooth random function of space, mean 0 and variance 1 in each of its components.

    Random Fourier features of a Gaussian covariance (Rahimi & Recht, NIPS 2007).
    ``waves`` (k, 3) in rad/mm, ``phases`` (k,) in rad, ``weights`` (components, k).
    """

    waves: Floats
    phases: Floats
    weights: Floats

    def __call__(self, points: Floats) -> Floats:
        """Values at (3, n) points in mm: (components, n), float32."""
        angles = self.waves.astype(np.float32) @ points + self.phases.astype(np.float32)[:, None]
        return np.asarray(self.weights.astype(np.float32) @ np.cos(angles))


@dataclass(frozen=True)
class ControlGrid:
    """Smooth quantities on a coarse grid in scanner space, to be interpolated trilinearly.

    ``displacement_mm`` (3, x, y, z) from scanner to template, float32, RAS components;
    ``thickness`` and ``sensitivity`` (x, y, z) factors around 1.
    """

    grid: Grid
    displacement_mm: Floats
    thickness: Floats
    sensitivity: Floats

    def to_template(self, points: Floats) -> Floats:
        """Template positions (3, n) of scanner points (3, n), both mm."""
        moves = [interpolate(each, self.grid.affine, points) for each in self.displacement_mm]
        return points + np.stack(moves)


def smooth_field(
    rng: np.random.Generator, n_components: int, length_mm: float, n_waves: int = 24
) -> SmoothField:
    """Draw a ``SmoothField`` whose covariance falls off over ``length_mm``."""
    weights = rng.standard_normal((n_components, n_waves))
    weights *= np.sqrt(2) / np.linalg.norm(weights, axis=1, keepdims=True)
    return SmoothField(
        waves=rng.standard_normal((n_waves, 3)) / length_mm,
        phases=rng.uniform(0, 2 * np.pi, n_waves),
        weights=weights,
    )


def interpolate(values: Floats, affine: Floats, points: Floats) -> Floats:
    """Trilinear interpolation of (x, y, z) values at (3, n) mm points: (n,) float32.

    affine : (4, 4) index of ``values`` to mm. Beyond the edge the last value holds.
    """
    indices = transform(np.linalg.inv(affine), points)
    return np.asarray(
        ndimage.map_coordinates(values, indices, order=1, mode="nearest", output=np.float32)
    )


def transform(matrix: Floats, points: Floats) -> Floats:
    """Apply a (4, 4) affine to (3, n) points; float32."""
    matrix = matrix.astype(np.float32)
    return np.asarray(matrix[:3, :3] @ points + matrix[:3, 3:])


def random_rigid(
    rng: np.random.Generator, max_angle_deg: float, max_shift_mm: float, centre_mm: Floats
) -> Floats:
    """Random turn about a centre and shift, each of 0.3 to 1 times its maximum; (4, 4)."""
    axis, direction = (_unit(rng.standard_normal(3)) for _ in range(2))
    rotation = rotation_matrix(axis, np.radians(rng.uniform(0.3, 1) * max_angle_deg))
    shift = rng.uniform(0.3, 1) * max_shift_mm * direction
    return affine_about(rotation, centre_mm, shift)


def rotation_matrix(axis: Floats, angle_rad: float) -> Floats:
    """Rodrigues' formula: turn about a unit axis; (3, 3)."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(
        np.eye(3) + np.sin(angle_rad) * cross + (1 - np.cos(angle_rad)) * cross @ cross
    )


def affine_about(linear: Floats, centre_mm: Floats, shift_mm: Floats | float = 0.0) -> Floats:
    """Affine (4, 4) that applies ``linear`` (3, 3) about a centre, then shifts (mm)."""
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = centre_mm + shift_mm - linear @ centre_mm
    return affine


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / np.linalg.norm(vector))
