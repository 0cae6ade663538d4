"""The propensity score: how probable it is, by covariates, to be in the group to match."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from bids_xai.arrays import Bools, Floats64
from bids_xai.errors import BadDataError

_NEWTON_STEPS = 100
_LEAST_CURVATURE = 1e-10  # of the likelihood, 1/4 at the start: with less it has no maximum


def propensity_logit(treated: Bools, table: Floats64, names: Sequence[str]) -> Floats64:
    """Logit (n,) of the score by unpenalised logistic regression on standardised covariates.

    Newton's method with steps halved while the likelihood falls, on an orthonormal basis of
    what the covariates span: constant and redundant columns do no harm.

    treated : (n,); table : (n, k) covariates without missing values; names : (k,), for messages
    Raises ``BadDataError`` for an empty group, or where covariates separate the groups.
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
        f"The covariates separate the groups completely{_culprits(treated, table, names)}, so "
        "there is no propensity score",
        fix="exclude the covariate or the participants without a counterpart in the other group",
    )


def _log_likelihood(treated: Bools, logit: Floats64) -> float:
    return float(-np.logaddexp(0, np.where(treated, -logit, logit)).sum())


def _culprits(treated: Bools, table: Floats64, names: Sequence[str]) -> str:
    """Names of the columns in which one group lies at one end, in parentheses."""
    separating = [
        name
        for name, column in zip(names, table.T, strict=True)
        if np.ptp(column) > 0
        and (
            column[treated].min() >= column[~treated].max()
            or column[treated].max() <= column[~treated].min()
        )
    ]
    return f" ({', '.join(separating)})" if separating else ""
