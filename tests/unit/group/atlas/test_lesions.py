"""Lesion load and relevance in lesions, file by file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bids_xai.bids.files import write_nifti
from bids_xai.bids.images import Volume
from bids_xai.errors import NoInputError
from bids_xai.group.atlas.lesions import LesionValues, in_lesions, lesion_values
from bids_xai.group.atlas.parts import Part

AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])


def pair(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mask = (rng.random((6, 5, 4)) < 0.3).astype(np.uint8)
    return mask, rng.normal(size=(6, 5, 4)).astype(np.float32)


def test_load_is_a_volume_and_share_that_of_positive_relevance() -> None:
    mask, relevance = pair()
    load_ml, share = in_lesions(Volume(mask, AFFINE), Volume(relevance, AFFINE))
    assert load_ml == pytest.approx(mask.sum() * 12 / 1000)
    positive = np.maximum(relevance, 0)
    assert share == pytest.approx(positive[mask > 0].sum() / positive.sum(), rel=1e-5)


def test_what_has_no_mask_is_unknown(tmp_path: Path) -> None:
    mask, relevance = pair()
    files = (
        write_nifti(tmp_path / "mask.nii.gz", mask, AFFINE),
        write_nifti(tmp_path / "map.nii.gz", relevance, AFFINE),
    )
    values = lesion_values([None, files[0], files[0]], [files[1], files[1], None])
    expected = in_lesions(Volume(mask, AFFINE), Volume(relevance, AFFINE))
    assert (values.load_ml[1], values.share[1]) == pytest.approx(expected)
    assert np.isnan(values.load_ml[[0, 2]]).all()
    assert np.isnan(values.share[[0, 2]]).all()
    part = values.of(Part("A", "m", 1, 2))
    assert (part.load_ml.tolist(), part.share.tolist()) == ([expected[0]], [values.share[1]])
    assert np.isnan(LesionValues.unknown(3).share).all()


def test_a_heatmap_that_is_gone_is_named(tmp_path: Path) -> None:
    mask = write_nifti(tmp_path / "mask.nii.gz", pair()[0], AFFINE)
    with pytest.raises(NoInputError) as caught:
        lesion_values([mask], [tmp_path / "gone.nii.gz"])
    assert str(caught.value.file).endswith("gone.nii.gz")
