"""The quality of all sessions: one table and one page, written again where tables change."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from qc_cases import DICE, VOLUME, add, table, usual_but_two

from bids_xai.bids.files import write_json, write_text
from bids_xai.bids.stamps import session_stamp
from bids_xai.errors import BadDataError
from bids_xai.group.qc import step
from bids_xai.group.qc.step import QcInputs, QcResults, compute, write_group_qc
from bids_xai.tables.qc import collect_qc


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Ten usual sessions, one flagged, one far from the others but within the limits."""
    return usual_but_two(tmp_path)


def test_one_line_a_session_and_one_column_a_metric(out: Path) -> None:
    written = write_group_qc(out)
    assert [path.name for path in written] == ["group_qc.tsv", "group_qc.json", "group_qc.html"]
    rows = table(out)
    assert list(rows) == sorted(rows)
    assert len(rows) == 12
    low, big, usual = rows["sub-low/ses-2"], rows["sub-big/n/a"], rows["sub-00/n/a"]
    assert low[DICE] == "0.71"
    assert (low["flagged"], low["n_flagged"], low["flagged_metrics"]) == ("true", "1", DICE)
    assert low["UndefinedVoxels_space-T1w_R2starmap"] == "n/a"
    assert (big["flagged"], big["n_outliers"], big["outlier_metrics"]) == ("false", "1", VOLUME)
    assert (usual["flagged_metrics"], usual["outlier_metrics"]) == ("none", "none")
    described = json.loads((out / "group_qc.json").read_text())
    assert list(described) == list(usual)
    assert "limits ≥ 0.9" in described[DICE]["Description"]
    few = described["UndefinedVoxels_space-T1w_R2starmap"]["Description"]
    assert "of 1 session;" in few
    assert "fewer than 8 values" in few


def test_few_sessions_have_no_outliers_and_the_page_says_so(tmp_path: Path) -> None:
    for number in range(6):
        add(tmp_path, f"{number:02d}")
    add(tmp_path, "low", MaskDice=0.1)
    write_group_qc(tmp_path)
    low = table(tmp_path)["sub-low/n/a"]
    assert (low["flagged"], low["n_outliers"], low["outlier_metrics"]) == ("true", "n/a", "n/a")
    page = (tmp_path / "group_qc.html").read_text()
    assert "Outliers were not looked for in any metric: fewer than 8 sessions" in page


def test_an_undefined_value_is_flagged_and_no_outlier(out: Path) -> None:
    add(out, "nan", MaskDice=math.nan)
    write_group_qc(out)
    row = table(out)["sub-nan/n/a"]
    assert (row[DICE], row["flagged"], row["outlier_metrics"]) == ("n/a", "true", "none")
    assert "MaskDice undefined" in (out / "group_qc.html").read_text()


def test_without_any_table_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "sub-01" / "anat").mkdir(parents=True)
    assert write_group_qc(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["sub-01"]


def test_a_damaged_table_is_named(out: Path) -> None:
    write_text(out / "sub-00" / "anat" / "sub-00_qc.tsv", "image\tvalue\nx\t1\n")
    with pytest.raises(BadDataError, match=r"sub-00_qc\.tsv"):
        collect_qc(out)


def test_equal_tables_give_equal_files(out: Path) -> None:
    first = [path.read_bytes() for path in write_group_qc(out)]
    assert [path.read_bytes() for path in write_group_qc(out)] == first


def test_hundreds_of_sessions_take_seconds(tmp_path: Path) -> None:
    for number in range(400):
        add(tmp_path, f"{number:04d}", MaskDice=0.94 + (number % 97) / 2000)
    started = time.monotonic()
    write_group_qc(tmp_path)
    assert time.monotonic() - started < 8
    assert (tmp_path / "group_qc.html").stat().st_size < 600_000


CHANGES: dict[str, Callable[[Path], object]] = {
    "a value": lambda out: add(out, "00", MaskDice=0.5),
    "a session": lambda out: add(out, "new"),
    "a session is gone": lambda out: (out / "sub-00" / "anat" / "sub-00_qc.tsv").unlink(),
    "a page to link": lambda out: write_text(out / "sub-00.html", "<html>"),
    "made for tests": lambda out: write_json(
        session_stamp(out, "sub-00"), {"settings": {"sloppy": True}}
    ),
    "the table is gone": lambda out: (out / "group_qc.tsv").unlink(),
    "the page is cut": lambda out: write_text(out / "group_qc.html", "<html>"),
}


def test_a_page_of_which_nothing_changed_is_left_as_it_is(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = write_group_qc(out)
    before = [path.stat().st_mtime_ns for path in written]
    monkeypatch.setattr(step, "compute", lambda _: pytest.fail("drawn again"))
    assert write_group_qc(out) == written
    assert [path.stat().st_mtime_ns for path in written] == before


@pytest.mark.parametrize("name", CHANGES)
def test_each_kind_of_change_makes_table_and_page_again(
    out: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write_group_qc(out)
    times: list[str] = []

    def counted(inputs: QcInputs) -> QcResults:
        times.append(name)
        return compute(inputs)

    monkeypatch.setattr(step, "compute", counted)
    CHANGES[name](out)
    write_group_qc(out)
    files = [(out / f"group_qc.{end}").read_bytes() for end in ("tsv", "json", "html")]
    write_group_qc(out)
    assert times == [name]
    (out / "logs" / "group_qc.json").unlink()
    assert [path.read_bytes() for path in write_group_qc(out)] == files


def test_other_code_draws_again(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_group_qc(out)
    (out / "group_qc.html").write_bytes((out / "group_qc.html").read_bytes()[::-1])
    monkeypatch.setattr(step, "code_state", lambda *_: "other")
    assert write_group_qc(out)[-1].read_text().startswith("<!DOCTYPE html>")
