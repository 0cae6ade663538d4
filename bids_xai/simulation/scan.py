"""One visit to the scanner: how the head lies there, and what all kinds of images share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.arrays import Bools, Floats
from bids_xai.simulation.anatomy import (
    HEAD_CENTRE_MM,
    SHELLS,
    HeadModel,
    HeadSample,
    head_model,
    sample_head,
)
from bids_xai.simulation.cohort import Participant, SimulationOptions, generator
from bids_xai.simulation.deformation import (
    CONTROL_MM,
    ControlGrid,
    Grid,
    SmoothField,
    affine_about,
    interpolate,
    random_rigid,
    smooth_field,
    transform,
)
from bids_xai.simulation.marker import BRIGHTNESS, Marker
from bids_xai.simulation.receive import receive_field
from bids_xai.simulation.signal import add_rician_noise

FIELD_OF_VIEW_MM = np.array([204.0, 244.0, 220.0])
MEAN_BRAIN_T1W, MEAN_BRAIN_MEGRE, MEAN_BRAIN_FLAIR = 500.0, 1000.0, 500.0  # stored as int16

_CONTROL_MARGIN_MM = 6.0
_DISPLACEMENT_STEP_MM = 1 / 256  # stored field; short numbers make small files
_DISPLACEMENT_SD_MM, _DISPLACEMENT_LENGTH_MM = 2.0, 30.0
_SIZE_SD, _SIZE_LIMIT = 0.03, 0.06
_THICKNESS_SD, _THICKNESS_LENGTH_MM = 0.12, 40.0
_SENSITIVITY_PEAK, _SENSITIVITY_LENGTH_MM = 0.2, 80.0
_POSE = (5.0, 6.0)  # most degrees and mm of the head in the scanner
_OBLIQUE = (8.0, 6.0)  # of the second grid to the T1w grid, known to the headers
_MOTION = (2.0, 2.0)  # of the head between T1w and the second image, unknown to the headers
_ANATOMY_KEY = 0  # sessions count from 1


@dataclass(frozen=True)
class Anatomy:
    """What stays the same in a person: size, displacement from the template, thickness of shells.

    ``size`` (4, 4) subject to template mm; ``displacement`` sd 1, 3 components;
    ``thickness`` sd 1, 1 component; ``layer_factors`` shell -> factor.
    """

    size: Floats
    displacement: SmoothField
    thickness: SmoothField
    layer_factors: dict[str, float]


@dataclass(frozen=True)
class Setting:
    """How a person lies in the scanner at a visit.

    ``centre_mm`` (3,) of the head in T1w world; ``tilt`` (4, 4) of the second grid; ``motion``
    (4, 4) takes the world of the second image to T1w world, mm RAS; ``control`` takes T1w world to
    the template.
    """

    model: HeadModel
    anatomy: Anatomy
    centre_mm: Floats
    tilt: Floats
    motion: Floats
    control: ControlGrid

    def sample(self, points: Floats, template: Floats) -> HeadSample:
        """The head at (3, n) points of T1w world, whose template positions are (3, n), mm."""
        thickness = interpolate(self.control.thickness, self.control.grid.affine, points)
        return sample_head(self.model, template, thickness, self.anatomy.layer_factors)

    def sensitivity(self, scanner: Floats) -> Floats:
        """Receive sensitivity (n,) at (3, n) points of the scanner, mm."""
        return interpolate(self.control.sensitivity, self.control.grid.affine, scanner)

    def second_grid(self, voxel_mm: Floats) -> Grid:
        """The oblique grid of the second image, voxels of (3,) mm."""
        straight = grid_about(self.centre_mm, voxel_mm)
        return Grid(self.tilt @ straight.affine, straight.shape)


@dataclass(frozen=True)
class T1wScan:
    """A T1w image and what is behind it; volumes are (x, y, z).

    ``image`` int16; ``head`` what the voxels hold; ``brain`` where most of a voxel is brain;
    ``template`` (3, n) template mm of all voxels; ``marker`` (n,) proportion of the marker, were it
    there; ``None`` where no marker would show.
    """

    grid: Grid
    image: NDArray[np.int16]
    head: HeadSample
    brain: Bools
    template: Floats
    marker: Floats | None


Change = Callable[[HeadSample, Floats], HeadSample]


def prepare(
    person: Participant, session: int, options: SimulationOptions, rng: np.random.Generator
) -> tuple[Setting, Grid]:
    """Lay a participant in the scanner; returns the grid of the T1w image, too."""
    anatomy = draw_anatomy(generator(options.seed, person.index, _ANATOMY_KEY))
    pose = random_rigid(rng, *_POSE, HEAD_CENTRE_MM)
    centre = (np.linalg.inv(pose) @ [*HEAD_CENTRE_MM, 1])[:3]
    t1w_grid = grid_about(centre + rng.uniform(-2, 2, 3), np.full(3, options.voxel_mm))
    tilt = random_rigid(rng, *_OBLIQUE, centre)
    motion = random_rigid(rng, *_MOTION, centre)
    control = control_grid(anatomy, pose, centre, rng, options.receive_bias)
    model = head_model(1.0 if options.voxel_mm < 1.5 else 2.0)
    return Setting(model, anatomy, centre, tilt, motion, control), t1w_grid


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draw a person's head."""
    size = 1 + np.clip(rng.normal(0, _SIZE_SD, 3), -_SIZE_LIMIT, _SIZE_LIMIT)
    return Anatomy(
        size=affine_about(np.diag(size), HEAD_CENTRE_MM),
        displacement=smooth_field(rng, 3, _DISPLACEMENT_LENGTH_MM),
        thickness=smooth_field(rng, 1, _THICKNESS_LENGTH_MM),
        layer_factors={name: float(rng.uniform(0.8, 1.2)) for name in SHELLS},
    )


def control_grid(
    anatomy: Anatomy,
    pose: Floats,
    centre_mm: Floats,
    rng: np.random.Generator,
    receive_bias: float = 1.0,
) -> ControlGrid:
    """Evaluate a person's smooth fields around the field of view.

    pose : (4, 4) scanner mm to subject mm; centre_mm : (3,) of the field of view
    receive_bias : ratio of :func:`bids_xai.simulation.receive.receive_field`
    """
    grid = grid_about(centre_mm, np.full(3, CONTROL_MM), FIELD_OF_VIEW_MM + 2 * _CONTROL_MARGIN_MM)
    points = grid.points()
    subject = transform(pose, points)
    moved = transform(anatomy.size, subject) - points
    moved += np.float32(_DISPLACEMENT_SD_MM) * anatomy.displacement(subject)
    thickness = np.clip(1 + _THICKNESS_SD * anatomy.thickness(subject)[0], 0.7, 1.3)
    bias = smooth_field(rng, 1, _SENSITIVITY_LENGTH_MM)(points)[0]
    sensitivity = 1 + _SENSITIVITY_PEAK * bias / np.abs(bias).max()
    sensitivity = sensitivity * receive_field(points, centre_mm, receive_bias)
    return ControlGrid(
        grid,
        _stored(moved).reshape(3, *grid.shape),
        thickness.reshape(grid.shape).astype(np.float32),
        sensitivity.reshape(grid.shape).astype(np.float32),
    )


def deformed(control: ControlGrid, move: Callable[[Floats], Floats]) -> ControlGrid:
    """The control grid of a head whose template is deformed: (3, n) points, mm -> displacements.

    Where the head had the template's point p, it has the point p + ``move(p)`` now.
    """
    moved = control.displacement_mm.reshape(3, -1)
    moved = moved + move(control.grid.points() + moved)
    shape = control.displacement_mm.shape
    return ControlGrid(
        control.grid, _stored(moved).reshape(shape), control.thickness, control.sensitivity
    )


def _stored(displacement_mm: Floats) -> Floats:
    """Displacements as the truth holds them, float32."""
    steps = np.rint(displacement_mm / _DISPLACEMENT_STEP_MM)
    return np.asarray(steps * _DISPLACEMENT_STEP_MM).astype(np.float32)


def scan_t1w(
    setting: Setting,
    grid: Grid,
    options: SimulationOptions,
    rng: np.random.Generator,
    *,
    change: Change | None = None,
    marker: Marker | None = None,
) -> T1wScan:
    """Make a T1w image.

    change : applied to the head and its template points (3, n), mm, for lesions
    """
    points = grid.points()
    template = setting.control.to_template(points)
    head = setting.sample(points, template)
    if change is not None:
        head = change(head, template[:, head.where])
    signal = head.t1w * setting.sensitivity(points[:, head.where])
    part = None if marker is None else marker.part(points, options.voxel_mm)
    bright = part[None] if marker is not None and marker.shown and part is not None else None
    image = acquire(signal[None], head, grid, MEAN_BRAIN_T1W, options.snr, rng, bright)[0]
    return T1wScan(grid, image, head, spread(head.brain >= 0.5, head, grid), template, part)


def acquire(
    signal: Floats,
    head: HeadSample,
    grid: Grid,
    mean_brain: float,
    snr: float,
    rng: np.random.Generator,
    marker: Floats | None = None,
) -> NDArray[np.int16]:
    """Scale (n_images, len(where)) so that the first image's mean brain signal is ``mean_brain``.

    Adds noise of sd ``mean_brain / snr`` everywhere; returns (n_images, x, y, z).
    marker : (n_images, n_voxels) part of the marker, times its decay
    """
    scale = mean_brain / signal[0, head.brain >= 0.5].mean()
    clean = np.stack([spread(each * scale, head, grid) for each in signal])
    if marker is not None:
        clean += np.float32(BRIGHTNESS * mean_brain) * marker.reshape(clean.shape)
    return np.rint(add_rician_noise(clean, mean_brain / snr, rng)).astype(np.int16)


def spread(values: NDArray[Any], head: HeadSample, grid: Grid) -> NDArray[Any]:
    """Put values of the points near the head into a volume; 0 elsewhere."""
    volume = np.zeros(np.prod(grid.shape), dtype=values.dtype)
    volume[head.where] = values
    return volume.reshape(grid.shape)


def grid_about(centre_mm: Floats, voxel_mm: Floats, extent_mm: Floats = FIELD_OF_VIEW_MM) -> Grid:
    """Axis-aligned RAS grid of an extent about a centre."""
    shape = np.ceil(extent_mm / voxel_mm - 1e-6).astype(int)
    affine = np.diag([*voxel_mm, 1.0])
    affine[:3, 3] = np.round(centre_mm - voxel_mm * (shape - 1) / 2, 3)
    return Grid(affine, (int(shape[0]), int(shape[1]), int(shape[2])))
