"""Limits of the quality figures: which values are flagged, and that the documentation has all."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_xai.core.qc_limits import LIMITS
from bids_xai.tables.qc import Measure


@pytest.mark.parametrize(
    ("metric", "value", "flagged"),
    [
        ("MaskDice", 0.9, False),
        ("MaskDice", 0.8999, True),
        ("BrainVolumeMl", 2300, True),
        ("UndefinedVoxels", 0, False),
        ("UndefinedVoxels", 1, True),
        ("MaskDice", float("nan"), True),
    ],
)
def test_limits_belong_to_the_good_side(metric: str, value: float, flagged: bool) -> None:
    assert LIMITS[metric].flags(value) is flagged


def test_the_documentation_states_every_limit() -> None:
    page = Path(__file__).parents[3] / "docs" / "quality.md"
    cells = [line.split(" | ") for line in page.read_text().splitlines() if line.startswith("| `")]
    stated = {row[0].strip("| `"): row[3] for row in cells if len(row) == 5}
    expected = {metric: Measure.of("", metric, 0.0).limits for metric in LIMITS}
    assert stated == expected
