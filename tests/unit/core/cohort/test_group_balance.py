"""Balance of groups by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.core.cohort import balance


def test_balance_by_hand() -> None:
    treated = np.array([True, True, True, False, False, False, False])
    column = np.array([1.0, 2, 3, 0, 1, 2, 5])
    (row,) = balance(column[:, None], ["x"], treated, [0, 1, 4, 5])
    assert (row.mean_treated_before, row.mean_control_before) == (2, 2)
    assert (row.sd_treated_before, row.smd_before) == (1, 0)
    assert row.sd_control_before == pytest.approx(np.sqrt(14 / 3))
    assert row.variance_ratio_before == pytest.approx(3 / 14)
    assert (row.mean_treated_after, row.mean_control_after) == (1.5, 1.5)
    (row,) = balance(column[:, None], ["x"], treated, treated | (np.arange(7) < 5))
    assert (row.mean_treated_after, row.mean_control_after) == (2, 0.5)
    assert row.sd_control_after == pytest.approx(np.sqrt(1 / 2))
    assert row.variance_ratio_after == pytest.approx(2)
    assert row.smd_after == pytest.approx(1.5 / np.sqrt((1 + 14 / 3) / 2))  # sd from before


def test_balance_says_none_where_nothing_is_defined() -> None:
    treated = np.array([True, True, False, False])
    table = np.array([[1.0, 0], [1, 0], [1, 1], [1, 1]])
    same, apart = balance(table, ["same", "apart"], treated, [])
    assert (same.smd_before, same.variance_ratio_before) == (0, None)
    assert (apart.smd_before, apart.mean_treated_after, apart.smd_after) == (None, None, None)
    (one,) = balance(np.array([[1.0], [2], [3], [5]]), ["x"], treated, [0, 2])
    assert (one.mean_treated_after, one.sd_treated_after) == (1, None)
    assert one.smd_after == pytest.approx(-2 / np.sqrt((0.5 + 2) / 2))
