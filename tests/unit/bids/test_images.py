"""Reading images: true data and affine, and one clear error for every kind of damage."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from bids_xai.bids.images import Volume, empty_volume, read_header, read_volume
from bids_xai.bids.stamps import is_current, session_stamp, write_stamp
from bids_xai.errors import BadDataError, NoInputError

SHAPE = (7, 8, 9)


def save(path: Path, data: np.ndarray, affine: np.ndarray | None = None) -> Path:
    nib.save(nib.Nifti1Image(data, np.eye(4) if affine is None else affine), path)
    return path


def noise(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def oblique() -> np.ndarray:
    """Columns point to the left, the front and up, turned a little; three voxel sizes."""
    c, s = np.cos(0.25), np.sin(0.25)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ np.diag([-0.9, 1.1, 2.0])
    affine[:3, 3] = (20, -30, 5)
    return affine


def test_an_empty_volume_has_the_grid_alone(tmp_path: Path) -> None:
    path = save(tmp_path / "x.nii.gz", noise((*SHAPE, 1)), oblique())
    empty, full = empty_volume(path), read_volume(path)
    assert empty.data.shape == full.data.shape == SHAPE
    assert not empty.data.any()
    np.testing.assert_array_equal(empty.affine, full.affine)
    with pytest.raises(NoInputError):
        empty_volume(tmp_path / "y.nii.gz")


def test_data_affine_and_voxels_come_back(tmp_path: Path) -> None:
    path = save(tmp_path / "x.nii.gz", noise(), oblique())
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.data, noise())
    assert volume.data.dtype == np.float32
    np.testing.assert_allclose(volume.affine, oblique(), atol=1e-6)
    np.testing.assert_allclose(volume.voxel_mm, (0.9, 1.1, 2.0), rtol=1e-6)
    shape, affine = read_header(path)
    assert shape == SHAPE
    np.testing.assert_array_equal(affine, volume.affine)


def test_the_scaling_of_the_header_is_applied(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.arange(504, dtype=np.int16).reshape(SHAPE), np.eye(4))
    image.header.set_slope_inter(0.5, 10)
    nib.save(image, tmp_path / "x.nii.gz")
    raw = nib.load(tmp_path / "x.nii.gz")
    np.testing.assert_allclose(read_volume(tmp_path / "x.nii.gz").data, raw.get_fdata(), rtol=1e-6)


def test_trailing_axes_of_one_are_no_series(tmp_path: Path) -> None:
    path = save(tmp_path / "x.nii.gz", noise((*SHAPE, 1, 1)))
    assert read_volume(path).data.shape == SHAPE


@pytest.mark.parametrize("shape", [(*SHAPE, 2), (*SHAPE, 1, 3)])
def test_a_series_is_refused_with_the_way_out(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = save(tmp_path / "series.nii.gz", noise(shape))
    with pytest.raises(BadDataError, match=r"3-D volume.*series\.nii\.gz.*echo-<n>"):
        read_volume(path)


@pytest.mark.parametrize(
    ("dtype", "found"),
    [([("R", "u1"), ("G", "u1"), ("B", "u1")], "colours"), (np.complex64, "complex64")],
)
def test_colours_and_complex_numbers_are_refused(tmp_path: Path, dtype: Any, found: str) -> None:
    path = save(tmp_path / "x.nii.gz", np.zeros(SHAPE, dtype))
    assert read_header(path)[0] == SHAPE
    with pytest.raises(
        BadDataError, match=rf"one real number per voxel, found {found}.*x\.nii\.gz"
    ):
        read_volume(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for read in (read_volume, read_header):
        with pytest.raises(NoInputError, match=r"no such image.*gone\.nii\.gz.*datalad get"):
            read(tmp_path / "gone.nii.gz")
    (tmp_path / "annex.nii.gz").symlink_to(tmp_path / "not-fetched")
    with pytest.raises(NoInputError, match="datalad get"):
        read_volume(tmp_path / "annex.nii.gz")


def damage(kind: str, path: Path) -> Path:
    content = save(path, noise((17, 18, 19))).read_bytes()
    middle = len(content) // 2
    changed = {
        "0 byte": b"",
        "truncated": content[:middle],
        "truncated header": content[:60],
        "flipped": content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :],
        "text": b"this is not an image",
        "short inside": gzip.compress(gzip.decompress(content)[:5000]),
        "html": b"<html>404</html>" * 100,
    }[kind]
    path.write_bytes(changed)
    return path


@pytest.mark.parametrize(
    "kind", ["0 byte", "truncated", "truncated header", "flipped", "text", "short inside", "html"]
)
def test_damaged_files_are_named(tmp_path: Path, kind: str) -> None:
    path = damage(kind, tmp_path / "damaged.nii.gz")
    with pytest.raises(BadDataError, match=r"damaged\.nii\.gz.*copy the file again") as caught:
        read_volume(path)
    assert caught.value.status == 65


def test_a_truncated_plain_file_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "x.nii", noise())
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BadDataError, match=r"x\.nii"):
        read_volume(path)


def test_an_impossible_affine_is_refused(tmp_path: Path) -> None:
    flat = np.diag([1.0, 1, 1, 1])
    image = nib.Nifti1Image(noise(), flat)
    image.header["srow_z"] = 0
    image.header["sform_code"], image.header["qform_code"] = 1, 0
    path = tmp_path / "flat.nii"
    with path.open("wb") as stream:
        stream.write(image.header.binaryblock + b"\0" * 4 + noise().tobytes(order="F"))
    with pytest.raises(BadDataError, match=r"affine.*singular.*flat\.nii"):
        read_header(path)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LIA", "PSR", "AIL"])
def test_canonical_order_leaves_a_blob_where_it_is_in_the_world(codes: str) -> None:
    start = nib.io_orientation(oblique())
    turn = nib.orientations.ornt_transform(start, nib.orientations.axcodes2ornt(codes))
    data = nib.apply_orientation(np.zeros(SHAPE, np.float32), turn)
    affine = oblique() @ nib.orientations.inv_ornt_aff(turn, SHAPE)
    blob = (data.shape[0] - 2, 1, 3)
    data[blob] = 1
    before = affine @ (*blob, 1)
    found = Volume(data, affine).canonical()
    index = np.argwhere(found.data)
    assert len(index) == 1
    np.testing.assert_allclose(found.affine @ (*index[0], 1), before, atol=1e-10)
    assert nib.aff2axcodes(found.affine) == ("R", "A", "S")
    assert (np.diag(found.affine)[:3] > 0).all()
    assert found.data.shape == SHAPE
    np.testing.assert_allclose(found.voxel_mm, (0.9, 1.1, 2.0))


def test_canonical_order_of_a_canonical_volume_is_itself() -> None:
    volume = Volume(noise(), np.diag([1.0, 2, 3, 1]))
    np.testing.assert_array_equal(volume.canonical().data, volume.data)
    np.testing.assert_array_equal(volume.canonical().affine, volume.affine)


def test_a_result_that_is_not_what_was_written_is_refused(tmp_path: Path) -> None:
    """The image is valid, with a checksum of its own: only the stamp knows better."""
    out = tmp_path / "out"
    path = out / "sub-01" / "anat" / "sub-01_atlas-x_dseg.nii.gz"
    path.parent.mkdir(parents=True)
    save(path, noise())
    stamp = session_stamp(out, "sub-01")
    write_stamp(stamp, "digest", out, [path])
    assert read_volume(path).data.shape == SHAPE
    changed = noise()
    changed[3, 4, 5] += 1
    save(path, changed)
    with pytest.raises(BadDataError, match="damaged or was changed") as caught:
        read_volume(path)
    assert "--participant-label 01" in str(caught.value.fix)
    assert not is_current(stamp, "digest", out)
    assert read_header(path)[0] == SHAPE  # of which no number is taken
