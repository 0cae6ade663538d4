"""The sensitivity of a head coil."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.simulation.receive import receive_field

AXIS = np.arange(-90.0, 91.0, 10.0)
POINTS = np.stack(np.meshgrid(AXIS, AXIS, AXIS, indexing="ij")).reshape(3, -1)
CENTRE = np.array([3.0, -7.0, 5.0])


@pytest.mark.parametrize("ratio", [2.0, 10.0])
def test_the_ratio_is_reached_within_the_head(ratio: float) -> None:
    points = POINTS + CENTRE[:, None]
    field = receive_field(points, CENTRE, ratio)
    inside = ((POINTS / np.array([[78.0], [100.0], [95.0]])) ** 2).sum(0) <= 1
    assert field[inside].min() == pytest.approx(1)
    assert field[inside].max() == pytest.approx(ratio)


def test_it_rises_towards_the_coil_and_falls_towards_the_neck() -> None:
    field = receive_field(POINTS, np.zeros(3), 8.0).reshape(len(AXIS), len(AXIS), len(AXIS))
    middle = len(AXIS) // 2
    for outward in (field[middle:, middle, middle], field[middle, middle:, middle]):
        assert (np.diff(outward) >= 0).all()
        assert outward[-1] > 1.5 * outward[0]
    assert (np.diff(field[middle, middle]) > 0).all()  # upwards
    np.testing.assert_allclose(field, field[::-1])  # left and right


def test_no_ratio_no_field() -> None:
    np.testing.assert_array_equal(receive_field(POINTS, CENTRE, 1.0), 1.0)
