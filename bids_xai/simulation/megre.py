"""Kind ``megre``: T1w and multi-echo GRE; patients have more R2* in the deep nuclei."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bids_xai.arrays import Bools, Floats
from bids_xai.core.regions.nuclei import NUCLEI, label_points
from bids_xai.simulation import heads
from bids_xai.simulation.anatomy import HeadSample
from bids_xai.simulation.cohort import Participant, SimulationOptions, draw_cohort, generator
from bids_xai.simulation.deformation import Grid, transform
from bids_xai.simulation.kinds import TRUTH, CohortKind, Visit
from bids_xai.simulation.marker import R2STAR_PER_S, Marker, draw_marker, seen_on_t1w_grid
from bids_xai.simulation.scan import (
    MEAN_BRAIN_MEGRE,
    Setting,
    T1wScan,
    acquire,
    prepare,
    scan_t1w,
    spread,
)
from bids_xai.simulation.signal import (
    ECHO_TIMES_S,
    FLIP_ANGLE_DEG,
    REPETITION_TIME_S,
    TISSUES,
    decay,
    mix,
)

VOXEL_RATIO = np.array([1.25, 1.25, 1.5])  # to the T1w voxel

_MEGRE = {"RepetitionTime": REPETITION_TIME_S, "FlipAngle": FLIP_ANGLE_DEG}

_README = """\
Simulated cohort
================

Made by bids_xai_simulate {version}; nobody was scanned. Options: {options}.

Every head is the embedded template MNI152NLin2009aSym (brain only) in a drawn CSF rim, skull and
scalp, deformed smoothly, with T1w and multi-echo (MEGRE) images of its own pose. Patients (AD)
differ from controls (NC) in one thing: R2* of caudate, putamen and pallidum is higher, on average
by effect_percent, with an sd of a quarter of that between patients. Age raises R2* in everybody;
ages are matched; site has no effect. SNR is the mean first-echo brain signal over the sd of the
noise. Between T1w and MEGRE the head moves a little, which the headers do not know.

The truth is in derivatives/truth.
"""

_TRUTH_README = """\
Truth behind a simulated cohort
===============================

R2starmap: R2* (1/s) on the MEGRE grid from which the echoes were made, without noise.
desc-nuclei_dseg, desc-brain_mask: on the T1w grid; space-MEGRE_desc-brain_mask on the MEGRE grid.
from-{space}_to-T1w_mode-image_xfm.nii.gz: ITK displacement field (LPS); the T1w image was made
through this very field. from-MEGRE_to-T1w_mode-image_xfm.txt: ITK rigid transform.
Both resample images onto the T1w grid, as in antsApplyTransforms -r T1w -t XFM.
truth.tsv: each session's true R2* of every tissue (1/s) and the person's own effect.
"""

_TRUTH_COLUMNS = {
    "effect": {"Description": "Relative increase of R2* in the nuclei by disease"},
    **{
        f"{name}_r2star": {"Description": f"True R2* of {name}", "Units": "1/s"} for name in TISSUES
    },
}


@dataclass(frozen=True)
class MegreScan:
    """Images and truth of one session; volumes are (x, y, z) on the grid they belong to.

    ``megre`` (echo first) int16; ``r2star`` 1/s; ``marker`` voxels of the T1w grid that take up
    any of the marker when R2* is brought there, ``None`` in a cohort without markers.
    """

    setting: Setting
    t1w: T1wScan
    nuclei: NDArray[np.int16]
    megre_grid: Grid
    megre: NDArray[np.int16]
    megre_brain: Bools
    r2star: Floats
    marker: Bools | None


def simulate_scan(person: Participant, session: int, options: SimulationOptions) -> MegreScan:
    """Scan a participant; the same options, person and session (from 1) give the same scan."""
    rng = generator(options.seed, person.index, session)
    setting, t1w_grid = prepare(person, session, options, rng)
    t1w = scan_t1w(setting, t1w_grid, options, rng)
    nuclei = label_points(t1w.template.T).reshape(t1w_grid.shape)
    grid = setting.second_grid(options.voxel_mm * VOXEL_RATIO)
    marker = draw_marker(person, session, options)
    part = _marker_part(marker, setting, grid, options.voxel_mm)
    shown = part if marker is not None and marker.shown else None
    megre, head, r2star = _scan_megre(
        setting, grid, person.r2star_per_s(session), options.snr, rng, shown
    )
    on_t1w = None if part is None else seen_on_t1w_grid(part, grid, setting.motion, t1w_grid)
    brain = spread(head.brain >= 0.5, head, grid)
    return MegreScan(setting, t1w, nuclei, grid, megre, brain, r2star, on_t1w)


def _marker_part(
    marker: Marker | None, setting: Setting, grid: Grid, voxel_mm: float
) -> Floats | None:
    if marker is None:
        return None
    return marker.part(transform(setting.motion, grid.points()), voxel_mm)


def _scan_megre(
    setting: Setting,
    grid: Grid,
    r2star_per_s: dict[str, float],
    snr: float,
    rng: np.random.Generator,
    marker: Floats | None,
) -> tuple[NDArray[np.int16], HeadSample, Floats]:
    """Echoes (echo, x, y, z), the head, and true R2* in 1/s (x, y, z)."""
    scanner = grid.points()
    points = transform(setting.motion, scanner)
    head = setting.sample(points, setting.control.to_template(points))
    s0, r2star = mix(head.proportions, r2star_per_s)
    s0 = s0 * setting.sensitivity(scanner[:, head.where])
    signal = decay(s0, r2star, ECHO_TIMES_S)
    truth = spread(r2star, head, grid)
    bright = None
    if marker is not None:
        bright = decay(marker, np.full_like(marker, R2STAR_PER_S), ECHO_TIMES_S)
        truth[marker.reshape(grid.shape) > 0] = R2STAR_PER_S
    return acquire(signal, head, grid, MEAN_BRAIN_MEGRE, snr, rng, bright), head, truth


def visit(person: Participant, session: int, options: SimulationOptions, stem: str) -> Visit:
    """Scan a participant; return the files and the row of truth."""
    scan = simulate_scan(person, session, options)
    files = heads.Files(stem)
    files.t1w(scan.t1w, scan.setting.control)
    files.labels("desc-nuclei", scan.nuclei, scan.t1w.grid, [each._asdict() for each in NUCLEI])
    _add_megre(files, scan)
    files.second("MEGRE", scan.megre_grid, scan.megre_brain, scan.setting.motion, _echoes(files))
    files.marker(scan.marker, scan.t1w.grid)
    rates = person.r2star_per_s(session).items()
    row = {f"{name}_r2star": round(rate, 4) for name, rate in rates}
    return Visit(files.content, {"effect": round(person.effect, 6), **row})


def _echoes(files: heads.Files) -> list[str]:
    return [files.raw(f"echo-{number}_MEGRE") for number in range(1, len(ECHO_TIMES_S) + 1)]


def _add_megre(files: heads.Files, scan: MegreScan) -> None:
    for number, (echo, time_s) in enumerate(zip(scan.megre, ECHO_TIMES_S, strict=True), start=1):
        sidecar = {**heads.SCANNER, **_MEGRE, "EchoTime": time_s}
        files.image("", f"echo-{number}_MEGRE", echo, scan.megre_grid, sidecar)
    sidecar = {"Sources": _echoes(files), "Units": "1/s", "SkullStripped": False}
    sidecar |= {"EchoTime": list(ECHO_TIMES_S), "MagneticFieldStrength": 3}
    files.image(TRUTH, "R2starmap", scan.r2star, scan.megre_grid, sidecar)


KIND = CohortKind(
    draw=draw_cohort,
    visit=visit,
    row=heads.participant_row,
    participant_columns=heads.participant_columns("megre"),
    truth_columns=_TRUTH_COLUMNS,
    readme=_README,
    derivatives={TRUTH: heads.truth_dataset(_TRUTH_README)},
    session_row=heads.session_row,
    session_columns=heads.SESSION_COLUMNS,
)
