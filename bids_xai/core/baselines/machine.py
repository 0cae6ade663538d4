"""Support vector machines: kernels, one machine a class, decision values, probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from bids_xai.arrays import Bools, Floats, Floats64, Ints
from bids_xai.core.baselines.space import Space
from bids_xai.errors import BadDataError

_LARGEST_LOG_ODDS = 30.0


@dataclass(frozen=True, kw_only=True)
class SvmParameters:
    """What the inner cross-validation chooses.

    c : penalty of errors; gamma : of the radial kernel, 0 for the linear one; both for features
        of total variance 1. components : principal components, 0 for all features
    """

    c: float
    gamma: float = 0.0
    components: int = 0

    def __str__(self) -> str:
        parts = [f"C={self.c:g}"]
        parts += [f"gamma={self.gamma:g}"] * bool(self.gamma)
        parts += [f"components={self.components}"] * bool(self.components)
        return " ".join(parts)


@dataclass(frozen=True, kw_only=True)
class FittedSvm:
    """A support vector machine of k features; c columns: 1 for two classes, else one a class.

    classes : labels, ascending; with two, the column speaks for the second
    parameters : those with the highest inner score
    inner_score : their balanced accuracy on scans left out in the inner cross-validation. It is
        the best of the grid, so a little too good
    mean, sd : (k,) of the training scans; a feature with ``sd`` 0 is not used
    axes : (k, d) principal axes of the standardised features, None for none
    spread : root of the total variance of the training scans, standardised or on the axes
    vectors : (s, k) or (s, d) support vectors, divided by ``spread``; weights : (s, c)
    offsets : (c,)
    sigmoids : (c, 2) slope and offset that turn decision values into log odds
    """

    classes: Ints
    parameters: SvmParameters
    inner_score: float
    mean: Floats64
    sd: Floats64
    axes: Floats64 | None
    spread: float
    vectors: Floats64
    weights: Floats64
    offsets: Floats64
    sigmoids: Floats64


def predict(fitted: FittedSvm, features: Floats) -> Floats64:
    """Return probabilities (m, n_classes) of the classes of ``fitted.classes``.

    features : (m, k) as for :func:`fit_svm`
    Of two classes they hold where both are equally frequent. Of more, each machine's probability
    of its class against all others is divided by their sum.

    Raises ``BadDataError`` for features that are infinite or not those of the training.
    """
    values = decision_values(fitted, features)
    odds = values * fitted.sigmoids[:, 0] + fitted.sigmoids[:, 1]
    odds = np.clip(odds, -_LARGEST_LOG_ODDS, _LARGEST_LOG_ODDS)
    if len(fitted.classes) == 2:
        return np.concatenate([expit(-odds), expit(odds)], axis=1)
    each: Floats64 = expit(odds)
    each /= each.sum(axis=1, keepdims=True)
    return each


def decision_values(fitted: FittedSvm, features: Floats) -> Floats64:
    """Return decision values (m, c), above 0 for the class of the column.

    Errors as :func:`predict`.
    """
    if features.ndim != 2 or features.shape[1] != fitted.mean.size or np.isinf(features).any():
        raise BadDataError(
            f"the machine takes {fitted.mean.size} finite features per scan, got an array of shape "
            f"{features.shape}",
            fix="use the same features as for the training",
        )
    points = Space(fitted.mean, fitted.sd, fitted.axes).points(features) / fitted.spread
    kernel = kernel_values(points, fitted.vectors, fitted.parameters.gamma)
    values: Floats64 = kernel @ fitted.weights + fitted.offsets
    return values


def fit_machines(kernel: Floats64, columns: Bools, c: float) -> tuple[Floats64, Floats64]:
    """Weights (n, c) of the training scans and offsets (c,), one machine a column.

    kernel : (n, n) of the training scans; columns : (n, c) whether each is in the class
    """
    from sklearn.svm import SVC

    weights, offsets = np.zeros(columns.shape), np.zeros(columns.shape[1])
    for i, truth in enumerate(columns.T):
        machine = SVC(kernel="precomputed", C=c, class_weight="balanced").fit(kernel, truth)
        weights[machine.support_, i] = machine.dual_coef_[0]
        offsets[i] = machine.intercept_[0]
    return weights, offsets


def kernel_values(a: Floats64, b: Floats64, gamma: float) -> Floats64:
    """Kernel (m, n) of points a (m, d) and b (n, d): radial, or linear where gamma is 0."""
    inner: Floats64 = a @ b.T
    if not gamma:
        return inner
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * inner
    radial: Floats64 = np.exp(-gamma * np.maximum(squares, 0.0))
    return radial


def root_variance(points: Floats64) -> float:
    """Root of the sum of the variances of the features of points (n, d); 1 where none varies."""
    return float(np.sqrt(points.var(axis=0).sum())) or 1.0
