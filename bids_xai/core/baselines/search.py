"""The grid of parameters, and the choice by cross-validation within training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from bids_xai.arrays import Bools, Floats, Floats64, Ints
from bids_xai.core.baselines.folds import inner_fold_numbers
from bids_xai.core.baselines.machine import (
    FittedSvm,
    SvmParameters,
    fit_machines,
    kernel_values,
    root_variance,
)
from bids_xai.core.baselines.sigmoid import platt_sigmoid
from bids_xai.core.baselines.space import Space
from bids_xai.errors import BadDataError, UsageError

KERNELS = ("linear", "rbf")
C_GRID = (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2)
GAMMA_GRID = (1e-2, 1e-1, 1.0, 1e1)


def fit_svm(
    features: Floats,
    labels: npt.ArrayLike,
    groups: Sequence[str],
    *,
    kernel: str = "linear",
    pca: int = 0,
    inner_folds: int = 5,
    seed: int = 0,
) -> FittedSvm:
    """Choose and fit a support vector machine on training scans.

    features : (n, k), any units; NaN is a measure that a scan lacks and counts as the mean
    labels : (n,) whole numbers; groups : (n,) participants, whose scans stay in one inner fold
    kernel : ``linear`` or ``rbf``, :math:`e^{-\\gamma |a - b|^2}`
    pca : most principal components; a half and a quarter of them are tried, too; 0 for none
    inner_folds : of the inner cross-validation; fewer where a class has fewer participants
    seed : of the inner folds; nothing else is left to chance

    Features are standardised, then scaled to a total variance of 1. The grid is ``C_GRID``, for
    ``rbf`` times ``GAMMA_GRID``; the highest balanced accuracy on scans left out wins, of equal
    ones the one with the fewest components, then the lowest gamma, then the lowest C. Classes
    weigh alike, however many scans they have. More than two classes: one machine each, against
    all others.

    Raises ``BadDataError`` for infinite features, features that do not vary, fewer than two
    classes, or a class with fewer than two participants; ``UsageError`` for an unknown kernel.
    """
    _check_options(kernel, pca, inner_folds)
    classes, truth = _checked(features, labels, groups)
    folds = inner_fold_numbers(truth.argmax(axis=1), groups, inner_folds, seed)
    grid = _grid(kernel, _component_choices(features, folds, pca))
    columns = truth[:, 1:] if len(classes) == 2 else truth
    left_out = _left_out_values(features, columns, folds, grid)
    scores = {parameters: _balanced_accuracy(left_out[parameters], truth) for parameters in grid}
    best = max(grid, key=lambda parameters: scores[parameters])  # the first of equal ones
    space = Space.of(features, best.components)
    points = space.points(features)
    spread = root_variance(points)
    points = points / spread
    weights, offsets = fit_machines(kernel_values(points, points, best.gamma), columns, best.c)
    support = np.any(weights != 0, axis=1)
    return FittedSvm(
        classes=classes,
        parameters=best,
        inner_score=scores[best],
        mean=space.mean,
        sd=space.sd,
        axes=space.axes,
        spread=spread,
        vectors=points[support],
        weights=weights[support],
        offsets=offsets,
        sigmoids=np.array(
            [platt_sigmoid(v, t) for v, t in zip(left_out[best].T, columns.T, strict=True)]
        ),
    )


def _check_options(kernel: str, pca: int, inner_folds: int) -> None:
    if kernel not in KERNELS:
        raise UsageError(f"no kernel '{kernel}'", fix=f"choose from {', '.join(KERNELS)}")
    if pca < 0 or inner_folds < 2:
        raise UsageError(
            f"{pca} principal components and {inner_folds} inner folds are impossible",
            fix="ask for 0 components or more, and 2 folds or more",
        )


def _checked(features: Floats, labels: npt.ArrayLike, groups: Sequence[str]) -> tuple[Ints, Bools]:
    """The classes, and whether each scan (n) is of each class (n_classes)."""
    given: Ints = np.asarray(labels, dtype=np.int64)
    if features.ndim != 2 or features.shape[0] != given.size or given.size != len(groups):
        raise ValueError(
            f"features {features.shape}, {given.size} labels and {len(groups)} groups do not match"
        )
    if np.isinf(features).any():
        raise BadDataError("a feature is infinite", fix="check the maps of these scans")
    classes = np.unique(given)
    if classes.size < 2:
        raise BadDataError(
            "the training scans of a baseline are all of the same class",
            fix="include participants of the other class",
        )
    if not np.any(Space.of(features, 0).sd > 0):
        raise BadDataError(
            "the features of a baseline are the same in all its training scans",
            fix="choose other features",
        )
    return classes, given[:, None] == classes


def _component_choices(features: Floats, folds: Ints, pca: int) -> list[int]:
    """Numbers of components to try, no more than the training scans of any inner fold have."""
    if not pca:
        return [0]
    least = min(int((folds != fold).sum()) for fold in np.unique(folds))
    most = min(least - 1, int((Space.of(features, 0).sd > 0).sum()))
    return sorted({max(1, min(pca // part, most)) for part in (1, 2, 4)})


def _grid(kernel: str, components: Iterable[int]) -> list[SvmParameters]:
    gammas = GAMMA_GRID if kernel == "rbf" else (0.0,)
    return [
        SvmParameters(c=c, gamma=gamma, components=n)
        for n in components
        for gamma in gammas
        for c in C_GRID
    ]


def _left_out_values(
    features: Floats, columns: Bools, folds: Ints, grid: Sequence[SvmParameters]
) -> dict[SvmParameters, Floats64]:
    """Decision values (n, c) of every scan by machines fitted on the other folds."""
    values = {parameters: np.zeros(columns.shape) for parameters in grid}
    most = max(parameters.components for parameters in grid)
    for fold in np.unique(folds):
        seen, left = folds != fold, folds == fold
        space = Space.of(features[seen], most)
        points, others = space.points(features[seen]), space.points(features[left])
        kernels: dict[tuple[int, float], tuple[Floats64, Floats64]] = {}
        for parameters in grid:
            key = (parameters.components, parameters.gamma)
            if key not in kernels:
                kernels = {key: _kernels(points, others, parameters)}
            inside, across = kernels[key]
            weights, offsets = fit_machines(inside, columns[seen], parameters.c)
            values[parameters][left] = across @ weights + offsets
    return values


def _kernels(
    points: Floats64, others: Floats64, parameters: SvmParameters
) -> tuple[Floats64, Floats64]:
    """Kernels (n, n) of training scans among themselves and (m, n) of others with them."""
    part = slice(parameters.components or None)
    spread = root_variance(points[:, part])
    a, b = points[:, part] / spread, others[:, part] / spread
    return kernel_values(a, a, parameters.gamma), kernel_values(b, a, parameters.gamma)


def _balanced_accuracy(values: Floats64, truth: Bools) -> float:
    """Mean of the classes' recalls.

    values : (n, c) decision values; truth : (n, n_classes) whether each scan is of each class
    """
    two_classes = values.shape[1] == 1
    predicted = (values[:, 0] > 0).astype(np.int64) if two_classes else values.argmax(axis=1)
    return float(np.mean([(predicted[members] == i).mean() for i, members in enumerate(truth.T)]))
