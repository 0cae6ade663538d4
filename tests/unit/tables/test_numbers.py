"""Numbers in text."""

from __future__ import annotations

from bids_xai.reports.study_files import natural
from bids_xai.tables.numbers import mean_sd, number, percent


def test_numbers_are_written_for_people() -> None:
    assert percent(0.6419) == "64.2 %"
    assert percent(float("nan")) == "n/a"
    assert mean_sd([70.0, 72.0, float("nan")]) == "71.0 ± 1.4"
    assert mean_sd([]) == "n/a"
    assert [number(v) for v in (None, True, 3, 0.12345, [1, 2.5], "x")] == [
        "n/a",
        "yes",
        "3",
        "0.123",
        "1, 2.5",
        "x",
    ]
    assert sorted(["split-10", "split-2"], key=natural) == ["split-2", "split-10"]
