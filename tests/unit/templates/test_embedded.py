"""The embedded template: one grid a resolution, sensible tissues, an atlas with all labels."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.core.regions.nuclei import NUCLEI
from bids_xai.errors import UsageError
from bids_xai.templates import embedded

IMAGES = (embedded.brain, embedded.brain_mask, embedded.grey_matter, embedded.white_matter)


@pytest.mark.parametrize("resolution_mm", [1, 2, 3.3])
def test_all_images_share_one_grid(resolution_mm: float) -> None:
    images = [make(resolution_mm) for make in IMAGES] + [embedded.atlas(resolution_mm)[0]]
    assert len({image.shape for image in images}) == 1
    assert len(set(images[0].shape)) == 3
    for image in images:
        np.testing.assert_array_equal(image.affine, images[0].affine)
        assert image.header.get_zooms() == pytest.approx([resolution_mm] * 3)


def test_two_millimetres_is_the_grid_of_nilearn() -> None:
    image = embedded.brain(2)
    assert image.shape == (99, 117, 95)
    np.testing.assert_array_equal(image.affine[:3, 3], (-98, -134, -72))


def test_types_and_ranges() -> None:
    assert [make(4).get_data_dtype() for make in IMAGES] == ["f4", "u1", "f4", "f4"]
    for make in IMAGES:
        data = np.asarray(make(4).dataobj)
        assert data.min() == 0
        assert 0.8 < data.max() <= 1


def test_coarse_images_keep_place_and_volume() -> None:
    fine, coarse = embedded.white_matter(1), embedded.white_matter(3.3)
    volumes = [
        np.asarray(im.dataobj).sum() * im.header.get_zooms()[0] ** 3 for im in (fine, coarse)
    ]
    assert volumes[1] == pytest.approx(volumes[0], rel=0.01)
    centres = []
    for image in (fine, coarse):
        data = np.asarray(image.dataobj)
        index = np.array([np.average(axis, weights=data) for axis in np.indices(data.shape)])
        centres.append(image.affine[:3, :3] @ index + image.affine[:3, 3])
    np.testing.assert_allclose(centres[0], centres[1], atol=0.1)


def test_atlas_has_every_label_on_its_side_and_nothing_outside_the_brain() -> None:
    image, table = embedded.atlas(2)
    labels = np.asarray(image.dataobj)
    mask = np.asarray(embedded.brain_mask(2).dataobj) > 0
    assert labels.dtype == np.int16
    assert [index for index, _ in table] == list(range(1, 13))
    assert table[: len(NUCLEI)] == [(each.index, each.name) for each in NUCLEI]
    np.testing.assert_array_equal(labels > 0, mask)
    x_mm = image.affine[0, 0] * np.arange(labels.shape[0]) + image.affine[0, 3]
    for index, name in table:
        where = x_mm[np.nonzero(labels == index)[0]]
        assert len(where) > 100, name
        assert (where < 0).all() if name.startswith("Left") else (where >= 0).all(), name


def test_atlas_tissues_look_like_their_names() -> None:
    labels = np.asarray(embedded.atlas(2)[0].dataobj)
    t1w = np.asarray(embedded.brain(2).dataobj)
    white, grey, csf = (t1w[np.isin(labels, pair)].mean() for pair in ((9, 10), (7, 8), (11, 12)))
    assert white > grey > csf


def test_changing_an_image_leaves_the_next_one_alone() -> None:
    data = embedded.brain(4).dataobj
    data[:] = 5
    assert np.asarray(embedded.brain(4).dataobj).max() <= 1


def test_finer_than_the_source_is_refused() -> None:
    with pytest.raises(UsageError, match=r"0\.5 mm"):
        embedded.brain(0.5)
