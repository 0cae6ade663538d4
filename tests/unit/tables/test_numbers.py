"""Numbers in text."""

from __future__ import annotations

from bids_xai.tables.numbers import count, mean_sd, number, percent, plural


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
    assert [count(value) for value in (None, float("nan"), 3, 2.0)] == ["n/a", "n/a", "3", "2"]
    assert [plural(n, "scan") for n in (0, 1, 2)] == ["0 scans", "1 scan", "2 scans"]
    assert [percent(value) for value in (None, 1.0)] == ["n/a", "100.0 %"]
    assert mean_sd([None, 4.0]) == "4.0"
