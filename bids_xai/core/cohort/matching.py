"""Propensity-score matching: pairs of a treated and a control participant."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from bids_xai.arrays import Bools, Floats64
from bids_xai.core.cohort.covariates import covariate_table, names_of_columns
from bids_xai.core.cohort.group_balance import variance
from bids_xai.core.cohort.propensity import propensity_logit

USUAL_CALIPER = 0.2
"""Caliper in standard deviations of the logit after Austin 2011 (Pharm. Stat. 10, 150-161)."""

_CLOSE = 1e-9  # logits: closer than this are equal


@dataclass(frozen=True, kw_only=True)
class Matching:
    """Pairs of a treated and a control participant, by index of the input of ``n`` entries.

    pairs : (treated, control), ordered by the treated
    matched : indices of all who are in a pair, ascending
    left_out : index -> reason, of all others
    propensity : (n,) fitted probability of being treated
    logit : (n,) its logit
    caliper : largest distance of logits allowed; None without one
    """

    pairs: tuple[tuple[int, int], ...]
    matched: tuple[int, ...]
    left_out: Mapping[int, str]
    propensity: Floats64
    logit: Floats64
    caliper: float | None


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
    table = covariate_table(covariates, len(is_treated), names)
    logit = propensity_logit(is_treated, table, names_of_columns(table, names))
    limit = None
    if caliper is not None:
        if not caliper >= 0:
            raise ValueError(f"a caliper of {caliper}")
        variances = [variance(logit[group]) or 0.0 for group in (is_treated, ~is_treated)]
        limit = caliper * math.sqrt(sum(variances) / 2)
    pairs, left_out = _nearest(is_treated, logit, limit, np.random.default_rng(seed))
    return Matching(
        pairs=tuple(sorted(pairs)),
        matched=tuple(sorted(index for pair in pairs for index in pair)),
        left_out=dict(sorted(left_out.items())),
        propensity=expit(logit),
        logit=logit,
        caliper=limit,
    )


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
