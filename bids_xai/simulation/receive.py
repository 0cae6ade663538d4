"""The receive field of a head coil without prescan normalisation: bright near the coil."""

from __future__ import annotations

import numpy as np

from bids_xai.arrays import Floats

_COIL_MM = 150.0  # of the elements from the centre of the head
_ELEMENT_MM = 60.0  # radius of an element: within it, its sensitivity does not rise further
_HEAD_MM = np.array([78.0, 100.0, 95.0])
"""Half axes of the ellipsoid over which the ratio is reached."""
_RINGS = ((8, 0.0), (4, 55.0))  # elements, degrees above the plane through the centre


def receive_field(points_mm: Floats, centre_mm: Floats, ratio: float) -> Floats:
    """Return the sensitivity (n,) of a coil array around a head at points (3, n), mm RAS.

    Twelve elements lie on a sphere about the head, eight around it and four above; that of an
    element at distance d and of radius a is (a² + d²)^(-3/2), and the array combines them as root
    of the sum of squares. This is raised to the power for which the highest sensitivity within the
    head is ``ratio`` (1 or more) times the lowest; the lowest is 1.
    """
    if ratio == 1:
        return np.ones(points_mm.shape[1])
    centre = np.asarray(centre_mm)[:, None]
    inside = (((points_mm - centre) / _HEAD_MM[:, None]) ** 2).sum(0) <= 1
    combined = _root_sum_of_squares(points_mm - centre)
    low, high = combined[inside].min(), combined[inside].max()
    power = np.log(ratio) / np.log(high / low)
    return np.asarray((combined / low) ** power)


def _root_sum_of_squares(points_mm: Floats) -> Floats:
    total = np.zeros(points_mm.shape[1])
    for element in _elements():
        squared = ((points_mm - element[:, None]) ** 2).sum(0)
        total += (_ELEMENT_MM**2 + squared) ** -3.0
    return np.asarray(np.sqrt(total))


def _elements() -> list[Floats]:
    """Centres of the elements, (3,) mm from the centre of the head."""
    centres: list[Floats] = []
    for n, above in _RINGS:
        height = np.deg2rad(above)
        for turn in 2 * np.pi * (np.arange(n) + 0.5) / n:
            across = np.cos(height)
            direction = (across * np.cos(turn), across * np.sin(turn), np.sin(height))
            centres.append(_COIL_MM * np.array(direction))
    return centres
