"""Tiny raw datasets, written file by file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

SHAPE = (4, 5, 6)


@dataclass(frozen=True)
class RawDataset:
    """A BIDS dataset in the making; paths are relative to its root."""

    root: Path

    def image(
        self,
        path: str,
        sidecar: dict[str, Any] | None = None,
        shape: tuple[int, ...] = SHAPE,
        affine: np.ndarray | None = None,
    ) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        data = np.ones(shape, np.float32)
        nib.save(nib.Nifti1Image(data, np.eye(4) if affine is None else affine), file)
        if sidecar is not None:
            self.json(path.replace(".nii.gz", ".json"), sidecar)
        return file

    def json(self, path: str, content: dict[str, Any]) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))
        return file

    def session(
        self,
        sub: str,
        ses: str = "",
        middle: str = "",
        echo_times_s: tuple[Any, ...] = (0.01, 0.02),
        t1w: bool = True,
    ) -> str:
        """Write a T1w image and one series; return the start of the series' paths."""
        folder = f"sub-{sub}/ses-{ses}/anat" if ses else f"sub-{sub}/anat"
        start = f"{folder}/sub-{sub}_ses-{ses}" if ses else f"{folder}/sub-{sub}"
        if t1w:
            self.image(f"{start}_T1w.nii.gz", {})
        for number, time in enumerate(echo_times_s, start=1):
            sidecar = {} if time is None else {"EchoTime": time}
            self.image(f"{start}{middle}_echo-{number}_MEGRE.nii.gz", sidecar)
        return f"{start}{middle}"


@pytest.fixture
def raw(tmp_path: Path) -> RawDataset:
    dataset = RawDataset(tmp_path / "raw")
    dataset.json("dataset_description.json", {"Name": "tiny", "BIDSVersion": "1.10.0"})
    return dataset
