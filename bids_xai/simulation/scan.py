"""One visit to the scanner: a T1w image, a multi-echo image, and the truth behind both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.core.nuclei import label_points
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
    ControlGrid,
    Grid,
    SmoothField,
    about,
    interpolate,
    random_rigid,
    smooth_field,
    transform,
)
from bids_xai.simulation.signal import ECHO_TIMES_S, add_rician_noise, decay, mix

Floats = NDArray[np.floating[Any]]

FIELD_OF_VIEW_MM = np.array([204.0, 244.0, 220.0])
MEGRE_VOXEL_RATIO = np.array([1.25, 1.25, 1.5])  # to the T1w voxel
CONTROL_MM = 4.0
MEAN_BRAIN = {"T1w": 500.0, "MEGRE": 1000.0}  # stored as int16

_CONTROL_MARGIN_MM = 6.0
_DISPLACEMENT_STEP_MM = 1 / 256  # stored field; short numbers make small files
_DISPLACEMENT_SD_MM, _DISPLACEMENT_LENGTH_MM = 2.0, 30.0
_SIZE_SD, _SIZE_LIMIT = 0.03, 0.06
_THICKNESS_SD, _THICKNESS_LENGTH_MM = 0.12, 40.0
_SENSITIVITY_PEAK, _SENSITIVITY_LENGTH_MM = 0.2, 80.0
_POSE = (5.0, 6.0)  # most degrees and mm of the head in the scanner
_OBLIQUE = (8.0, 6.0)  # of the MEGRE grid to the T1w grid, known to the headers
_MOTION = (2.0, 2.0)  # of the head between T1w and MEGRE, unknown to the headers
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
class Scan:
    """Images and truth of one session; volumes are (x, y, z) on the grid they are named after.

    ``t1w`` and ``megre`` (echo first) int16; ``megre_r2star`` 1/s; ``motion`` (4, 4) takes MEGRE
    to T1w world, mm RAS; ``control`` takes T1w world to the template.
    """

    t1w_grid: Grid
    t1w: NDArray[np.int16]
    t1w_brain: NDArray[np.bool_]
    t1w_nuclei: NDArray[np.int16]
    megre_grid: Grid
    megre: NDArray[np.int16]
    megre_brain: NDArray[np.bool_]
    megre_r2star: Floats
    control: ControlGrid
    motion: Floats


def simulate_scan(person: Participant, session: int, options: SimulationOptions) -> Scan:
    """Scan a participant; the same options, person and session (from 1) give the same scan."""
    rng = generator(options.seed, person.index, session)
    anatomy = draw_anatomy(generator(options.seed, person.index, _ANATOMY_KEY))
    pose = random_rigid(rng, *_POSE, HEAD_CENTRE_MM)
    centre = (np.linalg.inv(pose) @ [*HEAD_CENTRE_MM, 1])[:3]
    t1w_grid = _grid(centre + rng.uniform(-2, 2, 3), np.full(3, options.voxel_mm))
    tilt = random_rigid(rng, *_OBLIQUE, centre)
    straight = _grid(centre, options.voxel_mm * MEGRE_VOXEL_RATIO)
    megre_grid = Grid(tilt @ straight.affine, straight.shape)
    motion = random_rigid(rng, *_MOTION, centre)
    control = control_grid(anatomy, pose, centre, rng)
    model = head_model(1.0 if options.voxel_mm < 1.5 else 2.0)

    t1w, t1w_brain, nuclei = _scan_t1w(model, anatomy, control, t1w_grid, options.snr, rng)
    megre, megre_brain, r2star = _scan_megre(
        model, anatomy, control, megre_grid, motion, person.r2star_per_s(session), options.snr, rng
    )
    return Scan(
        t1w_grid, t1w, t1w_brain, nuclei, megre_grid, megre, megre_brain, r2star, control, motion
    )


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draw a person's head."""
    size = 1 + np.clip(rng.normal(0, _SIZE_SD, 3), -_SIZE_LIMIT, _SIZE_LIMIT)
    return Anatomy(
        size=about(np.diag(size), HEAD_CENTRE_MM),
        displacement=smooth_field(rng, 3, _DISPLACEMENT_LENGTH_MM),
        thickness=smooth_field(rng, 1, _THICKNESS_LENGTH_MM),
        layer_factors={name: float(rng.uniform(0.8, 1.2)) for name in SHELLS},
    )


def control_grid(
    anatomy: Anatomy, pose: Floats, centre_mm: Floats, rng: np.random.Generator
) -> ControlGrid:
    """Evaluate a person's smooth fields around the field of view.

    pose : (4, 4) scanner mm to subject mm; centre_mm : (3,) of the field of view
    """
    grid = _grid(centre_mm, np.full(3, CONTROL_MM), FIELD_OF_VIEW_MM + 2 * _CONTROL_MARGIN_MM)
    points = grid.points()
    subject = transform(pose, points)
    moved = transform(anatomy.size, subject) - points
    moved += np.float32(_DISPLACEMENT_SD_MM) * anatomy.displacement(subject)
    moved = np.rint(moved / _DISPLACEMENT_STEP_MM) * _DISPLACEMENT_STEP_MM
    thickness = np.clip(1 + _THICKNESS_SD * anatomy.thickness(subject)[0], 0.7, 1.3)
    bias = smooth_field(rng, 1, _SENSITIVITY_LENGTH_MM)(points)[0]
    sensitivity = 1 + _SENSITIVITY_PEAK * bias / np.abs(bias).max()
    return ControlGrid(
        grid,
        moved.reshape(3, *grid.shape).astype(np.float32),
        thickness.reshape(grid.shape).astype(np.float32),
        sensitivity.reshape(grid.shape).astype(np.float32),
    )


def _scan_t1w(
    model: HeadModel,
    anatomy: Anatomy,
    control: ControlGrid,
    grid: Grid,
    snr: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int16], NDArray[np.bool_], NDArray[np.int16]]:
    """T1w image, brain mask and nuclei labels, (x, y, z) each."""
    points = grid.points()
    template = control.to_template(points)
    head = _sample(model, anatomy, control, points, template)
    near = points[:, head.where]
    signal = head.t1w * interpolate(control.sensitivity, control.grid.affine, near)
    image = _acquire(signal[None], head, grid, MEAN_BRAIN["T1w"], snr, rng)[0]
    return (
        image,
        _spread(head.brain >= 0.5, head, grid),
        label_points(template.T).reshape(grid.shape),
    )


def _scan_megre(
    model: HeadModel,
    anatomy: Anatomy,
    control: ControlGrid,
    grid: Grid,
    motion: Floats,
    r2star_per_s: dict[str, float],
    snr: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int16], NDArray[np.bool_], Floats]:
    """Echoes (echo, x, y, z), brain mask and true R2* in 1/s (x, y, z)."""
    scanner = grid.points()
    points = transform(motion, scanner)
    head = _sample(model, anatomy, control, points, control.to_template(points))
    s0, r2star = mix(head.proportions, r2star_per_s)
    near = scanner[:, head.where]
    s0 = s0 * interpolate(control.sensitivity, control.grid.affine, near)
    signal = decay(s0, r2star, ECHO_TIMES_S)
    echoes = _acquire(signal, head, grid, MEAN_BRAIN["MEGRE"], snr, rng)
    return echoes, _spread(head.brain >= 0.5, head, grid), _spread(r2star, head, grid)


def _sample(
    model: HeadModel, anatomy: Anatomy, control: ControlGrid, points: Floats, template: Floats
) -> HeadSample:
    thickness = interpolate(control.thickness, control.grid.affine, points)
    return sample_head(model, template, thickness, anatomy.layer_factors)


def _acquire(
    signal: Floats,
    head: HeadSample,
    grid: Grid,
    mean_brain: float,
    snr: float,
    rng: np.random.Generator,
) -> NDArray[np.int16]:
    """Scale (n_images, len(where)) so that the first image's mean brain signal is ``mean_brain``.

    Adds noise of sd ``mean_brain / snr`` everywhere; returns (n_images, x, y, z).
    """
    scale = mean_brain / signal[0, head.brain >= 0.5].mean()
    clean = np.stack([_spread(each * scale, head, grid) for each in signal])
    return np.rint(add_rician_noise(clean, mean_brain / snr, rng)).astype(np.int16)


def _spread(values: NDArray[Any], head: HeadSample, grid: Grid) -> NDArray[Any]:
    """Put values of the points near the head into a volume; 0 elsewhere."""
    volume = np.zeros(np.prod(grid.shape), dtype=values.dtype)
    volume[head.where] = values
    return volume.reshape(grid.shape)


def _grid(centre_mm: Floats, voxel_mm: Floats, extent_mm: Floats = FIELD_OF_VIEW_MM) -> Grid:
    """Axis-aligned RAS grid of an extent about a centre."""
    shape = np.ceil(extent_mm / voxel_mm - 1e-6).astype(int)
    affine = np.diag([*voxel_mm, 1.0])
    affine[:3, 3] = np.round(centre_mm - voxel_mm * (shape - 1) / 2, 3)
    return Grid(affine, (int(shape[0]), int(shape[1]), int(shape[2])))
