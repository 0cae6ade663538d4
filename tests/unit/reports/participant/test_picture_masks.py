"""The voxels that pictures outline and count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from bids_xai.bids.files import write_nifti
from bids_xai.bids.images import Volume
from bids_xai.reports.participant.picture_masks import (
    IN_BRAIN,
    bright_tissue,
    counted_voxels,
    template_outlines,
    with_signal,
)
from bids_xai.reports.volumes import Folder
from bids_xai.settings import EMBEDDED_TEMPLATE

SHAPE = (9, 10, 11)


def test_bright_tissue_is_the_upper_part_of_the_brain() -> None:
    rng = np.random.default_rng(0)
    t1w, brain = rng.random(SHAPE), rng.random(SHAPE) > 0.4
    smooth = gaussian_filter(t1w.astype(np.float32), 1.0)
    values = np.sort(smooth[brain])
    bright = bright_tissue(t1w, brain)
    assert not (bright & ~brain).any()
    assert abs(bright.sum() - 0.4 * len(values)) <= 1
    assert smooth[bright].min() > smooth[brain & ~bright].max()
    assert not bright_tissue(t1w, np.zeros(SHAPE, bool)).any()


def test_signal_is_the_largest_piece_above_a_tenth_of_what_is_bright() -> None:
    data = np.zeros(SHAPE)
    data[2:7, 2:7, 2:7] = 100
    data[3, 3, 3] = 11
    data[4, 4, 4] = 9
    data[0, 0, 0] = 100  # a piece of its own
    expected = np.zeros(SHAPE, bool)
    expected[2:7, 2:7, 2:7] = True
    expected[4, 4, 4] = False
    np.testing.assert_array_equal(with_signal(Volume(data, np.eye(4))), expected)


def test_a_histogram_counts_the_brain_else_the_signal(tmp_path: Path) -> None:
    data = np.zeros(SHAPE, np.float32)
    data[2:7, 2:7, 2:7] = 20
    brain = (data > 0).astype(np.uint8)
    brain[2] = 0
    for name in ("sub-1_R2starmap", "sub-1_space-T1w_R1map", "sub-1_S0map"):
        write_nifti(tmp_path / f"{name}.nii.gz", data, np.eye(4))
    write_nifti(tmp_path / "sub-1_space-MEGRE_desc-brain_mask.nii.gz", brain, np.eye(4))
    volume, folder = Volume(data, np.eye(4)), Folder.of(tmp_path)
    native, on_t1w = folder.first("R2starmap"), folder.first("R1map")
    assert native is not None
    assert on_t1w is not None
    voxels, what = counted_voxels(folder, native, volume)
    np.testing.assert_array_equal(voxels, brain > 0)
    assert what == IN_BRAIN
    voxels, what = counted_voxels(folder, on_t1w, volume)  # there is no mask on that grid
    np.testing.assert_array_equal(voxels, data != 0)
    assert what == "voxels with signal"
    (tmp_path / "sub-1_space-MEGRE_desc-brain_mask.nii.gz").unlink()
    voxels, what = counted_voxels(Folder.of(tmp_path), native, volume)
    np.testing.assert_array_equal(voxels, data > 0)
    assert what == "voxels with signal"


def test_outlines_are_the_templates_else_the_participants(tmp_path: Path) -> None:
    data = np.ones(SHAPE, np.float32)
    for space in (EMBEDDED_TEMPLATE, "Elsewhere"):
        stem = f"sub-1_space-{space}_res-2_desc"
        write_nifti(tmp_path / f"{stem}-preproc_T1w.nii.gz", data, np.eye(4))
        write_nifti(tmp_path / f"{stem}-brain_mask.nii.gz", data, np.eye(4))
    folder, like = Folder.of(tmp_path), Volume(data, np.eye(4))
    names = []
    for space in (EMBEDDED_TEMPLATE, "Elsewhere"):
        image = folder.first("T1w", space=space)
        assert image is not None
        names.append(list(template_outlines(folder, image, like)))
    own = "brain mask of the participant"
    assert names == [["brain mask of the template", "edge of its brightest 40 %"], [own]]
