"""Kind ``flair``: T1w and FLAIR; patients have white-matter lesions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.arrays import Bools
from bids_xai.simulation import heads
from bids_xai.simulation.cohort import Participant, SimulationOptions, draw_cohort, generator
from bids_xai.simulation.deformation import Grid, transform
from bids_xai.simulation.kinds import TRUTH, CohortKind, Derivative, Visit
from bids_xai.simulation.lesions import SimulatedLesions, draw_lesions, with_lesions
from bids_xai.simulation.marker import draw_marker, seen_on_t1w_grid
from bids_xai.simulation.scan import (
    MEAN_BRAIN_FLAIR,
    Setting,
    T1wScan,
    acquire,
    prepare,
    scan_t1w,
    spread,
)
from bids_xai.simulation.signal import FLAIR_TIMES_S, flair_signal
from bids_xai.simulation.structures import measuring_grid

VOXEL_RATIO = np.array([1.0, 1.0, 1.5])  # to the T1w voxel
DERIVATIVES = "derivatives/lesions"

_README = """\
Simulated cohort
================

Made by bids_xai_simulate {version}; nobody was scanned. Options: {options}.

Every head is the embedded template MNI152NLin2009aSym (brain only) in a drawn CSF rim, skull and
scalp, deformed smoothly, with T1w and FLAIR images of its own pose. Patients (MS) differ from
controls (NC) in one thing: lesions of the white matter near the lateral ventricles, bright on FLAIR
and a little darker on T1w, whose number and size grow with effect_percent. Everybody may have a few
tiny ones. Ages are matched; age and site have no effect. SNR is the mean brain signal over the sd
of the noise. Between T1w and FLAIR the head moves a little, which the headers do not know.

The truth is in derivatives/truth, lesion masks by themselves in derivatives/lesions.
"""

_TRUTH_README = """\
Truth behind a simulated cohort
===============================

label-lesion_mask, desc-brain_mask: on the T1w grid; space-FLAIR_desc-brain_mask on the FLAIR grid.
from-{space}_to-T1w_mode-image_xfm.nii.gz: ITK displacement field (LPS); the T1w image was made
through this very field. from-FLAIR_to-T1w_mode-image_xfm.txt: ITK rigid transform.
Both resample images onto the T1w grid, as in antsApplyTransforms -r T1w -t XFM.
truth.tsv: each session's number and volume of lesions and the person's own effect.
"""

_LESIONS_README = """\
Lesion masks of a simulated cohort
==================================

label-lesion_mask: lesions of the white matter on the T1w grid, where at least half of a voxel is
lesion. For bids_xai: --derivatives lesions=PATH.
"""

_TRUTH_COLUMNS = {
    "effect": {"Description": "Relative size of what disease does; 0.3 by default, on average"},
    "lesions": {"Description": "Number of lesions drawn; some may touch"},
    "lesion_ml": {"Description": "Volume of the lesions in the head", "Units": "ml"},
}


@dataclass(frozen=True)
class FlairScan:
    """Images and truth of one session; volumes are (x, y, z) on the grid they belong to.

    ``flair`` int16; ``lesions`` and ``marker`` masks on the T1w grid, the latter ``None`` in a
    cohort without markers; ``lesion_ml`` the true volume.
    """

    setting: Setting
    t1w: T1wScan
    lesions: Bools
    lesion_ml: float
    flair_grid: Grid
    flair: NDArray[np.int16]
    flair_brain: Bools
    marker: Bools | None


def simulate_scan(
    person: Participant, session: int, options: SimulationOptions, lesions: SimulatedLesions
) -> FlairScan:
    """Scan a participant; the same options, person and session (from 1) give the same scan."""
    rng = generator(options.seed, person.index, session)
    setting, t1w_grid = prepare(person, session, options, rng)
    marker = draw_marker(person, session, options)
    change = partial(with_lesions, lesions=lesions)
    t1w = scan_t1w(setting, t1w_grid, options, rng, change=change, marker=marker)
    grid = setting.second_grid(options.voxel_mm * VOXEL_RATIO)
    points = transform(setting.motion, grid.points())
    part = None if marker is None else marker.part(points, options.voxel_mm)
    bright = part[None] if marker is not None and marker.shown and part is not None else None
    template = setting.control.to_template(points)
    head = setting.sample(points, template)
    head = with_lesions(head, template[:, head.where], lesions)
    signal = flair_signal(head.proportions)
    signal = signal * setting.sensitivity(grid.points()[:, head.where])
    mean = MEAN_BRAIN_FLAIR
    flair = acquire(signal[None], head, grid, mean, options.snr, rng, bright)[0]
    seen = None
    if part is not None and t1w.marker is not None:
        seen = t1w.marker.reshape(t1w_grid.shape) > 0
        seen = seen | seen_on_t1w_grid(part, grid, setting.motion, t1w_grid)
    mask = spread(t1w.head.proportions["lesion"] >= 0.5, t1w.head, t1w_grid)
    brain = spread(head.brain >= 0.5, head, grid)
    volume = lesion_volume_ml(setting, lesions)
    return FlairScan(setting, t1w, mask, volume, grid, flair, brain, seen)


def lesion_volume_ml(setting: Setting, lesions: SimulatedLesions) -> float:
    """True volume of the lesions in the head, from points 1.5 mm apart."""
    grid = measuring_grid(setting.centre_mm)
    points = grid.points()
    template = setting.control.to_template(points)
    near = np.flatnonzero(lesions.part(template))
    head = setting.sample(points[:, near], template[:, near])
    lesion = with_lesions(head, template[:, near[head.where]], lesions).proportions["lesion"]
    voxel_mm3 = float(np.linalg.det(grid.affine[:3, :3]))
    return float(lesion.sum(dtype=np.float64)) * voxel_mm3 / 1000


def visit(person: Participant, session: int, options: SimulationOptions, stem: str) -> Visit:
    """Scan a participant; return the files and the row of truth."""
    lesions = draw_lesions(person, options.seed)
    scan = simulate_scan(person, session, options, lesions)
    files = heads.Files(stem)
    files.t1w(scan.t1w, scan.setting.control)
    sidecar: dict[str, Any] = {**heads.SCANNER, **FLAIR_TIMES_S}
    files.image("", "FLAIR", scan.flair, scan.flair_grid, sidecar)
    sources = [files.raw("FLAIR")]
    files.second("FLAIR", scan.flair_grid, scan.flair_brain, scan.setting.motion, sources)
    sidecar = {"Sources": [files.raw("T1w"), *sources], "Type": "Lesion"}
    for folder in (TRUTH, DERIVATIVES):
        files.image(folder, "label-lesion_mask", scan.lesions, scan.t1w.grid, sidecar)
    files.marker(scan.marker, scan.t1w.grid)
    row = {"lesions": len(lesions.radii_mm), "lesion_ml": round(scan.lesion_ml, 4)}
    return Visit(files.content, {"effect": round(person.effect, 6), **row})


KIND = CohortKind(
    draw=draw_cohort,
    visit=visit,
    row=heads.participant_row,
    participant_columns=heads.participant_columns("flair"),
    truth_columns=_TRUTH_COLUMNS,
    readme=_README,
    derivatives={
        TRUTH: heads.truth_dataset(_TRUTH_README),
        DERIVATIVES: Derivative("Lesion masks of a simulated cohort", _LESIONS_README),
    },
    session_row=heads.session_row,
    session_columns=heads.SESSION_COLUMNS,
)
