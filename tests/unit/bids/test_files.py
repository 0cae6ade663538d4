"""Writing: whole or not at all, and not touched when nothing changed."""

from __future__ import annotations

import csv
import gzip
import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from tsv_rows import text_rows as read_rows

from bids_xai.bids.files import (
    nifti_bytes,
    tsv_text,
    write_bytes,
    write_json,
    write_nifti,
    write_text,
    write_tsv,
)
from bids_xai.errors import CannotCreateError

OLD_NS = 1_000_000_000


def test_folders_are_made_and_the_path_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.txt"
    assert write_text(path, "müde\n") == path
    assert path.read_bytes() == "müde\n".encode()
    assert os.listdir(path.parent) == ["c.txt"]


def test_equal_content_leaves_the_file_untouched(tmp_path: Path) -> None:
    path = write_text(tmp_path / "x.txt", "same")
    os.utime(path, ns=(OLD_NS, OLD_NS))
    inode = path.stat().st_ino
    write_text(path, "same")
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (OLD_NS, inode)
    write_text(path, "samE")  # as long as before
    assert path.read_text() == "samE"
    assert path.stat().st_mtime_ns != OLD_NS


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        path = write_text(tmp_path / "x.txt", "1")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_reader_never_sees_half_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_text(tmp_path / "x.txt", "old")
    replace, seen = os.replace, []

    def look(source: str, target: Path) -> None:
        seen.append((target.read_text(), Path(source).read_text(), Path(source).parent))
        replace(source, target)

    monkeypatch.setattr(os, "replace", look)
    write_text(path, "new")
    assert seen == [("old", "new", tmp_path)]  # complete, in the same folder, before it counts


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_nothing_is_left_over_when_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    path = write_text(tmp_path / "x.txt", "old")

    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises((CannotCreateError, KeyboardInterrupt)) as caught:
        write_text(path, "new")
    if isinstance(caught.value, CannotCreateError):
        assert caught.value.file == str(path)
        assert "No space left on device" in str(caught.value)
    assert os.listdir(tmp_path) == ["x.txt"]
    assert path.read_text() == "old"


def test_a_file_in_place_of_a_folder_is_a_users_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(CannotCreateError, match="cannot write") as caught:
        write_bytes(tmp_path / "taken" / "x.txt", b"1")
    assert caught.value.status == 73
    assert str(tmp_path / "taken" / "x.txt") in str(caught.value)
    (tmp_path / "folder").mkdir()
    with pytest.raises(CannotCreateError):
        write_bytes(tmp_path / "folder", b"1")
    assert sorted(os.listdir(tmp_path)) == ["folder", "taken"]


def test_json_keeps_order_and_letters(tmp_path: Path) -> None:
    path = write_json(tmp_path / "x.json", {"b": 1, "a": "R2* ≥ 0"})
    assert path.read_text(encoding="utf-8") == '{\n  "b": 1,\n  "a": "R2* ≥ 0"\n}\n'


def test_tables_say_na_and_describe_their_columns(tmp_path: Path) -> None:
    columns = {"participant_id": "Who", "value": "What", "flag": "Whether", "text": "Words"}
    rows = [
        {"participant_id": "sub-01", "value": 1 / 3, "flag": True, "text": "a\tb\nc"},
        {"participant_id": "sub-02", "value": float("nan"), "flag": np.bool_(False)},
        {"participant_id": "sub-03", "value": None, "flag": None, "text": None, "extra": 1},
        {"participant_id": "sub-04", "value": np.float32("inf"), "flag": 0, "text": np.int64(300)},
    ]
    path = write_tsv(tmp_path / "t.tsv", rows, columns)
    assert path.read_text() == (
        "participant_id\tvalue\tflag\ttext\n"
        "sub-01\t0.333333333\ttrue\ta b c\n"
        "sub-02\tn/a\tfalse\tn/a\n"
        "sub-03\tn/a\tn/a\tn/a\n"
        "sub-04\tn/a\t0\t300\n"
    )
    about = json.loads((tmp_path / "t.json").read_text())
    assert list(about) == list(columns)
    assert about["value"] == {"Description": "What"}


def test_an_empty_table_has_its_header() -> None:
    assert tsv_text([], {"a": "", "b": ""}) == "a\tb\n"


def test_the_csv_module_reads_back_what_was_written(tmp_path: Path) -> None:
    rows = [{"a": "ö 'x'", "b": "2"}, {"a": 'in the "middle"', "b": "3"}]
    path = write_tsv(tmp_path / "t.tsv", rows, {"a": "", "b": ""})
    assert read_rows(path) == rows
    with path.open(newline="") as stream:
        assert list(csv.DictReader(stream, delimiter="\t")) == rows


@pytest.mark.parametrize("text", ['"quoted', "line\rline"])
def test_hostile_cells_stay_one_cell(tmp_path: Path, text: str) -> None:
    rows = [{"a": text, "b": "2"}, {"a": "y", "b": "3"}]
    found = read_rows(write_tsv(tmp_path / "t.tsv", rows, {"a": "", "b": ""}))
    assert [row["b"] for row in found] == ["2", "3"]
    assert found[0]["a"] == text.replace("\r", " ")


def test_a_probability_keeps_its_side_of_one_half() -> None:
    below = float(np.nextafter(np.float32(0.5), np.float32(0)))
    assert float(tsv_text([{"p": below}], {"p": ""}).split()[1]) < 0.5


def test_an_empty_text_is_na() -> None:
    assert tsv_text([{"a": "", "b": 1}], {"a": "", "b": ""}) == "a\tb\nn/a\t1\n"


def test_images_are_deterministic_and_come_back(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    c, s = np.cos(0.3), np.sin(0.3)
    affine = np.array([[c, -s, 0, 1], [s, c, 0, 2], [0, 0, 2.5, 3], [0, 0, 0, 1]])
    first = nifti_bytes(data, affine)
    assert first == nifti_bytes(data.copy(order="F"), affine.copy())
    assert first[4:8] == b"\0\0\0\0"  # no time in the gzip header
    assert len(gzip.decompress(first)) == 352 + 4 * data.size
    image = nib.load(write_nifti(tmp_path / "x.nii.gz", data, affine))
    np.testing.assert_array_equal(np.asarray(image.dataobj), data)
    np.testing.assert_allclose(image.affine, affine, atol=1e-6)
    np.testing.assert_allclose(image.get_qform(), affine, atol=1e-6)
    assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (2, 2)
    assert image.header.get_xyzt_units()[0] == "mm"


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
def test_types_of_images_are_kept(tmp_path: Path, dtype: type) -> None:
    data = np.arange(120).reshape(4, 5, 6).astype(dtype)
    data[0, 0, 0] = 255
    image = nib.load(write_nifti(tmp_path / "x.nii.gz", data, np.eye(4)))
    assert image.get_data_dtype() == np.dtype(dtype)
    np.testing.assert_array_equal(np.asarray(image.dataobj), data)


def test_json_has_no_nan(tmp_path: Path) -> None:
    path = write_json(
        tmp_path / "a.json", {"a": float("nan"), "b": [1.0, float("inf")], "c": {"d": 2}}
    )
    assert json.loads(path.read_text(), parse_constant=pytest.fail) == {
        "a": None,
        "b": [1.0, None],
        "c": {"d": 2},
    }
