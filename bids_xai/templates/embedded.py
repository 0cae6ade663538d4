"""The template that needs no network: MNI152NLin2009aSym out of nilearn's wheel (brain only).

ICBM 2009a symmetric, 1 mm, skull-stripped (Fonov et al. 2011, doi:10.1016/j.neuroimage.2010.07.033;
redistributed by nilearn). All images of one resolution share one grid.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Image
from numpy.typing import NDArray
from scipy import ndimage

from bids_xai.arrays import Floats
from bids_xai.core.regions.nuclei import NUCLEI, nuclei_labels
from bids_xai.errors import UsageError

SPACE = "MNI152NLin2009aSym"
ATLAS = "TissueNuclei"

_LOADERS = {
    "brain": "load_mni152_template",
    "mask": "load_mni152_brain_mask",
    "grey": "load_mni152_gm_template",
    "white": "load_mni152_wm_template",
}
_TISSUES = (
    (7, "Left grey matter"),
    (8, "Right grey matter"),
    (9, "Left white matter"),
    (10, "Right white matter"),
    (11, "Left CSF and other"),
    (12, "Right CSF and other"),
)


def brain(resolution_mm: float) -> Nifti1Image:
    """T1-weighted brain, float32 in 0 to 1, 0 outside the brain."""
    return _image(_resampled("brain", resolution_mm), resolution_mm)


def brain_mask(resolution_mm: float) -> Nifti1Image:
    """Brain mask with cerebellum, stem and ventricles, uint8."""
    mask = _resampled("mask", resolution_mm) >= 0.5
    return _image(mask.astype(np.uint8), resolution_mm)


def grey_matter(resolution_mm: float) -> Nifti1Image:
    """Grey-matter probability, float32 in 0 to 1."""
    return _image(_resampled("grey", resolution_mm), resolution_mm)


def white_matter(resolution_mm: float) -> Nifti1Image:
    """White-matter probability, float32 in 0 to 1."""
    return _image(_resampled("white", resolution_mm), resolution_mm)


def atlas(resolution_mm: float) -> tuple[Nifti1Image, list[tuple[int, str]]]:
    """The embedded atlas "TissueNuclei": a label image (int16) and its (index, name) table.

    For orientation, not a histological atlas: caudate, putamen and pallidum are ellipsoids
    (``core.nuclei``), the rest of the brain mask is whatever of grey matter, white matter or
    neither is most probable there, halved at x = 0 (the middle plane counts as right).
    """
    grey, white = _resampled("grey", resolution_mm), _resampled("white", resolution_mm)
    tissue = np.argmax([grey, white, 1 - grey - white], axis=0)
    affine = _affine(resolution_mm)
    is_right = affine[0, 0] * np.arange(grey.shape[0]) + affine[0, 3] >= 0
    labels = _TISSUES[0][0] + 2 * tissue + is_right[:, None, None]
    nuclei = nuclei_labels(affine, grey.shape)
    labels = np.where(nuclei > 0, nuclei, labels)
    labels[_resampled("mask", resolution_mm) < 0.5] = 0
    table = [(each.index, each.name) for each in NUCLEI] + list(_TISSUES)
    return _image(labels.astype(np.int16), resolution_mm), table


def _image(data: NDArray[Any], resolution_mm: float) -> Nifti1Image:
    image = Nifti1Image(np.array(data), _affine(resolution_mm))
    image.set_sform(image.affine, code="mni")
    image.set_qform(image.affine, code="mni")
    image.header.set_xyzt_units("mm")
    return image


def _affine(resolution_mm: float) -> Floats:
    """Index to mm of the grid: the 1 mm grid's first voxel stays where it is."""
    affine = np.array(_source("brain")[1])
    affine[:3, :3] *= resolution_mm
    return affine


@lru_cache(maxsize=8)
def _resampled(name: str, resolution_mm: float) -> Floats:
    """One embedded map, smoothed to the voxel size and sampled linearly (read-only float32)."""
    if not resolution_mm >= 1:
        raise UsageError(f"the embedded template cannot be {resolution_mm} mm", fix="1 mm or more")
    data = _source(name)[0]
    if resolution_mm > 1:
        smooth = ndimage.gaussian_filter(data, np.sqrt(resolution_mm**2 - 1) / 2.355)
        shape = tuple(int((size - 1) // resolution_mm) + 1 for size in data.shape)
        data = ndimage.affine_transform(
            smooth, np.diag([resolution_mm] * 3), output_shape=shape, order=1
        )
    data.setflags(write=False)
    return data


@lru_cache(maxsize=4)
def _source(name: str) -> tuple[Floats, Floats]:
    """One embedded map as it comes at 1 mm: float32 data and affine."""
    from nilearn import datasets

    image = getattr(datasets, _LOADERS[name])(resolution=1)
    return np.asarray(image.dataobj, dtype=np.float32), np.asarray(image.affine)
