"""A model card, and a user's atlas of two regions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bids_xai.bids.files import write_nifti
from bids_xai.models.card import ModelCard
from bids_xai.templates.lookup import Atlas

CARD = ModelCard(
    architecture="graz",
    input_shape=(4, 5, 6),
    voxel_mm=None,
    suffix="R2starmap",
    space="T1w",
    scale=40.0,
    maximum=None,
    skull_strip=False,
    classes=("NC", "AD"),
    positive="AD",
    seed=0,
    study="s",
    configuration="A",
    split=0,
    split_hash="",
    training_participants=(),
    relevance_guided=False,
    metrics={},
    versions={},
)


def user_atlas(folder: Path, like: Atlas) -> Path:
    """Image and table of an atlas of two regions, left and right half of the embedded one."""
    image = folder / "halves_dseg.nii.gz"
    sides = np.where([name.startswith("Left") for _, name in like.labels], 5, 70000)
    data = np.zeros(like.volume.data.shape, np.int32)
    for (index, _), side in zip(like.labels, sides, strict=True):
        data[like.volume.data == index] = side
    write_nifti(image, data, like.volume.affine)
    (folder / "halves_dseg.tsv").write_text("index\tname\n5\tLeft half\n70000\tRight half\n")
    return image
