"""Slices: what lies where on the picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib import image as mpl_image
from scipy import ndimage

from bids_xai.figures.cuts import crossings, panel, positions
from bids_xai.figures.maps import map_with_histogram, value_window
from bids_xai.figures.mosaic import mosaic, strips
from bids_xai.figures.scene import Overlay, Row, Scene, cropped

SHAPE = (24, 30, 20)
VOXEL_MM = (2.0, 2.0, 2.5)
# voxel of the blob (right, front, top) → expected half of each panel: (x, y) with y downwards
SIDES = {
    "right-front-top": ((18, 23, 15), [("left", "top"), ("left", "top"), ("left", "top")]),
    "left-front-bottom": ((5, 23, 4), [("right", "top"), ("right", "bottom"), ("left", "bottom")]),
    "right-back-bottom": (
        (18, 6, 4),
        [("left", "bottom"), ("left", "bottom"), ("right", "bottom")],
    ),
}


def pixels(png: bytes) -> np.ndarray:
    """RGB values 0 to 1."""
    return mpl_image.imread(io.BytesIO(png), format="png")[..., :3]


def grey_panels(rgb: np.ndarray) -> list[tuple[slice, slice]]:
    """Bounding boxes of the panels on a mid-grey background, top to bottom."""
    strong = np.ptp(rgb, axis=2) > 0.3
    inside = (np.abs(rgb - 0.5).max(axis=2) < 0.02) | strong
    labels, _ = ndimage.label(ndimage.binary_opening(inside, iterations=5))
    boxes = [b for b in ndimage.find_objects(labels) if (b[0].stop - b[0].start) > 60]
    boxes = [b for b in boxes if (b[1].stop - b[1].start) > 60]
    return sorted(boxes, key=lambda box: box[0].start)


@pytest.mark.parametrize("name", SIDES)
def test_a_blob_lies_in_the_right_quadrant_of_every_plane(name: str) -> None:
    (x, y, z), expected = SIDES[name]
    blob = np.zeros(SHAPE)
    blob[x - 1 : x + 2, y - 1 : y + 2, z - 1 : z + 2] = 1.0
    png = mosaic(
        np.full(SHAPE, 0.5),
        VOXEL_MM,
        overlay=blob,
        window=(0.5, 2.0),
        slices=1,
        background_window=(0.0, 1.0),
    )
    rgb = pixels(png)
    panels = grey_panels(rgb)
    assert len(panels) == 3
    for box, sides in zip(panels, expected, strict=True):
        part = rgb[box]
        rows, columns = np.nonzero(np.ptp(part, axis=2) > 0.3)
        assert len(rows) > 20
        across = "left" if columns.mean() < part.shape[1] / 2 else "right"
        down = "top" if rows.mean() < part.shape[0] / 2 else "bottom"
        assert (across, down) == sides


def test_panels_keep_the_proportions_of_the_head() -> None:
    png = mosaic(np.full(SHAPE, 0.5), VOXEL_MM, slices=1, background_window=(0.0, 1.0))
    axial, coronal, sagittal = (
        (b[1].stop - b[1].start, b[0].stop - b[0].start) for b in grey_panels(pixels(png))
    )
    x, y, z = (n * mm for n, mm in zip(SHAPE, VOXEL_MM, strict=True))
    for found, width, height in ((axial, x, y), (coronal, x, z), (sagittal, y, z)):
        assert found[0] / found[1] == pytest.approx(width / height, rel=0.03)


def test_a_panel_has_its_first_line_on_top_and_the_right_on_the_left() -> None:
    volume = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    assert panel(volume, "axial", 1)[0, 0] == volume[1, 2, 1]
    assert panel(volume, "coronal", 1)[0, 0] == volume[1, 1, 3]
    assert panel(volume, "sagittal", 1)[0, 0] == volume[1, 2, 3]
    assert panel(volume, "coronal", 1).shape == (4, 2)


def test_slices_stay_inside_the_extent() -> None:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[5:10, 3:4, 11:19] = True
    assert positions(mask, 0, 2) == (6, 8)
    assert positions(mask, 1, 3) == (3, 3, 3)
    assert positions(np.zeros_like(mask), 2, 1) == (10,)


def test_a_signed_map_shows_both_signs_and_white_in_the_middle() -> None:
    overlay = Overlay(np.array([-3.0, -0.5, 0.0, 0.5, 3.0]), (1.0, 2.0), signed=True)
    np.testing.assert_array_equal(overlay.shown, [True, False, False, False, True])
    middle = overlay.colours(overlay.norm(0.0))
    np.testing.assert_allclose(middle[:3], 1.0, atol=0.04)


def test_an_unsigned_map_hides_what_is_at_or_below_its_window() -> None:
    overlay = Overlay(np.array([-3.0, 1.0, 1.1]), (1.0, 2.0))
    np.testing.assert_array_equal(overlay.shown, [False, False, True])


def test_an_overlay_without_a_window_is_refused() -> None:
    with pytest.raises(ValueError, match="window"):
        mosaic(np.ones(SHAPE), VOXEL_MM, overlay=np.ones(SHAPE))


def test_outlines_are_drawn_only_where_they_run() -> None:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[8:16, 8:16, 8:14] = True
    kept = mask.copy()
    background = np.full(SHAPE, 0.5)
    png = mosaic(background, VOXEL_MM, outlines=[mask], outline_labels=["mask"], slices=2)
    yellow = pixels(png)
    assert ((yellow[..., 0] > 0.9) & (yellow[..., 2] < 0.4)).sum() > 100
    np.testing.assert_array_equal(mask, kept)
    assert mosaic(background, VOXEL_MM, outlines=[np.zeros_like(mask)]) != png


@pytest.mark.parametrize("background", [np.zeros(SHAPE), np.full(SHAPE, np.nan)])
def test_an_empty_volume_is_drawn_without_complaint(background: np.ndarray) -> None:
    assert mosaic(background, VOXEL_MM).startswith(b"\x89PNG")


def test_equal_arrays_give_equal_bytes() -> None:
    rng = np.random.default_rng(0)
    background, overlay = rng.random(SHAPE), rng.random(SHAPE)
    first, second = (
        strips(background, VOXEL_MM, {"AD": overlay, "NC": overlay / 2}, window=(0.2, 0.9))
        for _ in range(2)
    )
    assert first == second
    assert b"Software" not in first
    assert b"tIME" not in first


def yellow(rgb: np.ndarray) -> np.ndarray:
    """Where the first outline is drawn; the legend is cut off."""
    found = (rgb[..., 0] > 0.75) & (rgb[..., 1] > 0.7) & (rgb[..., 2] < 0.45)
    found[:50] = False
    return found


@pytest.mark.parametrize("name", SIDES)
def test_an_outline_surrounds_what_it_outlines(name: str) -> None:
    """A contour that is upside down, mirrored or shifted by a voxel lies beside its blob."""
    (x, y, z), _ = SIDES[name]
    mask = np.zeros(SHAPE, dtype=bool)
    mask[x - 4 : x + 4, y - 3 : y + 5, z - 3 : z + 4] = True
    background = np.where(mask, 0.0, 0.5)
    options: dict[str, object] = {"slices": 1, "background_window": (0.0, 1.0), "through": mask}
    plain = pixels(mosaic(background, VOXEL_MM, **options))  # type: ignore[arg-type]
    drawn = pixels(
        mosaic(background, VOXEL_MM, outlines=[mask], outline_labels=["m"], **options)  # type: ignore[arg-type]
    )
    panels = grey_panels(pixels(mosaic(np.full(SHAPE, 0.5), VOXEL_MM, **options)))  # type: ignore[arg-type]
    assert len(panels) == 3
    for box in panels:
        inside = tuple(slice(side.start + 18, side.stop - 4) for side in box)  # without letters
        blob, line = plain[inside].max(axis=2) < 0.1, yellow(drawn)[inside]
        for axis in (0, 1):
            dark, bright = (np.flatnonzero(part.any(axis=axis)) for part in (blob, line))
            assert abs(dark[0] - bright[0]) <= 2
            assert abs(dark[-1] - bright[-1]) <= 2


def test_air_is_cut_off_two_voxels_away_from_what_is_seen() -> None:
    image = np.zeros((20, 22, 24), np.float32)
    image[5:9, 3:6, 21:24] = 1
    outline = np.zeros(image.shape, bool)
    outline[12, 10, 15] = True
    scene = Scene(image, (0.0, 1.0), (1.0, 2.0, 3.0), (outline,), origin_mm=(10.0, 20.0, 30.0))
    smaller, (row,) = cropped(scene, [Row((("axial", 16),))])
    np.testing.assert_array_equal(smaller.background, image[3:15, 1:13, 13:24])
    np.testing.assert_array_equal(smaller.outlines[0], outline[3:15, 1:13, 13:24])
    assert smaller.origin_mm == (13.0, 22.0, 69.0)
    assert row.cuts == (("axial", 3),)


def test_slices_cut_a_scattered_mask() -> None:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[2, 3, 4] = mask[20, 25, 17] = True
    mask[10:13, 10:13, 9] = True
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        cuts = crossings(mask, axis, 4)
        assert all(mask.any(axis=others)[list(cuts)])
        assert list(cuts) == sorted(cuts)
    assert crossings(mask, 2, 1) == (9,)
    assert crossings(np.zeros(SHAPE, bool), 2, 1) == positions(np.zeros(SHAPE, bool), 2, 1)


@pytest.mark.parametrize("shape", [(4, 200, 200), (200, 4, 200), (300, 300, 3)])
def test_the_size_of_a_picture_is_bounded(shape: tuple[int, int, int]) -> None:
    values = np.random.default_rng(0).random(shape)
    mask = np.ones(shape, dtype=bool)
    for png in (mosaic(values, (0.5, 0.5, 0.5)), map_with_histogram(values, (0.5,) * 3, mask)):
        height, width = pixels(png).shape[:2]
        assert height < 1300
        assert width < 1700
        assert len(png) < 3_000_000


@pytest.mark.parametrize(
    ("values", "window"),
    [
        (np.full(100, 41.0), (0.0, 50.0)),
        (np.full(100, 112.0), (0.0, 150.0)),
        (np.full(100, 0.93), (0.0, 1.0)),
        (np.linspace(-0.1, 0.072, 1001), (-0.1, 0.1)),
        (np.array([-0.1] * 10 + [20.0] * 90), (0.0, 20.0)),
        (np.array([np.nan]), (0.0, 1.0)),
        (np.zeros(5), (0.0, 1.0)),
    ],
)
def test_the_window_of_a_map_ends_at_a_round_number(
    values: np.ndarray, window: tuple[float, float]
) -> None:
    assert value_window(values) == pytest.approx(window)


@pytest.mark.parametrize("filled", [True, False])
def test_a_map_is_drawn_with_its_histogram(filled: bool) -> None:
    values = np.random.default_rng(0).normal(20, 5, SHAPE)
    png = map_with_histogram(values, VOXEL_MM, np.full(SHAPE, filled), title="R2*")
    assert pixels(png).shape[1] > 1000


def test_the_limit_of_a_map_is_drawn_where_it_lies_in_the_window() -> None:
    values, mask = np.full(SHAPE, 0.1), np.ones(SHAPE, bool)
    plain, far, near = (
        map_with_histogram(values, VOXEL_MM, mask, window=(0.0, 0.2), limit=limit, slices=1)
        for limit in (None, 0.5, 0.15)
    )
    assert plain == far != near
