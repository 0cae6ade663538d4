"""Kind ``t1w``: T1w alone; patients have smaller hippocampi and wider lateral ventricles."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bids_xai.arrays import Bools
from bids_xai.simulation import heads
from bids_xai.simulation.cohort import Participant, SimulationOptions, draw_cohort, generator
from bids_xai.simulation.kinds import TRUTH, CohortKind, Visit
from bids_xai.simulation.marker import draw_marker
from bids_xai.simulation.scan import Setting, T1wScan, deformed, prepare, scan_t1w
from bids_xai.simulation.structures import NAMES, STRUCTURES, atrophy, label_structures, volumes_ml

_README = """\
Simulated cohort
================

Made by bids_xai_simulate {version}; nobody was scanned. Options: {options}.

Every head is the embedded template MNI152NLin2009aSym (brain only) in a drawn CSF rim, skull and
scalp, deformed smoothly, with a T1w image. Patients (AD) differ from controls (NC) in one thing:
the head is deformed so that the hippocampi are smaller and the lateral ventricles larger in volume,
on average by effect_percent, with an sd of a quarter of that between patients. Ages are matched;
age and site have no effect. SNR is the mean brain signal over the sd of the noise.

The truth is in derivatives/truth.
"""

_TRUTH_README = """\
Truth behind a simulated cohort
===============================

desc-structures_dseg, desc-brain_mask: on the T1w grid.
from-{space}_to-T1w_mode-image_xfm.nii.gz: ITK displacement field (LPS); the T1w image was made
through this very field, the atrophy included. It resamples images onto the T1w grid, as in
antsApplyTransforms -r T1w -t XFM.
truth.tsv: the person's own effect, and for each session the volumes of both sides of the
structures, without and with the atrophy.
"""

_TRUTH_COLUMNS = {
    "effect": {"Description": "Relative loss of hippocampus, and gain of ventricles, by disease"},
    **{
        f"{name}_{when}_ml": {"Description": f"Volume of the {name}, {text}", "Units": "ml"}
        for name in NAMES
        for when, text in (("healthy", "without the atrophy"), ("true", "in the image"))
    },
}


@dataclass(frozen=True)
class AtrophyScan:
    """Image and truth of one session; volumes are (x, y, z) on the T1w grid.

    ``structures`` labels; ``healthy_ml`` and ``true_ml`` volumes by structure without and with the
    atrophy; ``marker`` mask, ``None`` in a cohort without markers.
    """

    setting: Setting
    t1w: T1wScan
    structures: NDArray[np.int16]
    healthy_ml: dict[str, float]
    true_ml: dict[str, float]
    marker: Bools | None


def simulate_scan(person: Participant, session: int, options: SimulationOptions) -> AtrophyScan:
    """Scan a participant; the same options, person and session (from 1) give the same scan."""
    rng = generator(options.seed, person.index, session)
    healthy, grid = prepare(person, session, options, rng)
    setting = healthy
    if person.effect > 0:
        move = atrophy(person.effect)
        setting = replace(healthy, control=deformed(healthy.control, move))
    t1w = scan_t1w(setting, grid, options, rng, marker=draw_marker(person, session, options))
    return AtrophyScan(
        setting,
        t1w,
        label_structures(t1w.template).reshape(grid.shape),
        volumes_ml(healthy.control, healthy.centre_mm),
        volumes_ml(setting.control, setting.centre_mm),
        None if t1w.marker is None else t1w.marker.reshape(grid.shape) > 0,
    )


def visit(person: Participant, session: int, options: SimulationOptions, stem: str) -> Visit:
    """Scan a participant; return the files and the row of truth."""
    scan = simulate_scan(person, session, options)
    files = heads.Files(stem)
    files.t1w(scan.t1w, scan.setting.control)
    table = [each._asdict() for each in STRUCTURES]
    files.labels("desc-structures", scan.structures, scan.t1w.grid, table)
    files.marker(scan.marker, scan.t1w.grid)
    row = {
        f"{name}_{when}_ml": round(volumes[name], 4)
        for name in NAMES
        for when, volumes in (("healthy", scan.healthy_ml), ("true", scan.true_ml))
    }
    return Visit(files.content, {"effect": round(person.effect, 6), **row})


KIND = CohortKind(
    draw=draw_cohort,
    visit=visit,
    row=heads.participant_row,
    participant_columns=heads.participant_columns("t1w"),
    truth_columns=_TRUTH_COLUMNS,
    readme=_README,
    derivatives={TRUTH: heads.truth_dataset(_TRUTH_README)},
    session_row=heads.session_row,
    session_columns=heads.SESSION_COLUMNS,
)
