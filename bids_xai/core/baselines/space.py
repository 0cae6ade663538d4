"""Standardised features of scans and their principal components."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from bids_xai.arrays import Floats, Floats64

_CONSTANT = 1e-6  # of the largest value: a feature that varies less is constant
_NO_VARIANCE = 1e-10  # of the largest: principal components below are rounding


@dataclass(frozen=True)
class Space:
    """Standardised features, or their principal components, as training scans give them.

    mean, sd : (k,) of the training scans; a feature with ``sd`` 0 is not used
    axes : (k, d) principal axes of the standardised features, None for none
    """

    mean: Floats64
    sd: Floats64
    axes: Floats64 | None = None

    @classmethod
    def of(cls, features: Floats, components: int) -> Space:
        """Return the space of training scans (n, k); ``components`` 0 for all features."""
        there = np.isfinite(features)
        n = np.maximum(there.sum(axis=0), 1)
        mean = np.where(there, features, 0).sum(axis=0, dtype=np.float64) / n
        away = np.where(there, features - mean, 0)
        sd = np.sqrt((away**2).sum(axis=0) / n)
        largest = np.where(there, np.abs(features), 0).max(axis=0)
        plain = cls(mean, np.where(sd > _CONSTANT * largest, sd, 0.0))
        if not components:
            return plain
        points = plain.points(features)
        values, vectors = eigh(points @ points.T)
        values, vectors = values[::-1][:components], vectors[:, ::-1][:, :components]
        real = values > _NO_VARIANCE * max(values[0], 1e-300)
        return cls(mean, plain.sd, points.T @ vectors[:, real] / np.sqrt(values[real]))

    def points(self, features: Floats) -> Floats64:
        """Return scans (m, k) in this space, (m, k) or (m, d)."""
        usable = self.sd > 0
        points = (features - self.mean) / np.where(usable, self.sd, 1.0)
        points = np.where(usable & np.isfinite(points), points, 0.0)
        return points if self.axes is None else points @ self.axes
