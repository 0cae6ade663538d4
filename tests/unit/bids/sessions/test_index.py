"""The index of the raw dataset: what is in it, whose it is, and who cannot be indexed."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from asking import sessions
from sqlalchemy import text

from bids_xai.bids.sessions.index import dataset_digest, open_index
from bids_xai.bids.sessions.query import collect_sessions
from bids_xai.errors import InvalidBidsError


def _people(index: Any) -> list[str]:
    return sorted(index.layout.get_subjects())


@pytest.mark.parametrize("content", ["", "{broken", '{"EchoTime": 0.0', "[1]", '"text"'])
def test_a_participant_whose_sidecar_cannot_be_read_stops_nobody_else(
    raw: Any, tmp_path: Path, content: str
) -> None:
    for name in ("01", "02", "03"):
        start = raw.session(name)
    (raw.root / f"{start}_echo-2_MEGRE.json").write_text(content)
    for database in (None, tmp_path / "index", tmp_path / "index"):  # the last takes what is kept
        index = open_index(raw.root, (), database)
        assert _people(index) == ["01", "02"]
        assert list(index.unreadable) == ["03"]
        error = index.unreadable["03"]
        assert str(error.file).endswith("sub-03_echo-2_MEGRE.json")
        assert error.fix
        assert "\n" not in str(error)
        assert collect_sessions(index.layout, "02")[0].megre[0].echo_times_s == (0.01, 0.02)
    assert _people(open_index(raw.root, ["01"], tmp_path / "index")) == ["01", "02"]
    assert _people(open_index(raw.root, ["01"])) == ["01"]
    with pytest.raises(InvalidBidsError, match=r"sub-03_echo-2_MEGRE\.json") as caught:
        sessions(raw, "03")
    assert caught.value.status == 16


def test_a_sidecar_that_holds_for_everybody_ends_the_run(raw: Any) -> None:
    raw.session("01")
    (raw.root / "MEGRE.json").write_text("{")
    with pytest.raises(InvalidBidsError, match=r"MEGRE\.json"):
        open_index(raw.root)


def test_a_sidecar_that_was_mended_is_read_from_then_on(raw: Any, tmp_path: Path) -> None:
    sidecar = raw.root / f"{raw.session('01')}_echo-2_MEGRE.json"
    raw.session("02")
    whole = sidecar.read_text()
    sidecar.write_text(whole[:5])
    assert list(open_index(raw.root, (), tmp_path / "index").unreadable) == ["01"]
    sidecar.write_text(whole)
    index = open_index(raw.root, (), tmp_path / "index")
    assert (_people(index), index.unreadable) == (["01", "02"], {})


def test_only_chosen_participants_are_indexed(raw: Any) -> None:
    for name in ("1", "11", "2"):
        raw.image(f"sub-{name}/anat/sub-{name}_T1w.nii.gz")
    assert _people(open_index(raw.root, ["1"])) == ["1"]
    assert _people(open_index(raw.root)) == ["1", "11", "2"]


def test_the_index_is_made_once_and_again_when_the_dataset_changes(
    raw: Any, tmp_path: Path
) -> None:
    raw.session("01")
    folder = tmp_path / "index"
    assert _people(open_index(raw.root, ["01"], folder)) == ["01"]
    (kept,) = folder.iterdir()
    made = kept.stat().st_mtime_ns
    index = open_index(raw.root, (), folder)
    assert collect_sessions(index.layout, "01")[0].megre[0].echo_times_s == (0.01, 0.02)
    assert [path.stat().st_mtime_ns for path in folder.iterdir()] == [made]
    raw.session("02")
    assert _people(open_index(raw.root, (), folder)) == ["01", "02"]
    assert kept not in folder.iterdir()  # the former one is removed
    assert len(list(folder.iterdir())) == 1


def test_echo_times_of_a_dataset_never_come_from_the_index_of_another(
    raw: Any, tmp_path: Path
) -> None:
    """Two datasets with equal names in one folder of indices: each gets its own."""
    start = raw.session("01")
    other = tmp_path / "other"
    shutil.copytree(raw.root, other)
    for file in other.glob(f"{start}_echo-*_MEGRE.json"):
        text = file.read_text()
        file.write_text(re.sub(r"(?<=\"EchoTime\": )0", "1", text).replace("1.0", "0.1"))
    times = {
        root: collect_sessions(open_index(root, (), tmp_path / "index").layout, "01")[0]
        .megre[0]
        .echo_times_s
        for root in (raw.root, other, raw.root, other)
    }
    assert times[raw.root] == (0.01, 0.02)
    assert times[other] == (0.11, 0.12)
    assert len(list((tmp_path / "index").iterdir())) == 2


def test_half_an_index_is_not_taken_for_whole(raw: Any, tmp_path: Path) -> None:
    raw.session("01")
    half = tmp_path / "index" / ".tmp-killed"
    half.mkdir(parents=True)
    (half / "layout_index.sqlite").write_bytes(b"")
    assert _people(open_index(raw.root, (), tmp_path / "index")) == ["01"]
    damaged = next((tmp_path / "index").glob("bids_xai-index-*"))
    (damaged / "bids_xai.json").write_text("{")
    assert _people(open_index(raw.root, (), tmp_path / "index")) == ["01"]


def test_the_digest_follows_names_sizes_and_times_of_what_is_indexed(raw: Any) -> None:
    start = raw.session("01")
    sidecar = raw.root / f"{start}_echo-2_MEGRE.json"
    digests = [dataset_digest(raw.root)]
    (raw.root / "derivatives").mkdir()
    (raw.root / "derivatives" / "x.txt").write_text("x")
    (raw.root / ".hidden").write_text("x")
    assert dataset_digest(raw.root) == digests[0]
    (raw.root / "sub-01" / "link").symlink_to("not there yet")
    digests.append(dataset_digest(raw.root))
    sidecar.write_text(sidecar.read_text() + " ")
    digests.append(dataset_digest(raw.root))
    os.utime(sidecar, ns=(1, 1))
    digests.append(dataset_digest(raw.root))
    sidecar.rename(sidecar.with_name("sub-01_echo-3_MEGRE.json"))
    digests.append(dataset_digest(raw.root))
    assert len(set(digests)) == 5


def test_files_are_looked_up_by_the_value_of_an_entity(raw: Any, tmp_path: Path) -> None:
    """Else the time for all participants grows with the square of their number."""
    raw.session("01")
    for database in (None, tmp_path / "index", tmp_path / "index"):
        layout = open_index(raw.root, (), database).layout
        select = "SELECT file_path FROM tags WHERE entity_name = 'subject' AND _value = '01'"
        plan = layout.session.execute(text(f"EXPLAIN QUERY PLAN {select}")).all()
        assert "tags_by_value (entity_name=? AND _value=?)" in str(plan)
