"""The order of sessions, and the years between them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from bids_xai.bids.session_times import session_times, sessions_file
from bids_xai.errors import BadDataError


def write(folder: Path, text: str) -> Path:
    path = sessions_file(folder, "sub-01")
    path.parent.mkdir(exist_ok=True)
    path.write_text(text.replace(" ", "\t"), encoding="utf-8")
    return path


def test_ages_give_order_and_years(tmp_path: Path) -> None:
    path = write(tmp_path, "session_id age\nses-a 71.5\nb 70\nses-c n/a\n")
    times = session_times(path, ["ses-a", "ses-b"])
    assert (times.kind, times.sessions) == ("age", ("ses-b", "ses-a"))
    assert times.between("ses-b", "ses-a") == pytest.approx(1.5)


def test_dates_count_where_an_age_is_missing_or_does_not_change(tmp_path: Path) -> None:
    rows = "session_id age acq_time\nses-1 70 1925-01-01T12:00:00\nses-2 {} 1926-01-01T12:00:00Z\n"
    for age in ("n/a", "70"):
        times = session_times(write(tmp_path, rows.format(age)), ["ses-2", "ses-1"])
        assert (times.kind, times.sessions) == ("time", ("ses-1", "ses-2"))
        assert times.years["ses-1"] == 0
        assert times.between("ses-1", "ses-2") == pytest.approx(365 / 365.25)


@pytest.mark.parametrize("text", ["session_id age\nses-1 old\nses-2 71\n", "session_id\nses-1\n"])
def test_labels_give_the_order_where_nothing_is_known(tmp_path: Path, text: str) -> None:
    times = session_times(write(tmp_path, text), ["ses-10", "ses-2", "ses-1"])
    assert (times.kind, times.sessions) == ("order", ("ses-1", "ses-2", "ses-10"))
    assert math.isnan(times.between("ses-1", "ses-10"))


def test_a_table_that_is_missing_counts_as_none_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    """A broken table used to put sessions into the order of their labels, with no word."""
    for path in (None, tmp_path / "no.tsv"):
        assert session_times(path, ["ses-b", "ses-a"]).sessions == ("ses-a", "ses-b")
    broken = write(tmp_path, "")
    broken.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadDataError, match="not UTF-8"):
        session_times(broken, ["ses-b", "ses-a"])
    twice = write(tmp_path, "session_id age\nses-a 70\nses-a 71\n")
    with pytest.raises(BadDataError, match="ses-a is listed twice"):
        session_times(twice, ["ses-b", "ses-a"])
