"""Propensity-score matching and the balance of covariates before and after."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from bids_xai.arrays import Bools, Floats64
from bids_xai.core.cohort.cells import Value, _refuse_missing, number_of
from bids_xai.errors import BadDataError

USUAL_CALIPER = 0.2
"""Caliper in standard deviations of the logit after Austin 2011 (Pharm. Stat. 10, 150-161)."""


_CLOSE = 1e-9  # logits: closer than this are equal


_NEWTON_STEPS = 100


_LEAST_CURVATURE = 1e-10  # of the likelihood, 1/4 at the start: with less it has no maximum


@dataclass(frozen=True, kw_only=True)
class Matching:
    """Pairs of a treated and a control participant, by index of the input of ``n`` entries.

    pairs : (treated, control), ordered by the treated
    kept : indices of all who are in a pair, ascending
    left_out : index -> reason, of all others
    propensity : (n,) fitted probability of being treated
    logit : (n,) its logit
    caliper : largest distance of logits allowed; None without one
    """

    pairs: tuple[tuple[int, int], ...]
    kept: tuple[int, ...]
    left_out: Mapping[int, str]
    propensity: Floats64
    logit: Floats64
    caliper: float | None


@dataclass(frozen=True, kw_only=True)
class BalanceRow:
    r"""One covariate in both groups, before and after a choice of participants.

    smd : standardised mean difference :math:`(m_t - m_c) / \sqrt{(s_t^2 + s_c^2) / 2}`. Both are
        in standard deviations from before, so that only the means can change it
    variance_ratio : :math:`s_t^2 / s_c^2`
    Standard deviations have n - 1 in their divisor. None is what is not defined.
    """

    name: str
    mean_treated_before: float | None
    sd_treated_before: float | None
    mean_control_before: float | None
    sd_control_before: float | None
    smd_before: float | None
    variance_ratio_before: float | None
    mean_treated_after: float | None
    sd_treated_after: float | None
    mean_control_after: float | None
    sd_control_after: float | None
    smd_after: float | None
    variance_ratio_after: float | None


def propensity_match(
    treated: npt.ArrayLike,
    covariates: npt.ArrayLike,
    *,
    caliper: float | None = None,
    seed: int = 0,
    names: Sequence[str] | None = None,
) -> Matching:
    """Pair every treated participant with the control of nearest propensity score.

    treated : (n,) bool, the group to find partners for (patients)
    covariates : (n, k) numbers, any units; text goes through :func:`encode_covariates` first
    caliper : largest distance in a pair, in standard deviations of the logit (root of the mean
        of both groups' variances); None for no limit
    names : (k,) of the covariates, for messages

    Nearest neighbour, one to one, without replacement, on the logit of the score. The treated
    choose in descending order of logit: who is hardest to match comes first. Equal logits
    (within 1e-9) among the treated, and equally near controls, are put in order by chance.

    Source: Rosenbaum and Rubin 1985, Am. Stat. 39, 33-38; Austin 2011; tinauer2025.
    Raises ``BadDataError`` for a missing covariate, an empty group, or groups that the covariates
    separate completely, which leaves the score undefined.
    """
    is_treated: Bools = np.asarray(treated, dtype=bool)
    table = _covariate_table(covariates, len(is_treated), names)
    logit = _logit(is_treated, table, _names(table, names))
    limit = None
    if caliper is not None:
        if not caliper >= 0:
            raise ValueError(f"a caliper of {caliper}")
        variances = [_variance(logit[group]) or 0.0 for group in (is_treated, ~is_treated)]
        limit = caliper * math.sqrt(sum(variances) / 2)
    pairs, left_out = _nearest(is_treated, logit, limit, np.random.default_rng(seed))
    return Matching(
        pairs=tuple(sorted(pairs)),
        kept=tuple(sorted(index for pair in pairs for index in pair)),
        left_out=dict(sorted(left_out.items())),
        propensity=expit(logit),
        logit=logit,
        caliper=limit,
    )


def encode_covariates(
    columns: Mapping[str, Sequence[Value]], categorical: Collection[str] = ()
) -> tuple[Floats64, list[str]]:
    """Covariates as numbers (n, k), and the names of the k columns.

    columns : name -> (n,) values; a column of numbers stays one, any other becomes a 0/1 column
        ``name=value`` for each value but the first (in order of text)
    categorical : columns that are categories though they look like numbers
    Raises ``BadDataError`` naming a column with missing values and how many there are.
    """
    table: list[Floats64] = []
    names: list[str] = []
    for name, values in columns.items():
        _refuse_missing(values, name)
        numbers = [number_of(value) for value in values]
        if name not in categorical and None not in numbers:
            table.append(np.array(numbers, dtype=np.float64))
            names.append(name)
            continue
        texts = np.array([str(value) for value in values])
        for level in sorted(set(texts.tolist()))[1:]:
            table.append((texts == level).astype(np.float64))
            names.append(f"{name}={level}")
    n = len(next(iter(columns.values()), ()))
    return (np.stack(table, axis=1) if table else np.zeros((n, 0))), names


def balance(
    covariates: npt.ArrayLike, names: Sequence[str], treated: npt.ArrayLike, kept: npt.ArrayLike
) -> list[BalanceRow]:
    """How alike two groups are in each covariate, before and after a choice of participants.

    covariates : (n, k) numbers; names : (k,)
    treated : (n,) bool
    kept : (n,) bool, or the indices of those chosen
    """
    is_treated: Bools = np.asarray(treated, dtype=bool)
    table = _covariate_table(covariates, len(is_treated), names)
    chosen = np.zeros(len(is_treated), dtype=bool)
    chosen[np.asarray(kept) if np.size(kept) else []] = True
    rows = []
    for name, column in zip(names, table.T, strict=True):
        before = _moments(column[is_treated]), _moments(column[~is_treated])
        after = _moments(column[is_treated & chosen]), _moments(column[~is_treated & chosen])
        rows.append(
            BalanceRow(
                name=name,
                mean_treated_before=before[0][0],
                sd_treated_before=before[0][1],
                mean_control_before=before[1][0],
                sd_control_before=before[1][1],
                smd_before=_standardised_difference(before, before),
                variance_ratio_before=_variance_ratio(before),
                mean_treated_after=after[0][0],
                sd_treated_after=after[0][1],
                mean_control_after=after[1][0],
                sd_control_after=after[1][1],
                smd_after=_standardised_difference(after, before),
                variance_ratio_after=_variance_ratio(after),
            )
        )
    return rows


def _names(table: Floats64, names: Sequence[str] | None) -> list[str]:
    return list(names or (f"column {i}" for i in range(table.shape[1])))


def _covariate_table(covariates: npt.ArrayLike, n: int, names: Sequence[str] | None) -> Floats64:
    """Covariates (n, k) of two groups; ``BadDataError`` for missing values, naming the column."""
    table: Floats64 = np.asarray(covariates, dtype=np.float64)
    if table.ndim != 2 or len(table) != n or len(_names(table, names)) != table.shape[1]:
        raise ValueError(f"covariates {table.shape} for {n} participants and names {names}")
    for name, column in zip(_names(table, names), table.T, strict=True):
        _refuse_missing([value if math.isfinite(value) else None for value in column], name)
    return table


def _logit(treated: Bools, table: Floats64, names: Sequence[str]) -> Floats64:
    """Logit (n,) of the score by unpenalised logistic regression on standardised covariates.

    Newton's method with steps halved while the likelihood falls, on an orthonormal basis of
    what the covariates span: constant and redundant columns do no harm.
    """
    if treated.all() or not treated.any():
        raise BadDataError(
            f"Of {treated.size} participants {int(treated.sum())} are in the group to match",
            fix="give participants of both groups",
        )
    spread = table.std(axis=0)
    centred = table - table.mean(axis=0)
    varies = spread > 1e-12 * np.abs(table).max(axis=0, initial=1e-300)
    columns = np.column_stack([np.ones(len(table)), centred[:, varies] / spread[varies]])
    _, size, directions = np.linalg.svd(columns, full_matrices=False)
    independent = size > 1e-9 * size[0]
    to_basis = directions[independent].T / size[independent]
    # sums row by row: participants with equal covariates get equal logits to the last bit
    basis: Floats64 = (columns[:, :, None] * to_basis[None]).sum(axis=1)
    logit: Floats64 = np.zeros(len(table))
    weights: Floats64 = np.zeros(basis.shape[1])
    for _ in range(_NEWTON_STEPS):
        p = expit(logit)
        curvature, axes = np.linalg.eigh(basis.T @ (basis * (p * (1 - p))[:, None]))
        if curvature[0] < _LEAST_CURVATURE:
            break
        step = axes @ ((axes.T @ (basis.T @ (treated - p))) / curvature)
        while _log_likelihood(treated, basis @ (weights + step)) < (
            _log_likelihood(treated, logit) - 1e-9
        ):
            step = step / 2
        weights = weights + step
        former, logit = logit, (basis * weights).sum(axis=1)
        if np.abs(logit - former).max() < 1e-10:
            return logit
    raise BadDataError(
        f"The covariates tell the groups apart completely{_culprits(treated, table, names)}, so "
        "there is no propensity score",
        fix="leave out the covariate or the participants without a counterpart in the other group",
    )


def _log_likelihood(treated: Bools, logit: Floats64) -> float:
    return float(-np.logaddexp(0, np.where(treated, -logit, logit)).sum())


def _culprits(treated: Bools, table: Floats64, names: Sequence[str]) -> str:
    """Names of the columns in which one group lies at one end, in parentheses."""
    found = [
        name
        for name, column in zip(names, table.T, strict=True)
        if np.ptp(column) > 0
        and (
            column[treated].min() >= column[~treated].max()
            or column[treated].max() <= column[~treated].min()
        )
    ]
    return f" ({', '.join(found)})" if found else ""


def _nearest(
    treated: Bools, logit: Floats64, limit: float | None, rng: np.random.Generator
) -> tuple[list[tuple[int, int]], dict[int, str]]:
    """Pairs in the order in which they were made, and why the others are in none."""
    chance = rng.permutation(len(treated))
    queue = np.flatnonzero(treated)
    queue = queue[np.lexsort((chance[queue], -np.round(logit[queue], 9)))]
    free = np.flatnonzero(~treated)
    free = free[np.argsort(chance[free])]
    pairs: list[tuple[int, int]] = []
    left_out: dict[int, str] = {}
    for who in queue.tolist():
        if not free.size:
            left_out[who] = "no control is left"
            continue
        distance = np.abs(logit[free] - logit[who])
        nearest = int(np.argmax(distance <= distance.min() + _CLOSE))  # the first by chance
        if limit is not None and distance[nearest] > limit + _CLOSE:
            left_out[who] = "no control within the caliper"
            continue
        pairs.append((who, int(free[nearest])))
        free = np.delete(free, nearest)
    return pairs, left_out | dict.fromkeys(free.tolist(), "not the match of anybody")


Moments = tuple[float | None, float | None]


def _moments(values: Floats64) -> Moments:
    """Mean and standard deviation, None where there are too few values."""
    variance = _variance(values)
    return (
        float(values.mean()) if values.size else None,
        None if variance is None else math.sqrt(variance),
    )


def _variance(values: Floats64) -> float | None:
    return float(values.var(ddof=1)) if values.size > 1 else None


def _standardised_difference(
    of: tuple[Moments, Moments], scale: tuple[Moments, Moments]
) -> float | None:
    """Difference of the means ``of`` in pooled standard deviations of ``scale``."""
    (mean_treated, _), (mean_control, _) = of
    (_, sd_treated), (_, sd_control) = scale
    if mean_treated is None or mean_control is None or sd_treated is None or sd_control is None:
        return None
    if mean_treated == mean_control:
        return 0.0
    pooled = math.sqrt((sd_treated**2 + sd_control**2) / 2)
    return (mean_treated - mean_control) / pooled if pooled > 0 else None


def _variance_ratio(of: tuple[Moments, Moments]) -> float | None:
    (_, sd_treated), (_, sd_control) = of
    return None if sd_treated is None or not sd_control else (sd_treated / sd_control) ** 2
