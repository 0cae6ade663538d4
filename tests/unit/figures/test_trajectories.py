"""Courses of regions over sessions."""

from __future__ import annotations

import math

import numpy as np

from bids_xai.figures.trajectories import region_courses


def test_courses_are_drawn_the_same_again() -> None:
    series = {f"region {i}": np.array([1.0, math.nan, i]) for i in range(9)}
    years = np.array([70.0, 71.5, 72.0])
    labels = {"title": "t", "label": "l", "years_label": "age (years)"}
    first = region_courses(series, ["1", "2", "3"], years, **labels)
    assert first == region_courses(series, ["1", "2", "3"], years, **labels)
    assert first != region_courses(series, ["1", "2", "3"], None, **labels)
    assert b"<svg" in first
