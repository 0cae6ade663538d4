"""Kind ``digits``: ten classes of handwritten digits as small volumes, ready for the group level.

The images are scikit-learn's (8 x 8, out of the UCI set of handwritten digits). Each is drawn as a
plate, turned and shifted at random. There is no head: the participant level has nothing to do, so
its products are written, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.arrays import Bools, Floats
from bids_xai.simulation import encode, heads
from bids_xai.simulation.anatomy import HEAD_CENTRE_MM
from bids_xai.simulation.cohort import SimulationOptions, generator, labels, n_sessions
from bids_xai.simulation.deformation import Grid, interpolate, random_rigid, transform
from bids_xai.simulation.kinds import TRUTH, CohortKind, Derivative, Visit
from bids_xai.simulation.scan import MEAN_BRAIN_T1W
from bids_xai.simulation.signal import add_rician_noise
from bids_xai.templates.embedded import SPACE

N_VOXELS = 32  # along each axis
PIXEL_VOXELS = 2.4  # edge of a pixel of the 8 x 8 image
DEPTH_VOXELS = 9.0
DERIVATIVES = "derivatives/digits"

_TURN_DEG, _SHIFT_VOXELS = 15.0, 2.0
_STROKE = 0.5  # of the greatest intensity
_SAMPLES_KEY = 1_000_003

_README = """\
Simulated cohort of digits
==========================

Made by bids_xai_simulate {version}; nobody was scanned. Options: {options}.

Each "participant" is one handwritten digit of scikit-learn's load_digits (Optical Recognition of
Handwritten Digits, Alpaydin and Kaynak 1998, UCI Machine Learning Repository, CC BY 4.0), 8 x 8
pixels, drawn as a plate in a volume of 32 x 32 x 32 voxels, turned by up to 15 degrees and shifted
by up to 2 voxels. No image is used twice; later sessions show the same image in another pose. The
class is the column digit of participants.tsv. SNR is the mean signal of the strokes over the sd of
the noise. There is no head in these images: do not run the participant level. The group level reads
derivatives/digits as its output folder.

The truth is in derivatives/truth.
"""

_TRUTH_README = """\
Truth behind a simulated cohort of digits
=========================================

desc-digit_mask: the strokes of the digit, where it is brighter than half of the brightest.
truth.tsv: the class, and which row of scikit-learn's load_digits was drawn.
"""

_DERIVATIVES_README = """\
Digits for the group level
==========================

Named as the participant level names its products, which have nothing to correct or to register:
desc-preproc_T1w is the raw image, desc-brain_mask the plate on which the digit is drawn, and
from-T1w_to-{space}_mode-image_xfm.h5 leaves everything where it is.
"""

_COLUMNS = {
    "digit": {
        "Description": "Class: which digit is shown",
        "Levels": {str(digit): f"the digit {digit}" for digit in range(10)},
    }
}
_TRUTH_COLUMNS = {
    "digit": {"Description": "Class: which digit is shown"},
    "sample": {"Description": "Row of scikit-learn's load_digits, from 0"},
}
_IGNORED = (
    "*_xfm.h5\nmodels\ngroup\ngroup_*\n*.html\nfigures\nlogs\nwork\n"  # of the group level, too
)


@dataclass(frozen=True)
class DigitPerson:
    """A participant that is an image: ``digit`` 0 to 9, ``sample`` its row in load_digits."""

    index: int
    label: str
    digit: int
    sample: int
    n_sessions: int

    @property
    def group(self) -> str:
        """What the participant is shown as."""
        return f"digit {self.digit}"


@dataclass(frozen=True)
class DigitScan:
    """A digit as a volume: ``image`` int16, ``strokes`` and ``plate`` masks; all (x, y, z)."""

    grid: Grid
    image: NDArray[np.int16]
    strokes: Bools
    plate: Bools


def draw_digits(options: SimulationOptions) -> list[DigitPerson]:
    """All participants: the digits 0 to 9 in turn, each image once."""
    order = [
        generator(options.seed, _SAMPLES_KEY, digit).permutation(np.flatnonzero(target == digit))
        for target in [_load_digits()[1]]
        for digit in range(10)
    ]
    return [
        DigitPerson(
            index=index,
            label=label,
            digit=index % 10,
            sample=int(order[index % 10][index // 10]),
            n_sessions=n_sessions(index, options),
        )
        for index, label in enumerate(labels(options))
    ]


def simulate_digit(person: DigitPerson, session: int, options: SimulationOptions) -> DigitScan:
    """Draw a digit into a volume; the same options, person and session give the same volume."""
    rng = generator(options.seed, person.index, session)
    affine = np.diag([options.voxel_mm] * 3 + [1.0])
    affine[:3, 3] = HEAD_CENTRE_MM - options.voxel_mm * (N_VOXELS - 1) / 2
    grid = Grid(affine, (N_VOXELS, N_VOXELS, N_VOXELS))
    pose = random_rigid(rng, _TURN_DEG, _SHIFT_VOXELS * options.voxel_mm, HEAD_CENTRE_MM)
    upright = transform(pose, grid.points()) - HEAD_CENTRE_MM[:, None]
    ink, plate = _draw(_load_digits()[0][person.sample], upright / options.voxel_mm)
    strokes = ink > _STROKE * ink.max()
    mean = MEAN_BRAIN_T1W
    clean = (ink * mean / ink[strokes].mean()).astype(np.float32)
    image = np.rint(add_rician_noise(clean, mean / options.snr, rng)).astype(np.int16)
    shape = grid.shape
    return DigitScan(grid, image.reshape(shape), strokes.reshape(shape), plate.reshape(shape))


def _draw(pixels: Floats, voxels: Floats) -> tuple[Floats, Bools]:
    """Ink (n,), 0 to 1, at (3, n) points in voxels from the middle, and whether on the plate.

    pixels : (8, 8), 0 to 16, first row on top; x runs to the right, y up, z through the plate
    """
    rows, columns = pixels.shape
    picture = np.pad(pixels[::-1].T / 16, 1)[:, :, None].astype(np.float32)
    affine = np.diag([PIXEL_VOXELS, PIXEL_VOXELS, 1, 1.0])
    affine[:2, 3] = -PIXEL_VOXELS * (np.array([columns, rows]) + 1) / 2
    flat = np.stack([voxels[0], voxels[1], np.zeros_like(voxels[0])])
    thick = np.clip(DEPTH_VOXELS / 2 - np.abs(voxels[2]) + 0.5, 0, 1)
    half = PIXEL_VOXELS * (np.array([columns, rows]) + 1) / 2  # ink fades over half a pixel
    plate = (np.abs(voxels[:2]) <= half[:, None]).all(axis=0) & (thick > 0)
    return interpolate(picture, affine, flat) * thick, plate


@lru_cache(maxsize=1)
def _load_digits() -> tuple[Floats, NDArray[np.intp]]:
    """Images (n, 8, 8), 0 to 16, and classes (n,)."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images, digits.target


def visit(person: DigitPerson, session: int, options: SimulationOptions, stem: str) -> Visit:
    """Draw a digit; return the files and the row of truth."""
    scan = simulate_digit(person, session, options)
    files = heads.Files(stem)
    raw = [files.raw("T1w")]
    files.image("", "T1w", scan.image, scan.grid, heads.T1W_SIDECAR)
    sidecar: dict[str, Any] = {"Sources": raw, "Type": "ROI"}
    files.image(TRUTH, "desc-digit_mask", scan.strokes, scan.grid, sidecar)
    files.image(
        DERIVATIVES, "desc-brain_mask", scan.plate, scan.grid, {"Sources": raw, "Type": "Brain"}
    )
    scale = float(np.percentile(scan.image[scan.plate], 99))
    sidecar = {
        "Sources": raw,
        "SkullStripped": False,
        "IntensityScale": {"Method": "99th percentile in the brain mask", "Value": scale},
    }
    files.image(DERIVATIVES, "desc-preproc_T1w", scan.image.astype(np.float32), scan.grid, sidecar)
    files.add(DERIVATIVES, f"from-T1w_to-{SPACE}_mode-image_xfm.h5", encode.identity())
    return Visit(files.content, {"digit": person.digit, "sample": person.sample})


KIND = CohortKind(
    draw=draw_digits,
    visit=visit,
    row=lambda person: {"digit": person.digit},
    participant_columns=_COLUMNS,
    truth_columns=_TRUTH_COLUMNS,
    readme=_README,
    derivatives={
        TRUTH: heads.truth_dataset(_TRUTH_README),
        DERIVATIVES: Derivative(
            "Digits for the group level", _DERIVATIVES_README.replace("{space}", SPACE), _IGNORED
        ),
    },
    license="CC BY 4.0",
)
