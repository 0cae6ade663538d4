"""Covariates as arrays: numbers, names of groups, dates, what is missing."""

from __future__ import annotations

import numpy as np

from bids_xai.group.spray.covariates import typed


def test_what_counts_as_a_number() -> None:
    ages = [str(60 + i) for i in range(9)]
    np.testing.assert_array_equal(typed("age", [*ages, "n/a"])[:9], np.arange(60.0, 69.0))
    assert np.isnan(typed("age", [*ages, "n/a"])[9])
    assert typed("siteNumber", ages).dtype.kind == "U"
    assert typed("sex", ["1", "2"] * 6).dtype.kind == "U"
    dates = [f"2020-01-{day:02d}T10:00:00" for day in range(1, 10)]
    np.testing.assert_allclose(np.diff(typed("AcquisitionDateTime", dates)), 1.0, atol=0.05)
    assert list(typed("note", ["a", "unknown", "b"])) == ["a", "", "b"]
