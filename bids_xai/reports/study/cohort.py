"""Who is in the study, in plain words and in numbers, and what cannot be concluded from it."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from bids_xai.figures.balance import balance_dots
from bids_xai.reports.blocks import Block, Subheading, Table, Text, embedded
from bids_xai.reports.study_files import SETS, Study, natural, section
from bids_xai.tables.numbers import MISSING, mean_sd, number, percent, plural

_STAGES = (".*(does not meet|needed for): ", "quality: ", "undersampled: ", "matching: ")
_MOST_REASONS = 6
_GROUPS = ("treated", "control")  # as the matching calls the positive class and the others


def class_names(study: Study, scans: Any) -> tuple[str, ...]:
    """The study's classes; those of its scans where no file says more."""
    return study.names if study.knows_classes else tuple(sorted(scans["class"].unique()))


def _left_out(rows: Any) -> str:
    parts = [plural(_n_scans(rows), "scan")] if _n_scans(rows) else []
    if _n_scans(rows) < len(rows):
        parts.append(f"{plural(len(rows) - _n_scans(rows), 'participant')} without a map")
    return f" Left out: {' and '.join(parts)}." if parts else ""


def _n_scans(rows: Any) -> int:
    """Lines of the cohort that are scans: the others are participants without any."""
    return int((rows["map"] != MISSING).sum()) if "map" in rows.columns else len(rows)


@section("Cohort")
def cohort(study: Study) -> list[Block]:
    """Return who was left out and why, counts, age and sex of the classes, balance and sets."""
    scans, left_out = study.included(), study.excluded()
    if scans is None:
        return [study.missing("cohort.tsv")]
    return [
        _flow(study, left_out) if len(left_out) else Text("No scan was left out."),
        _by_class(study, scans),
        *_balance(study),
        _sets(study),
    ]


def _flow(study: Study, left_out: Any) -> Table:
    """From all considered to those used; reasons in the order in which the rules are applied."""
    remaining = study.table("cohort.tsv")
    rows = [("Considered", *_sizes(remaining), *_sizes(remaining))]
    for label, part in _reasons(left_out):
        remaining = remaining.drop(part.index)
        rows.append((f"Left out: {label}", *_sizes(part), *_sizes(remaining)))
    rows.append(("Used", *_sizes(remaining), *_sizes(remaining)))
    header = ("Step", "Scans", "Participants", "Scans remaining", "Participants remaining")
    caption = (
        "From all that was considered to what was used. A participant counts where any scan is "
        "concerned, and remains as long as a scan does."
    )
    return Table(caption, header, tuple(rows))


def _sizes(rows: Any) -> tuple[str, str]:
    return str(_n_scans(rows)), str(rows["participant_id"].nunique())


def _reasons(left_out: Any) -> list[tuple[str, Any]]:
    """Reason → its lines: the rules in order, their frequent reasons first, rare ones together."""
    stages = left_out["reason"].map(_stage)
    found = []
    for stage in sorted(stages.unique()):
        rows = left_out[stages == stage]
        counts = rows["reason"].value_counts()
        order = sorted(counts.index, key=lambda reason: (-counts[reason], reason))
        # a lone rare reason takes no more room than a line about it
        shown = order if len(order) <= _MOST_REASONS + 1 else order[:_MOST_REASONS]
        found += [(str(reason), rows[rows["reason"] == reason]) for reason in shown]
        rest = rows[~rows["reason"].isin(shown)]
        if len(rest):
            kind = "quality, " if stage == _STAGES.index("quality: ") + 1 else ""
            found.append((f"{kind}{len(order) - len(shown)} other reasons", rest))
    return found


def _stage(reason: str) -> int:
    """Place of the rule that gives such a reason: 0 for class and files."""
    return next((i for i, start in enumerate(_STAGES, 1) if re.match(start, reason)), 0)


def _balance(study: Study) -> list[Block]:
    """How alike the classes are before and after matching; nothing where nobody was matched."""
    table = study.table("balance.tsv")
    if table is None:
        return []
    negative, positive = study.classes
    times = ("before", "after")
    rows = tuple(
        (
            _covariate(line["name"]),
            *(_moments(line, f"{group}_{when}") for when in times for group in _GROUPS),
            *(_signed(line[f"smd_{when}"]) for when in times),
            *(number(float(line[f"variance_ratio_{when}"]), 2) for when in times),
        )
        for _, line in table.iterrows()
    )
    header = (
        "Covariate",
        *(f"{group} {when}" for when in times for group in (positive, negative)),
        *(f"{what} {when}" for what in ("SMD", "Variance ratio") for when in times),
    )
    caption = (
        f"Participants of {positive} and {negative} before and after matching: mean ± standard "
        "deviation, or share. SMD, standardised mean difference: of the means, in standard "
        "deviations before matching; 0 is equal. Variance ratio: 1 is equal."
    )
    names = [_covariate(name) for name in table["name"]]
    before, after = (table[f"smd_{when}"].to_numpy() for when in ("before", "after"))
    described = "Standardised mean differences before and after matching: " + "; ".join(
        f"{name} {_signed(a)} and {_signed(b)}"
        for name, a, b in zip(names, before, after, strict=True)
    )
    shown = (
        f"Hollow: before matching, filled: after. Right of 0, {positive} has more. Grey: within "
        "±0.1, which is often called balanced (Austin 2009)."
    )
    figure = embedded(balance_dots(names, before, after), described, shown)
    return [Subheading("Balance of the classes"), Table(caption, header, rows), figure]


def _covariate(name: str) -> str:
    """``sex=M`` → ``sex = M``."""
    return " = ".join(str(name).split("=", 1))


def _moments(line: Any, group: str) -> str:
    """``71.2 ± 6.3``, or ``45.0 %`` for the share of a category."""
    mean, sd = float(line[f"mean_{group}"]), float(line[f"sd_{group}"])
    if np.isnan(mean):
        return MISSING
    if "=" in line["name"]:
        return percent(mean)
    if np.isnan(sd):
        return number(mean)
    digits = min(max(1 - math.floor(math.log10(sd)), 0), 6) if sd > 0 else 1  # two of the sd
    return f"{mean:.{digits}f} ± {sd:.{digits}f}".replace(" ", "\N{NO-BREAK SPACE}")


def _signed(value: float) -> str:
    if np.isnan(value):
        return MISSING
    return f"{value:+.2f}".replace("-", "−") if abs(value) >= 0.005 else "0.00"


def _by_class(study: Study, scans: Any) -> Table:
    names = class_names(study, scans)
    groups = [scans[scans["class"] == name] for name in names]
    rows = [
        ("Participants", *(str(g["participant_id"].nunique()) for g in groups)),
        ("Scans", *(str(len(g)) for g in groups)),
    ]
    if "age" in scans.columns:
        rows.append(("Age (years, mean ± sd over scans)", *(mean_sd(g["age"]) for g in groups)))
    if "sex" in scans.columns:
        rows.append(("Sex (participants)", *(_sexes(g) for g in groups)))
    return Table("Scans that were used, by class", ("", *names), tuple(rows))


def _sexes(scans: Any) -> str:
    people = scans.drop_duplicates("participant_id")
    return ", ".join(f"{n} {sex}" for sex, n in sorted(people["sex"].value_counts().items()))


def _sets(study: Study) -> Block:
    splits = study.table("splits.tsv")
    if splits is None:
        return study.missing("splits.tsv")
    counts = splits.groupby(["split", "set"])["participant_id"].nunique()
    rows = tuple(
        (name, *(str(int(counts.get((name, part), 0))) for part in SETS))
        for name in sorted(splits["split"].unique(), key=natural)
    )
    header = ("Split", *(part.capitalize() for part in SETS))
    shared = int((splits.groupby(["split", "participant_id"])["set"].nunique() > 1).sum())
    checked = (
        f"WRONG: {plural(shared, 'participant')} in two sets of one split"
        if shared
        else "checked: nobody is in two sets of one split"
    )
    return Table(f"Participants in each set ({checked})", header, rows)
