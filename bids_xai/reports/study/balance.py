"""How alike the classes are before and after matching."""

from __future__ import annotations

import math

import numpy as np

from bids_xai.figures.balance import balance_dots
from bids_xai.reports.blocks import Block, Subheading, TableBlock, embedded
from bids_xai.reports.study_files import StudyFiles
from bids_xai.tables.cohort import BALANCE, Balance
from bids_xai.tables.numbers import MISSING, number, percent


def balance(study: StudyFiles) -> list[Block]:
    """Return the balance as a table and as dots; nothing where nobody was matched."""
    covariates = study.rows(BALANCE)
    if not covariates:
        return []
    negative, positive = study.classes
    times = ("before", "after")
    header = (
        "Covariate",
        *(f"{group} {when}" for when in times for group in (positive, negative)),
        *(f"{what} {when}" for what in ("SMD", "Variance ratio") for when in times),
    )
    caption = (
        f"Participants of {positive} and {negative} before and after matching: mean ± standard "
        "deviation, or share. SMD, standardised mean difference: difference of the means "
        "in standard deviations before matching; 0 is equal. Variance ratio: 1 is equal."
    )
    names = [_covariate(row.name) for row in covariates]
    before = np.array([row.smd_before for row in covariates], float)
    after = np.array([row.smd_after for row in covariates], float)
    described = "Standardised mean differences before and after matching: " + "; ".join(
        f"{name} {_signed(row.smd_before)} and {_signed(row.smd_after)}"
        for name, row in zip(names, covariates, strict=True)
    )
    shown = (
        f"Hollow: before matching, filled: after. Right of 0, {positive} has the larger value. "
        "Grey: within ±0.1, often considered balanced (Austin 2009)."
    )
    figure = embedded(balance_dots(names, before, after), described, shown)
    table = TableBlock(caption, header, tuple(map(_line, covariates)))
    return [Subheading("Balance of the classes"), table, figure]


def _line(row: Balance) -> tuple[str, ...]:
    is_share = "=" in row.name
    return (
        _covariate(row.name),
        _moments(row.mean_treated_before, row.sd_treated_before, is_share),
        _moments(row.mean_control_before, row.sd_control_before, is_share),
        _moments(row.mean_treated_after, row.sd_treated_after, is_share),
        _moments(row.mean_control_after, row.sd_control_after, is_share),
        _signed(row.smd_before),
        _signed(row.smd_after),
        number(row.variance_ratio_before, 2),
        number(row.variance_ratio_after, 2),
    )


def _covariate(name: str) -> str:
    """``sex=M`` → ``sex = M``."""
    return " = ".join(name.split("=", 1))


def _moments(mean: float | None, sd: float | None, is_share: bool) -> str:
    """``71.2 ± 6.3``, or ``45.0 %`` for the share of a category."""
    if mean is None:
        return MISSING
    if is_share:
        return percent(mean)
    if sd is None:
        return number(mean)
    digits = min(max(1 - math.floor(math.log10(sd)), 0), 6) if sd > 0 else 1  # two of the sd
    return f"{mean:.{digits}f} ± {sd:.{digits}f}".replace(" ", "\N{NO-BREAK SPACE}")


def _signed(value: float | None) -> str:
    if value is None:
        return MISSING
    return f"{value:+.2f}".replace("-", "−") if abs(value) >= 0.005 else "0.00"
