"""Damage to what an earlier step wrote is told before it is used, and is made again afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bids_xai.bids.integrity import check_intact
from bids_xai.bids.stamps import is_current, session_stamp, what_changed, write_stamp
from bids_xai.errors import BadDataError


def flip(path: Path, *, later_s: int = 0) -> None:
    """Change one bit; the size stays, and so does the time of change unless it is to be later."""
    stat = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + later_s * 10**9 + 1))


@pytest.fixture
def transform(tmp_path: Path) -> Path:
    """A transform of a session, with its stamp."""
    path = tmp_path / "out" / "sub-01" / "anat" / "sub-01_xfm.h5"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"transform")
    write_stamp(session_stamp(tmp_path / "out", "sub-01"), "digest", tmp_path / "out", [path])
    return path


def test_intact_files_and_those_that_no_stamp_knows_are_accepted(transform: Path) -> None:
    raw = transform.with_name("raw.nii.gz")
    raw.write_bytes(b"raw")
    check_intact([transform, raw])
    flip(raw)
    check_intact([transform, raw])


def test_a_flipped_bit_in_a_transform_is_told_and_the_session_counts_as_undone(
    transform: Path,
) -> None:
    out = transform.parents[2]
    stamp = session_stamp(out, "sub-01")
    flip(transform)
    assert is_current(stamp, "digest", out)  # a file that looks as old as before is not read
    with pytest.raises(BadDataError) as caught:
        check_intact([transform])
    assert caught.value.file == str(transform)
    assert "--participant-label 01" in str(caught.value.fix)
    assert not is_current(stamp, "digest", out)
    with pytest.raises(BadDataError):  # again, until it has been made again
        check_intact([transform])
    write_stamp(stamp, "digest", out, [transform])
    check_intact([transform])


def test_a_unit_names_its_step(tmp_path: Path) -> None:
    weights = tmp_path / "models" / "study" / "A" / "split-0" / "model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    stamp = weights.with_name("stamp.json")
    write_stamp(stamp, "digest", weights.parent, [weights], step="train")
    check_intact([weights])
    flip(weights)
    with pytest.raises(BadDataError, match="run --steps train"):
        check_intact([weights])
    assert not is_current(stamp, "digest", weights.parent)


def test_what_was_changed_after_its_stamp_is_read_and_not_current(transform: Path) -> None:
    out = transform.parents[2]
    stamp = session_stamp(out, "sub-01")
    os.utime(transform)  # touched, or copied without its time: the content is what counts
    assert is_current(stamp, "digest", out)
    flip(transform, later_s=10)
    assert what_changed(stamp, "digest", out) == f"{transform} is of another content"


def test_stamps_of_earlier_versions_know_sizes_alone(transform: Path) -> None:
    out = transform.parents[2]
    stamp = session_stamp(out, "sub-01")
    stamp.write_text('{"digest": "digest", "outputs": {"sub-01/anat/sub-01_xfm.h5": 9}}')
    assert is_current(stamp, "digest", out)
    flip(transform, later_s=10)
    check_intact([transform])
    transform.write_bytes(b"short")
    assert what_changed(stamp, "digest", out) == f"{transform} is of another size"
