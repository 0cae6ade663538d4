"""Who is in the study, in plain words and in numbers, and what cannot be concluded from it."""

from __future__ import annotations

from typing import Any

from bids_xai.reports.page import Block, Items, Section, Table, Text
from bids_xai.reports.study import SETS, Study, natural
from bids_xai.reports.tables import mean_sd, number, percent, plural

_SMALL_TEST = 30
_FEW_SPLITS = 5


def summary(study: Study) -> Section:
    """Return what was done and found, in a few sentences."""
    blocks = [Text(text) for text in (_who(study), _best(study)) if text]
    note = (
        "A heatmap shows which voxels a model used. It does not show by itself that the model is "
        "right, nor that these voxels are ill."
    )
    return Section("Summary", (*blocks, Text(note, "note")))


def _who(study: Study) -> str:
    scans, left_out = study.included(), study.excluded()
    negative, positive = study.classes
    if scans is None:
        return f"Study {study.name}: the cohort has not been selected yet."
    counts = scans["class"].value_counts()
    tail = f" Left out: {plural(len(left_out), 'scan')}." if len(left_out) else ""
    people = plural(int(scans["participant_id"].nunique()), "participant")
    return (
        f"Study {study.name} separates {positive} (positive class) from {negative} (negative "
        f"class). It uses {plural(len(scans), 'scan')} of {people}: "
        f"{int(counts.get(positive, 0))} of {positive} and {int(counts.get(negative, 0))} of "
        f"{negative}.{tail}"
    )


def _best(study: Study) -> str:
    table = study.table("performance_summary.tsv")
    table = None if table is None else table[table["metric"] == "balanced_accuracy"]
    table = None if table is None else table[table["mean"].notna()]
    if table is None or not len(table):
        return "No configuration has been tested yet."
    best = table.loc[table["mean"].idxmax()]
    splits = int(best["n_splits"])
    spread = f" ± {percent(best['sd'])} (standard deviation)" if splits > 1 else ""
    many = f"over {splits} random splits" if splits > 1 else "on a single split"
    compared = f"Of {len(table)} configurations, " if len(table) > 1 else ""
    return (
        f"{compared}{best['configuration']} has the highest mean balanced accuracy: "
        f"{percent(best['mean'])}{spread} {many}; 50 % would be chance."
    )


def cohort(study: Study) -> Section:
    """Return counts, age and sex of either class, exclusions and the sizes of the sets."""
    scans, left_out = study.included(), study.excluded()
    if scans is None:
        return Section("Cohort", (study.missing("cohort.tsv"),))
    blocks: list[Block] = [_by_class(study, scans)]
    if len(left_out):
        grouped = left_out.groupby("reason")["participant_id"].agg(["size", "nunique"])
        rows = tuple((str(r), str(n), str(p)) for r, n, p in grouped.itertuples())
        blocks.append(Table("Scans left out", ("Reason", "Scans", "Participants"), rows))
    else:
        blocks.append(Text("No scan was left out."))
    blocks.append(_sets(study))
    return Section("Cohort", tuple(blocks))


def _by_class(study: Study, scans: Any) -> Table:
    groups = [scans[scans["class"] == name] for name in study.classes]
    rows = [
        ("Participants", *(str(g["participant_id"].nunique()) for g in groups)),
        ("Scans", *(str(len(g)) for g in groups)),
    ]
    if "age" in scans.columns:
        rows.append(("Age (years, mean ± sd over scans)", *(mean_sd(g["age"]) for g in groups)))
    if "sex" in scans.columns:
        rows.append(("Sex (participants)", *(_sexes(g) for g in groups)))
    return Table("Scans that were used, by class", ("", *study.classes), tuple(rows))


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


def limits(study: Study) -> Section:
    """Return what the numbers of this very study do not allow to conclude."""
    found = [
        *_cohort_limits(study),
        *_test_limits(study),
        "Heatmaps of different configurations and splits come from different models. Their "
        "values are comparable only after scaling, and only in the sense stated with each figure.",
        "The 2.5 and 97.5 percentiles describe the spread over random splits of one data set. "
        "Splits share participants, so this is no confidence interval for new patients.",
    ]
    return Section("Limits", (Items(tuple(found)),))


def _cohort_limits(study: Study) -> list[str]:
    scans = study.included()
    if scans is None:
        return []
    found = []
    people, counts = scans["participant_id"].nunique(), scans["class"].value_counts()
    if people < len(scans):
        found.append(
            f"{len(scans)} scans come from {people} participants: scans of one participant are "
            "not independent, and counts by scan look more certain than they are."
        )
    sizes = [int(counts.get(name, 0)) for name in study.classes]
    if min(sizes) < max(sizes) / 2:
        found.append(
            f"The classes are unequal ({sizes[0]} and {sizes[1]} scans): plain accuracy favours "
            "the larger one; read balanced accuracy."
        )
    return found


def _test_limits(study: Study) -> list[str]:
    table = study.table("performance.tsv")
    if table is None:
        return []
    found, splits = [], table["split"].nunique()
    if splits == 1:
        found.append("There is a single split: the spread over splits is unknown.")
    elif splits < _FEW_SPLITS:
        found.append(f"There are only {splits} splits: spread and percentiles are rough.")
    smallest = table["n_test"].min()
    if smallest < _SMALL_TEST:
        found.append(
            f"The smallest test set has {plural(int(smallest), 'scan')}, fewer than "
            f"{_SMALL_TEST}: one scan more or less is {percent(1 / max(smallest, 1))} of accuracy."
        )
    return found


def settings(study: Study) -> Section:
    """Return the settings and versions that the study file on disk records."""
    if not study.description:
        return Section("Settings and versions", (study.missing("study.json", "explain"),))
    shown = ("template", "resolution", "method", "atlas", "seed")
    rows = [(key.capitalize(), number(study.description.get(key))) for key in shown]
    versions = study.description.get("versions", {})
    if not isinstance(versions, dict):
        versions = {"bids_xai": versions}
    blocks: list[Block] = [Table("Settings", ("Setting", "Value"), tuple(rows))]
    if versions:
        lines = tuple((str(k), f"v{v}" if str(v)[:1].isdigit() else str(v))
                      for k, v in versions.items())  # fmt: skip
        blocks.append(Table("Versions", ("Software", "Version"), lines))
    return Section("Settings and versions", tuple(blocks))
