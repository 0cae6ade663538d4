"""Metrics over all sessions: who is outside the limits, and who far from the others."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from qc_cases import DICE, TEMPLATE, VOLUME, add, table, usual_but_two

from bids_xai.group.qc.columns import MetricColumn, metric_columns, summaries, worst_first
from bids_xai.group.qc.step import write_group_qc
from bids_xai.tables.qc import SessionSummary, collect_qc


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Ten usual sessions, one flagged, one far from the others but within the limits."""
    return usual_but_two(tmp_path)


def summary(n_flagged: int, n_outliers: int | None, largest_z: float | None) -> SessionSummary:
    return SessionSummary(
        participant_id="sub-01",
        session_id=None,
        flagged=n_flagged > 0,
        n_flagged=n_flagged,
        flagged_metrics="none",
        n_outliers=n_outliers,
        outlier_metrics=None,
        largest_z=largest_z,
        values={},
    )


def column(out: Path, name: str) -> MetricColumn:
    (result,) = (c for c in metric_columns(collect_qc(out)) if c.name == name)
    return result


def test_columns_follow_the_order_of_the_limits(out: Path) -> None:
    names = [column.name for column in metric_columns(collect_qc(out))]
    assert names == [VOLUME, DICE, "UndefinedVoxels_space-T1w_R2starmap"]


def test_a_column_holds_what_the_sessions_say(out: Path) -> None:
    add(out, "nan", MaskDice=math.nan)
    sessions = collect_qc(out)
    dice = column(out, DICE)
    low = next(i for i, session in enumerate(sessions) if session.name == "sub-low_ses-2")
    nan = next(i for i, session in enumerate(sessions) if session.name == "sub-nan")
    assert dice.values[low] == 0.71
    assert np.isnan(dice.values[nan])
    assert set(np.flatnonzero(dice.flagged)) == {low, nan}
    assert dice.spread.n == 12
    assert (dice.metric, dice.kind) == ("MaskDice", TEMPLATE)
    measure = dice.measure(low)
    assert (measure.value, measure.verdict, measure.limits) == (0.71, "below 0.9", "≥ 0.9")
    assert dice.measure(nan).verdict == "undefined"
    untested = column(out, "UndefinedVoxels_space-T1w_R2starmap")
    assert not untested.tested
    assert np.isnan(untested.z).all()
    assert not untested.outlier.any()


def test_a_line_counts_what_stands_out(out: Path) -> None:
    sessions = collect_qc(out)
    columns = metric_columns(sessions)
    rows = summaries(sessions, columns)
    for index, row in enumerate(rows):
        flagged = [c.name for c in columns if c.flagged[index]]
        assert (row.n_flagged, row.flagged) == (len(flagged), bool(flagged))
        assert row.n_outliers == sum(bool(c.outlier[index]) for c in columns)
        assert row.largest_z == max(abs(c.z[index]) for c in columns if c.tested)
        assert row.values.keys() == {c.name for c in columns}
    assert sum(row.flagged for row in rows) == 1


def test_z_is_that_of_the_formula(out: Path) -> None:
    write_group_qc(out)
    rows = table(out)
    values = sorted(float(row[VOLUME]) for row in rows.values())
    median = (values[5] + values[6]) / 2
    deviations = sorted(abs(v - median) for v in values)
    mad = (deviations[5] + deviations[6]) / 2
    expected = 0.6745 * (2100 - median) / mad
    assert float(rows["sub-big/n/a"]["largest_z"]) == pytest.approx(expected, rel=1e-6)


def test_equal_values_have_no_outlier_but_the_one_that_differs(tmp_path: Path) -> None:
    for number in range(12):
        add(tmp_path, f"{number:02d}", UndefinedVoxels=float(9 * (number == 3)), MaskDice=0.95)
    write_group_qc(tmp_path)
    rows = table(tmp_path)
    found = [name for name, row in rows.items() if row["outlier_metrics"] != "none"]
    assert found == ["sub-03/n/a"]
    assert rows["sub-03/n/a"]["outlier_metrics"] == "UndefinedVoxels_space-T1w_R2starmap"


def test_the_worst_come_first() -> None:
    rows = [
        summary(0, 0, 1.0),
        summary(0, 2, 4.0),
        summary(1, None, None),
        summary(0, 2, 9.0),
        summary(0, 0, 1.0),
    ]
    assert worst_first(rows) == [2, 3, 1, 0, 4]
