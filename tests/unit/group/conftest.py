"""Derivatives just good enough for the cohort: names, and maps of few voxels."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_maps import write_map

from bids_xai.group.context import GroupContext
from bids_xai.settings import RunSettings
from bids_xai.studies.schema import load_study


@dataclass(frozen=True)
class Derivatives:
    """A raw folder with participants.tsv and an output folder beside it."""

    raw: Path
    out: Path

    def people(self, text: str, encoding: str = "utf-8") -> None:
        (self.raw / "participants.tsv").write_bytes(text.encode(encoding))

    def scan(
        self, sub: str, ses: str = "", run: str = "", *, mask: bool = True, transform: bool = True
    ) -> None:
        stem = f"sub-{sub}_ses-{ses}" if ses else f"sub-{sub}"
        folder = self.out / f"sub-{sub}" / (f"ses-{ses}" if ses else "") / "anat"
        folder.mkdir(parents=True, exist_ok=True)
        series = f"{stem}_run-{run}" if run else stem
        names = [
            f"{series}_space-T1w_R2starmap",
            f"{series}_R2starmap",
            f"{series}_space-MEGRE_desc-brain_mask",
            f"{stem}_space-MNI152NLin2009aSym_res-2_desc-brain_mask",
        ]
        names += [f"{stem}_desc-brain_mask"] * mask
        for name in names:
            (folder / f"{name}.nii.gz").touch()
        voxels = random.Random(series).choices(range(10, 60), k=64)
        write_map(folder / f"{names[0]}.nii.gz", np.reshape(voxels, (4, 4, 4)))
        if mask:
            write_map(folder / f"{names[-1]}.nii.gz", np.ones((4, 4, 4)))
        if transform:
            (folder / f"{stem}_from-T1w_to-MNI152NLin2009aSym_mode-image_xfm.h5").touch()
        (folder / f"{stem}_from-T1w_to-Other_mode-image_xfm.h5").touch()

    def context(self, seed: int = 0, repeats: int = 2, **options: Any) -> GroupContext:
        study = load_study("quick")
        splits = dataclasses.replace(study.splits, repeats=repeats)
        settings = RunSettings(self.raw, self.out, "group", random_seed=seed, **options)
        return GroupContext(
            settings, dataclasses.replace(study, splits=splits), "MNI152NLin2009aSym"
        )


@pytest.fixture
def derivatives(tmp_path: Path) -> Derivatives:
    made = Derivatives(tmp_path / "raw", tmp_path / "out")
    made.raw.mkdir()
    made.out.mkdir()
    return made
