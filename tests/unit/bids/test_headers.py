"""What headers say of place and size: against affines computed by hand, and what is refused."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from asking import refused, sessions

from bids_xai.bids.headers import check_header, largest_distance, placement
from bids_xai.bids.images import header_notes, read_header, read_volume
from bids_xai.errors import BadDataError

SHAPE = (5, 6, 7)
STRAIGHT = np.array([[2.0, 0, 0, -10], [0, 2, 0, -20], [0, 0, 2, 5], [0, 0, 0, 1]])
SHEARED = STRAIGHT + np.array([[0, 0.4, 0, 0]] + [[0.0] * 4] * 3)


def image(
    sform: Any = STRAIGHT, qform: Any = STRAIGHT, codes: tuple[int, int] = (1, 1), unit: str = "mm"
) -> Any:
    made_here = nib.Nifti1Image(np.ones(SHAPE, np.float32), None)
    made_here.set_qform(qform, codes[1], strip_shears=True)
    made_here.set_sform(sform, codes[0])
    made_here.header.set_xyzt_units(unit)
    return made_here


def save(path: Path, *args: Any, **kwargs: Any) -> Path:
    nib.save(image(*args, **kwargs), path)
    return path


@pytest.mark.parametrize(("codes", "shift"), [((1, 1), 0.0), ((2, 0), 0.0), ((0, 1), 50.0)])
def test_the_affine_is_of_the_sform_where_it_has_a_code(
    codes: tuple[int, int], shift: float, tmp_path: Path
) -> None:
    other = STRAIGHT.copy()
    other[0, 3] += 50
    path = save(tmp_path / "x.nii.gz", STRAIGHT, other, codes)
    expected = STRAIGHT.copy()
    expected[0, 3] += shift
    np.testing.assert_allclose(read_header(path)[1], expected, atol=1e-5)
    notes = header_notes(path)
    assert [("differ by up to 50 mm" in n and "sform is used" in n) for n in notes] == [True] * (
        codes == (1, 1)
    )


def test_half_a_voxel_apart_is_told_and_less_is_not(tmp_path: Path) -> None:
    for turn, n_notes in ((0.9, 0), (1.1, 1)):
        other = STRAIGHT.copy()
        other[1, 3] += turn
        assert len(header_notes(save(tmp_path / "x.nii", STRAIGHT, other))) == n_notes


def test_the_largest_distance_is_that_of_all_voxels() -> None:
    rng = np.random.default_rng(0)
    first, second = STRAIGHT, STRAIGHT.copy()
    second[:3] += rng.normal(0, 0.1, (3, 4))
    grid = np.moveaxis(np.indices(SHAPE), 0, -1).reshape(-1, 3)
    every = grid @ (first - second)[:3, :3].T + (first - second)[:3, 3]
    largest = np.linalg.norm(every, axis=1).max()
    assert largest_distance(first, second, SHAPE) == pytest.approx(largest)


def test_without_codes_sides_are_a_guess(tmp_path: Path) -> None:
    path = save(tmp_path / "x.nii.gz", codes=(0, 0))
    with pytest.raises(BadDataError, match=r"codes are 0.*x\.nii\.gz.*--assume-orientation"):
        header_notes(path, assume_orientation=False)
    (note,) = header_notes(path)
    assert "right to left" in note
    assert nib.aff2axcodes(read_header(path)[1]) == ("L", "A", "S")


def test_shear_takes_a_qform_with_a_code_or_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "x.nii.gz", SHEARED, STRAIGHT)
    assert header_notes(path) == ("the sform has shear: the qform is used",)
    np.testing.assert_allclose(read_header(path)[1], STRAIGHT, atol=1e-5)
    np.testing.assert_allclose(read_volume(path).affine, STRAIGHT, atol=1e-5)
    with pytest.raises(BadDataError, match=r"shear.*no qform.*y\.nii"):
        header_notes(save(tmp_path / "y.nii", SHEARED, STRAIGHT, (1, 0)))


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1e-3), ("micron", 1e3), ("unknown", 1.0)])
def test_sizes_are_scaled_to_mm(tmp_path: Path, unit: str, factor: float) -> None:
    scale = np.diag([factor, factor, factor, 1.0])
    path = save(tmp_path / "x.nii.gz", scale @ STRAIGHT, scale @ STRAIGHT, unit=unit)
    np.testing.assert_allclose(read_volume(path).voxel_mm, (2, 2, 2), rtol=1e-5)
    np.testing.assert_allclose(read_header(path)[1], STRAIGHT, rtol=1e-5)
    assert [unit in note for note in header_notes(path)] == [True] * (unit != "unknown")


@pytest.mark.parametrize("size", [20.5, 0.04])
def test_voxels_that_cannot_be_mm_are_refused(tmp_path: Path, size: float) -> None:
    affine = np.diag([1.0, 1.0, size, 1.0])
    with pytest.raises(BadDataError, match=r"voxels are 1 × 1 × .*outside 0\.05 to 20 mm.*x\.nii"):
        header_notes(save(tmp_path / "x.nii", affine, affine))


def claim(path: Path, shape: tuple[int, ...]) -> Path:
    """The file of an image whose header claims another shape."""
    whole = image()
    header = whole.header.copy()
    header["dim"][1:4], header["vox_offset"] = shape, 352
    content = header.binaryblock + b"\0" * 4 + np.ones(SHAPE, np.float32).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_more_than_the_file_holds_is_refused_before_memory_is_taken(
    tmp_path: Path, name: str
) -> None:
    claimed = 352 + 30000**3 * 4
    path = claim(tmp_path / name, (30000, 30000, 30000))
    for read in (header_notes, read_volume):
        with pytest.raises(BadDataError, match=rf"claims {claimed} bytes, the file holds 1192.*x"):
            read(path)
    assert header_notes(claim(tmp_path / name, SHAPE)) == ()


def test_a_gzip_of_several_members_is_counted_whole(tmp_path: Path) -> None:
    content = gzip.decompress(claim(tmp_path / "x.nii.gz", SHAPE).read_bytes())
    path = tmp_path / "y.nii.gz"
    path.write_bytes(gzip.compress(content[:1000]) + gzip.compress(content[1000:]))
    assert header_notes(path) == ()
    assert read_volume(path).data.shape == SHAPE


def test_a_size_of_0_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match=r"no voxels.*x\.nii|cannot read.*x\.nii"):
        header_notes(claim(tmp_path / "x.nii", (5, 0, 7)))


def test_another_format_lies_where_nibabel_says() -> None:
    mgh = nib.MGHImage(np.ones(SHAPE, np.float32), STRAIGHT)
    assert placement(mgh).known
    np.testing.assert_array_equal(placement(mgh).affine, STRAIGHT)
    assert check_header(Path("x.mgz"), mgh) == ()


def test_headers_are_looked_at_when_sessions_are_asked_for(raw: Any) -> None:
    raw.session("01")
    save(raw.root / "sub-01/anat/sub-01_T1w.nii.gz", codes=(0, 0))
    refused(raw, BadDataError, "codes are 0.*sub-01_T1w")
    other = STRAIGHT.copy()
    other[0, 3] += 3
    save(raw.root / "sub-01/anat/sub-01_T1w.nii.gz", STRAIGHT, other)
    for number in (1, 2):
        save(raw.root / f"sub-01/anat/sub-01_echo-{number}_MEGRE.nii.gz", SHEARED, STRAIGHT)
    assert sessions(raw)[0].notes == (
        "sub-01_T1w.nii.gz: qform and sform differ by up to 3 mm: the sform is used",
        "sub-01_echo-1_MEGRE.nii.gz and 1 more: the sform has shear: the qform is used",
    )


def test_a_file_that_is_no_gzip_is_told_with_the_reason(tmp_path: Path) -> None:
    plain = save(tmp_path / "x.nii")
    path = plain.rename(tmp_path / "x.nii.gz")
    for read in (header_notes, read_header, read_volume):
        with pytest.raises(BadDataError, match=r"damaged \(Not a gzipped file.*x\.nii\.gz"):
            read(path)
