"""Cohorts of the ground-truth benchmark: simulated images made into maps as the group level reads.

Nothing is registered and no brain is sought: the motion between two images of a visit and the brain
mask are taken from the truth, so that what is measured is networks and methods alone. Relaxometry
is the app's own. No transform to a template is written, so heatmaps stay on the network's grid.
"""

from __future__ import annotations

import csv
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from leaderboard_plan import INPUT_MM, PATIENTS, SEED, VOXEL_MM, Cohort, Plan

import bids_xai
from bids_xai.bids.files import write_json, write_nifti, write_text
from bids_xai.bids.images import Volume, read_volume
from bids_xai.bids.stamps import fingerprint, is_current, write_stamp
from bids_xai.core.relaxometry.fit import fit_r2star
from bids_xai.simulation.signal import ECHO_TIMES_S
from bids_xai.simulation.write import simulate_cohort
from bids_xai.stages import ants_tools

CHEAT = 0.9
_INPUTS: dict[str, dict[str, Any]] = {
    "megre": {"suffix": "R2starmap", "scale": 40.0, "maximum": 100.0},
    "t1w": {"suffix": "T1w", "desc": "preproc", "scale": 1.0, "maximum": 2.0},
    "flair": {"suffix": "FLAIR", "desc": "preproc", "scale": 1.0, "maximum": 2.0},
}

_STUDY = """\
# Written by benchmarks/leaderboard.py: the recipe of the preset quick, all networks on one split.
name = "leaderboard"

[target]
column = "diagnosis"
negative = "NC"
positive = "{patients}"

[input]
suffix = "{suffix}"
desc = "{desc}"
space = "T1w"
scale = {scale}
maximum = {maximum}
voxel_mm = {voxel_mm}

[splits]
scheme = "random"
repeats = 1
counts = [{validation}, {test}] # of each class
repetitions = {repetitions}

[model]
architecture = "graz"

[training]
epochs = {epochs}
batch_size = 4
learning_rate = 1e-3
guidance_weight = {guidance_weight}
guidance_after = {guidance_after}

[training.plateau]
patience = 40
factor = 0.3
min = 1e-6

[[configurations]]
id = "A"

[[configurations]]
id = "B"
skull_strip = true

[[configurations]]
id = "C"
relevance_guided = true

[[configurations]]
id = "A0"
training = {{ epochs = 0 }}

[[configurations]]
id = "B0"
skull_strip = true
training = {{ epochs = 0 }}

[attribution]
methods = ["lrp-zplus"]
"""


def make_cohort(folder: Path, cohort: Cohort, plan: Plan) -> None:
    """Simulate a cohort into ``folder/raw`` and its maps into ``folder/maps``; write its study.

    What is up to date is not made again.
    """
    stamp = folder / "stamp.json"
    made_of = {
        "cohort": asdict(cohort),
        "n": plan.n_participants,
        "voxel_mm": VOXEL_MM,
        "seed": SEED,
        "cheat": CHEAT,
        "version": bids_xai.__version__,
    }
    digest = fingerprint([], made_of)
    write_text(folder / "study.toml", study_text(cohort, plan))
    if is_current(stamp, digest, folder):
        return
    for half_made in (folder / "raw", folder / "maps"):
        shutil.rmtree(half_made, ignore_errors=True)
    simulate_cohort(
        folder / "raw",
        n_participants=plan.n_participants,
        effect_percent=cohort.effect,
        voxel_mm=VOXEL_MM,
        max_sessions=1,
        seed=SEED,
        kind=cohort.kind,
        cheat=CHEAT if cohort.marker else None,
    )
    written = [
        write_json(
            folder / "maps" / "dataset_description.json",
            {
                "Name": "Maps of a simulated cohort",
                "BIDSVersion": "1.10.0",
                "DatasetType": "derivative",
                "GeneratedBy": [{"Name": "leaderboard.py"}],
            },
        )
    ]
    for label in people(folder):
        written += make_maps(folder, cohort.kind, label)
    write_stamp(stamp, digest, folder, written)


def people(folder: Path) -> dict[str, dict[str, str]]:
    """``sub-X`` → row of participants.tsv."""
    with (folder / "raw" / "participants.tsv").open(encoding="utf-8") as stream:
        return {row["participant_id"]: row for row in csv.DictReader(stream, delimiter="\t")}


def make_maps(folder: Path, kind: str, label: str) -> list[Path]:
    """The input map of a participant and the brain mask, both on the T1w grid."""
    raw = folder / "raw" / label / "anat"
    truth = folder / "raw" / "derivatives" / "truth" / label / "anat"
    out = folder / "maps" / label / "anat"
    brain = read_volume(truth / f"{label}_desc-brain_mask.nii.gz")
    inside = brain.data > 0
    if kind == "megre":
        name, volume = f"{label}_space-T1w_R2starmap", _r2star(raw, truth, label, brain)
    elif kind == "flair":
        flair = read_volume(raw / f"{label}_FLAIR.nii.gz")
        moved = _on_t1w_grid(flair, truth, label, "FLAIR", brain)
        name, volume = f"{label}_space-T1w_desc-preproc_FLAIR", _scaled(moved, inside)
    else:
        t1w = read_volume(raw / f"{label}_T1w.nii.gz").data
        name, volume = f"{label}_desc-preproc_T1w", _scaled(t1w, inside)
    return [
        write_nifti(out / f"{name}.nii.gz", volume, brain.affine),
        write_nifti(out / f"{label}_desc-brain_mask.nii.gz", inside.astype(np.uint8), brain.affine),
    ]


def map_and_mask(folder: Path, kind: str, label: str) -> tuple[Path, Path]:
    """What :func:`make_maps` wrote."""
    folder_of_maps = folder / "maps" / label / "anat"
    (map_file,) = folder_of_maps.glob(f"*_{_INPUTS[kind]['suffix']}.nii.gz")
    return map_file, folder_of_maps / f"{label}_desc-brain_mask.nii.gz"


def _r2star(raw: Path, truth: Path, label: str, like: Volume) -> np.ndarray:
    echoes = [
        read_volume(raw / f"{label}_echo-{number}_MEGRE.nii.gz")
        for number in range(1, len(ECHO_TIMES_S) + 1)
    ]
    signal = np.stack([echo.data.ravel() for echo in echoes])
    r2star = fit_r2star(signal, np.array(ECHO_TIMES_S)).r2star.reshape(echoes[0].data.shape)
    return _on_t1w_grid(Volume(r2star, echoes[0].affine), truth, label, "MEGRE", like)


def _on_t1w_grid(volume: Volume, truth: Path, label: str, image: str, like: Volume) -> np.ndarray:
    """Undo the true motion between an image and the T1w image."""
    motion = truth / f"{label}_from-{image}_to-T1w_mode-image_xfm.txt"
    return ants_tools.resample(ants_tools.ants_module(0), volume, like, [motion])


def _scaled(data: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Divided by the 99th percentile in the brain."""
    return (data / np.percentile(data[brain], 99)).astype(np.float32)


def study_text(cohort: Cohort, plan: Plan) -> str:
    """The study file of a cohort: the recipe of the preset ``quick``, all networks on one split."""
    given = _INPUTS[cohort.kind]
    return _STUDY.format(
        patients=PATIENTS[cohort.kind],
        suffix=given["suffix"],
        desc=given.get("desc", ""),
        scale=given["scale"],
        maximum=given["maximum"],
        voxel_mm=INPUT_MM,
        **asdict(plan),
    )
