"""How alike two groups are in their covariates, before and after a choice of participants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_xai.arrays import Bools, Floats64
from bids_xai.core.cohort.covariates import covariate_table


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


def balance(
    covariates: npt.ArrayLike, names: Sequence[str], treated: npt.ArrayLike, selected: npt.ArrayLike
) -> list[BalanceRow]:
    """How alike two groups are in each covariate, before and after a choice of participants.

    covariates : (n, k) numbers; names : (k,)
    treated : (n,) bool
    selected : (n,) bool, or the indices of those after the choice
    """
    is_treated: Bools = np.asarray(treated, dtype=bool)
    table = covariate_table(covariates, len(is_treated), names)
    is_selected = np.zeros(len(is_treated), dtype=bool)
    is_selected[np.asarray(selected) if np.size(selected) else []] = True
    rows = []
    for name, column in zip(names, table.T, strict=True):
        before = _moments(column[is_treated]), _moments(column[~is_treated])
        after = (
            _moments(column[is_treated & is_selected]),
            _moments(column[~is_treated & is_selected]),
        )
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


Moments = tuple[float | None, float | None]


def _moments(values: Floats64) -> Moments:
    """Mean and standard deviation, None where there are too few values."""
    squared_sd = variance(values)
    return (
        float(values.mean()) if values.size else None,
        None if squared_sd is None else math.sqrt(squared_sd),
    )


def variance(values: Floats64) -> float | None:
    """Return the variance of values (n,) with n - 1 in its divisor; None for fewer than two."""
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
