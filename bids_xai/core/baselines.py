"""Support vector machines to compare networks with, chosen by cross-validation within training.

Whatever is estimated (scaling, principal components, the parameters, probabilities) comes from the
training scans; within the inner cross-validation from those of the other folds. Only inner products
of scans are needed, so that the number of features costs little. Features, or their principal
components, are scaled to a total variance of 1: the same grid then reaches from classes told apart
by their means to no errors in training, for one feature as for a hundred thousand.

Source: Eitel et al. 2019, 2.4.5 (grid search in an inner cross-validation, optional principal
components); Platt 1999, Adv. Large Margin Classif., 61-74 (probabilities).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh
from scipy.special import expit

from bids_xai.arrays import Bools, Floats, Floats64, Ints
from bids_xai.errors import BadDataError, UsageError

KERNELS = ("linear", "rbf")
C_GRID = (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2)
GAMMA_GRID = (1e-2, 1e-1, 1.0, 1e1)

_CONSTANT = 1e-6  # of the largest value: a feature that varies less is constant
_NO_VARIANCE = 1e-10  # of the largest: principal components below are rounding
_LEAST_SLOPE = 1e-6  # log odds a standard deviation of decision values: less is none
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
    parameters : those chosen
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
    scores = {one: _balanced_accuracy(left_out[one], truth) for one in grid}
    best = max(grid, key=lambda one: scores[one])  # the first of equal ones
    space = _Space.of(features, best.components)
    points = space.place(features)
    spread = _spread(points)
    points = points / spread
    weights, offsets = _machines(_kernel(points, points, best.gamma), columns, best.c)
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
            f"the machine takes {fitted.mean.size} finite features a scan, got an array of shape "
            f"{features.shape}",
            fix="measure the same features as for the training",
        )
    points = _Space(fitted.mean, fitted.sd, fitted.axes).place(features) / fitted.spread
    kernel = _kernel(points, fitted.vectors, fitted.parameters.gamma)
    values: Floats64 = kernel @ fitted.weights + fitted.offsets
    return values


def inner_fold_numbers(
    labels: npt.ArrayLike, groups: Sequence[str], n_folds: int, seed: int
) -> Ints:
    """Return the fold (n,) of every scan, from 0; participants stay whole.

    labels : (n,) whole numbers; groups : (n,) participants
    Participants stand in line by class (one who changes class by the rarest of them), in chance
    order within, and are dealt to the folds in turn; the order of the input does not matter.
    There are never more folds than a class has participants.

    Raises ``BadDataError`` where a class has fewer than two participants, or cannot be in the
    other folds of each.
    """
    classes_of: dict[str, set[int]] = defaultdict(set)
    for label, who in zip(np.asarray(labels).tolist(), groups, strict=True):
        classes_of[who].add(label)
    sizes = Counter(label for found in classes_of.values() for label in found)
    if min(sizes.values()) < 2:
        raise BadDataError(
            "a class has one participant only among those who train",
            fix="a baseline chosen by cross-validation needs two or more of each class",
        )
    line: dict[int, list[str]] = defaultdict(list)
    for who in sorted(classes_of):
        line[min(classes_of[who], key=lambda label: (sizes[label], label))].append(who)
    rng = np.random.default_rng(seed)
    order = [line[label][i] for label in sorted(line) for i in rng.permutation(len(line[label]))]
    used = min(n_folds, *sizes.values())
    fold_of = {who: place % used for place, who in enumerate(order)}
    folds: Ints = np.array([fold_of[who] for who in groups], dtype=np.int64)
    for fold in range(used):
        there = set(np.asarray(labels)[folds != fold].tolist())
        if len(there) < len(sizes) or not np.any(folds == fold):
            raise BadDataError(
                "the participants who train cannot be shared out so that each inner fold leaves "
                "scans of all classes",
                fix="include more participants of each class, or ask for other inner_folds",
            )
    return folds


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


@dataclass(frozen=True)
class _Space:
    """Standardised features, or their principal components, as training scans give them."""

    mean: Floats64
    sd: Floats64
    axes: Floats64 | None = None

    @classmethod
    def of(cls, features: Floats, components: int) -> _Space:
        there = np.isfinite(features)
        n = np.maximum(there.sum(axis=0), 1)
        mean = np.where(there, features, 0).sum(axis=0, dtype=np.float64) / n
        away = np.where(there, features - mean, 0)
        sd = np.sqrt((away**2).sum(axis=0) / n)
        largest = np.where(there, np.abs(features), 0).max(axis=0)
        plain = cls(mean, np.where(sd > _CONSTANT * largest, sd, 0.0))
        if not components:
            return plain
        points = plain.place(features)
        values, vectors = eigh(points @ points.T)
        values, vectors = values[::-1][:components], vectors[:, ::-1][:, :components]
        real = values > _NO_VARIANCE * max(values[0], 1e-300)
        return cls(mean, plain.sd, points.T @ vectors[:, real] / np.sqrt(values[real]))

    def place(self, features: Floats) -> Floats64:
        """Return scans (m, k) in this space, (m, k) or (m, d)."""
        usable = self.sd > 0
        points = (features - self.mean) / np.where(usable, self.sd, 1.0)
        points = np.where(usable & np.isfinite(points), points, 0.0)
        return points if self.axes is None else points @ self.axes


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
            f"features {features.shape}, {given.size} labels and {len(groups)} groups do not fit"
        )
    if np.isinf(features).any():
        raise BadDataError("a feature is infinite", fix="look at the maps of these scans")
    classes = np.unique(given)
    if classes.size < 2:
        raise BadDataError(
            "the scans that train a baseline are all of one class",
            fix="include participants of the other class",
        )
    if not np.any(_Space.of(features, 0).sd > 0):
        raise BadDataError(
            "the features of a baseline are the same in all scans that train it",
            fix="choose other features",
        )
    return classes, given[:, None] == classes


def _component_choices(features: Floats, folds: Ints, pca: int) -> list[int]:
    """Numbers of components to try, no more than the training scans of any inner fold have."""
    if not pca:
        return [0]
    least = min(int((folds != fold).sum()) for fold in np.unique(folds))
    most = min(least - 1, int((_Space.of(features, 0).sd > 0).sum()))
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
    found = {one: np.zeros(columns.shape) for one in grid}
    most = max(one.components for one in grid)
    for fold in np.unique(folds):
        seen, left = folds != fold, folds == fold
        space = _Space.of(features[seen], most)
        points, others = space.place(features[seen]), space.place(features[left])
        kernels: dict[tuple[int, float], tuple[Floats64, Floats64]] = {}
        for one in grid:
            key = (one.components, one.gamma)
            if key not in kernels:
                part = slice(one.components or None)
                spread = _spread(points[:, part])
                a, b = points[:, part] / spread, others[:, part] / spread
                kernels = {key: (_kernel(a, a, one.gamma), _kernel(b, a, one.gamma))}
            inside, across = kernels[key]
            weights, offsets = _machines(inside, columns[seen], one.c)
            found[one][left] = across @ weights + offsets
    return found


def _machines(kernel: Floats64, columns: Bools, c: float) -> tuple[Floats64, Floats64]:
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


def _kernel(a: Floats64, b: Floats64, gamma: float) -> Floats64:
    """Kernel (m, n) of points a (m, d) and b (n, d): radial, or linear where gamma is 0."""
    inner: Floats64 = a @ b.T
    if not gamma:
        return inner
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * inner
    radial: Floats64 = np.exp(-gamma * np.maximum(squares, 0.0))
    return radial


def _spread(points: Floats64) -> float:
    """Root of the sum of the variances of the features of points (n, d); 1 where none varies."""
    return float(np.sqrt(points.var(axis=0).sum())) or 1.0


def _balanced_accuracy(values: Floats64, truth: Bools) -> float:
    """Mean of the classes' recalls.

    values : (n, c) decision values; truth : (n, n_classes) whether each scan is of each class
    """
    said = (values[:, 0] > 0).astype(np.int64) if values.shape[1] == 1 else values.argmax(axis=1)
    return float(np.mean([(said[own] == i).mean() for i, own in enumerate(truth.T)]))
