"""What all cohorts of heads have in common: columns, texts, and the files of a T1w image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.arrays import Bools, Floats
from bids_xai.simulation import encode
from bids_xai.simulation.cohort import DISEASES, Participant
from bids_xai.simulation.deformation import ControlGrid, Grid
from bids_xai.simulation.kinds import TRUTH, Derivative
from bids_xai.simulation.scan import T1wScan
from bids_xai.templates.embedded import SPACE

SCANNER = {"Manufacturer": "Simulated", "MagneticFieldStrength": 3, "BodyPart": "BRAIN"}
SESSION_COLUMNS = {"age": {"Description": "Age at the session", "Units": "year"}}

T1W_SIDECAR = {
    **SCANNER,
    "RepetitionTime": 1.9,
    "EchoTime": 0.00219,
    "InversionTime": 0.9,
    "FlipAngle": 9,
}
_IGNORED = "*_xfm.nii.gz\n*_xfm.txt\ntruth.tsv\ntruth.json\n"


def participant_columns(kind: str) -> dict[str, Any]:
    """Columns of participants.tsv after the first."""
    disease = DISEASES[kind]
    return {
        "age": {"Description": "Age at the first session", "Units": "year"},
        "sex": {"Description": "Sex", "Levels": {"F": "female", "M": "male"}},
        "diagnosis": {
            "Description": "Simulated diagnosis",
            "Levels": {disease.label: f"patient, {disease.name}", "NC": "healthy control"},
        },
        "site": {"Description": "Site, drawn at random, without effect on the images"},
    }


def participant_row(person: Participant) -> dict[str, Any]:
    """Cells of participants.tsv after the first."""
    names = ("age", "sex", "diagnosis", "site")
    return {name: getattr(person, name) for name in names}


def session_row(person: Participant, session: int) -> dict[str, Any]:
    """Cells of sessions.tsv after the first."""
    return {"age": person.age_at(session)}


def truth_dataset(readme: str) -> Derivative:
    """The derivative dataset that holds the truth."""
    return Derivative("Truth behind a simulated cohort", readme.replace("{space}", SPACE), _IGNORED)


class Files:
    """Collects the files of one visit, by path relative to the cohort's folder."""

    def __init__(self, stem: str) -> None:
        self.stem = stem
        self.content: dict[str, bytes] = {}

    def raw(self, suffix: str) -> str:
        """BIDS URI of a raw image of the visit."""
        return f"bids:raw:{self.stem}_{suffix}.nii.gz"

    def add(self, dataset: str, name: str, content: bytes) -> None:
        """Add a file; ``dataset`` is a folder, empty for the raw data."""
        self.content[str(PurePosixPath(dataset, f"{self.stem}_{name}"))] = content

    def image(
        self, dataset: str, name: str, data: NDArray[Any], grid: Grid, sidecar: Mapping[str, Any]
    ) -> None:
        """Add an image with its sidecar; truth values are stored as 0 and 1."""
        data = data.astype(np.uint8) if data.dtype == bool else data
        self.add(dataset, f"{name}.nii.gz", encode.image(data, grid))
        self.add(dataset, f"{name}.json", encode.record(sidecar))

    def labels(
        self, name: str, data: NDArray[Any], grid: Grid, table: list[dict[str, Any]]
    ) -> None:
        """Add labels on the T1w grid to the truth, with their table."""
        sidecar = {"Sources": [self.raw("T1w")]}
        self.image(TRUTH, f"{name}_dseg", data.astype(np.uint8), grid, sidecar)
        self.add(TRUTH, f"{name}_dseg.tsv", encode.table(table))

    def t1w(self, scan: T1wScan, control: ControlGrid) -> None:
        """Add a T1w image, its brain mask and the field it was made through."""
        self.image("", "T1w", scan.image, scan.grid, T1W_SIDECAR)
        sidecar = {"Sources": [self.raw("T1w")], "Type": "Brain"}
        self.image(TRUTH, "desc-brain_mask", scan.brain, scan.grid, sidecar)
        name = f"from-{SPACE}_to-T1w_mode-image_xfm.nii.gz"
        self.add(TRUTH, name, encode.field(control))

    def second(
        self, name: str, grid: Grid, brain: Bools, to_t1w: Floats, sources: list[str]
    ) -> None:
        """Add to the truth the brain mask on a second grid and the motion between the images."""
        sidecar = {"Sources": sources, "Type": "Brain", "SpatialReference": sources[0]}
        self.image(TRUTH, f"space-{name}_desc-brain_mask", brain, grid, sidecar)
        motion = f"from-{name}_to-T1w_mode-image_xfm.txt"
        self.add(TRUTH, motion, encode.rigid(to_t1w))

    def marker(self, where: Bools | None, grid: Grid) -> None:
        """Add to the truth where on the T1w grid the marker is or would be."""
        if where is not None:
            sidecar = {"Sources": [self.raw("T1w")], "Type": "ROI"}
            self.image(TRUTH, "desc-marker_mask", where, grid, sidecar)
