"""Small derivatives for the baselines: maps, brains, labels and lesions of sixteen people."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from bids_xai.bids.names import anat_path
from bids_xai.group.context import GroupContext
from bids_xai.studies.tables import Baseline, Input

SHAPE = (9, 11, 8)


AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])


N = 16


TEST = {0: (0, 1, 2, 3), 1: (4, 5, 6, 7)}


TEMPLATE = "MNI152NLin2009aSym"


INPUT = Input(scale=40.0, maximum=100.0)


def save(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


def place(out: Path, sub: str, suffix: str, **entities: str) -> Path:
    """Where the participant level writes an image."""
    return out / anat_path({"sub": sub, "ses": "1", **entities}, suffix, ".nii.gz")


def noise(i: int) -> np.ndarray:
    """A map of one participant; of every second a region is 30 higher."""
    data = np.random.default_rng(i).uniform(10, 30, SHAPE).astype(np.float32)
    data[4:6, 4:7, 3:5] += 30.0 * (i % 2)
    return data


def brain(i: int) -> np.ndarray:
    """Brains of two sizes along the first axis."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[2 : 7 + (i % 3 == 0), 2:9, 1:7] = 1
    return mask


def labels(shift: int = 0) -> np.ndarray:
    """Two regions, one of them beyond 255, one reaching out of the brain."""
    atlas = np.zeros(SHAPE, np.int16)
    atlas[4:6, 4:7, 3:5] = 300
    atlas[0:4, 4:7, 3:5] = 7 + shift
    return atlas


def lesions(n: int) -> np.ndarray:
    data = np.zeros(SHAPE, np.uint8)
    data.ravel()[:n] = 1
    return data


def splits() -> list[dict[str, Any]]:
    return [
        {
            "participant_id": f"sub-{i:02d}",
            "split": split,
            "set": "test" if i in test else "validation" if i > 11 else "train",
        }
        for split, test in TEST.items()
        for i in range(N)
    ]


def with_baselines(context: GroupContext, *listed: Baseline, **tables: Any) -> GroupContext:
    study = dataclasses.replace(context.study, baselines=listed, **tables)
    return dataclasses.replace(context, study=study)


def with_input(context: GroupContext, **keys: Any) -> GroupContext:
    study = dataclasses.replace(context.study, input=dataclasses.replace(INPUT, **keys))
    return dataclasses.replace(context, study=study)
