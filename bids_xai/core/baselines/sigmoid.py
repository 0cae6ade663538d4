"""From decision values to probabilities: Platt's sigmoid."""

from __future__ import annotations

import numpy as np

from bids_xai.arrays import Bools, Floats64

_CONSTANT = 1e-6  # of the largest value: decision values that vary less are constant
_LEAST_SLOPE = 1e-6  # log odds a standard deviation of decision values: less is none


def platt_sigmoid(values: Floats64, truth: Bools) -> tuple[float, float]:
    r"""Return slope a and offset b of :math:`p = 1 / (1 + e^{-(a v + b)})`.

    values : (n,) decision values of scans that the machine has not seen; truth : (n,) whether
        they belong to its class, both occur
    Maximum likelihood with Platt's targets :math:`(n_+ + 1) / (n_+ + 2)` and
    :math:`1 / (n_- + 2)` in place of 1 and 0, both classes weighing alike. Where values do not
    rise with the class they say nothing about scans not seen: then (1, 0).
    """
    from sklearn.linear_model import LogisticRegression

    n, n_in = truth.size, int(truth.sum())
    target = np.where(truth, (n_in + 1) / (n_in + 2), 1 / (n - n_in + 2))
    weight = np.where(truth, 0.5 / n_in, 0.5 / (n - n_in)) * n
    spread = float(values.std())
    if not spread > _CONSTANT * float(np.abs(values).max()):
        return 1.0, 0.0
    middle = float(values.mean())
    scaled = np.tile((values - middle) / spread, 2)[:, None]  # each scan as both classes, in part
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-8)
    model.fit(
        scaled,
        np.repeat([1, 0], n),
        sample_weight=np.concatenate([weight * target, weight * (1 - target)]),
    )
    if not model.coef_[0, 0] > _LEAST_SLOPE:
        return 1.0, 0.0
    slope = float(model.coef_[0, 0]) / spread
    return slope, float(model.intercept_[0]) - slope * middle
