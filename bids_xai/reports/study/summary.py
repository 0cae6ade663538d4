"""The first lines of a study's page: who is in, what was found, what limits it."""

from __future__ import annotations

from markupsafe import Markup

from bids_xai.errors import BadDataError
from bids_xai.reports.blocks import Block, Items, Text
from bids_xai.reports.study.cohort import _left_out, class_names
from bids_xai.reports.study.spray import SUSPICIOUS, VERDICTS, spectral
from bids_xai.reports.study.trust import CHECKS, trust
from bids_xai.reports.study_files import Study, baselines, section, split_words
from bids_xai.tables.numbers import percent, plural, read_rows

_SMALL_TEST = 30


_FEW_SPLITS = 5


@section("Summary")
def summary(study: Study) -> list[Block]:
    """Return what was done and found, in a few sentences."""
    blocks: list[Block] = [Text(_who(study)), Text(_best(study)), *_warnings(study)]
    note = (
        "A heatmap shows which voxels a model used. It does not show by itself that the model is "
        "right, or that these voxels are ill."
    )
    return [*blocks, Text(note, "note")]


def _who(study: Study) -> str:
    scans, left_out = study.included(), study.excluded()
    negative, positive = study.classes
    if scans is None:
        return f"Study {study.name}: the cohort has not been selected yet."
    counts = scans["class"].value_counts()
    names = sorted(class_names(study, scans), key=lambda name: not study.is_positive(name))
    sizes = " and ".join(f"{int(counts.get(name, 0))} of {name}" for name in names)
    tail = _left_out(left_out)
    people = plural(int(scans["participant_id"].nunique()), "participant")
    aim = (
        f"Study {study.name} separates {positive} (positive class) from {negative}"
        f"{' (negative class)' if len(study.names) == 2 else ''}. It uses "
        if study.knows_classes
        else f"Study {study.name} uses "
    )
    return f"{aim}{plural(len(scans), 'scan')} of {people}: {sizes}.{tail}"


def _warnings(study: Study) -> list[Block]:
    """How many findings speak against the heatmaps, with links to them; nothing before the audit.

    A table that cannot be read is told by the section that shows it.
    """
    found = [
        (trust, "check failed", "checks failed", _n_lines(study, CHECKS, "passed", "false")),
        (
            spectral,
            "suspicious cluster",
            "suspicious clusters",
            _n_lines(study, VERDICTS, "finding", SUSPICIOUS),
        ),
    ]
    said = [
        Markup('{} <a href="#{}">{}</a>').format(n, made.anchor, one if n == 1 else many)
        for made, one, many, n in found
        if n is not None
    ]
    if not said:
        return []
    alarm = any(n for *_, n in found)
    text = Markup("What speaks against the heatmaps: {}.").format(Markup(" and ").join(said))
    return [Text(text, "problem" if alarm else "plain")]


def _n_lines(study: Study, table: str, column: str, value: str) -> int | None:
    """Lines of a table with a value, ``None`` where there is no table."""
    try:
        rows = read_rows(study.folder / table)
    except BadDataError:
        return None
    return sum(row[column] == value for row in rows) if rows else None


def _best(study: Study) -> str:
    table = study.table("performance_summary.tsv")
    table = None if table is None else table[table["metric"] == "balanced_accuracy"]
    table = None if table is None else table[table["mean"].notna()]
    if table is None or not len(table):
        return "No configuration has been tested yet."
    best = table.loc[table["mean"].idxmax()]
    splits = int(best["n_splits"])
    spread = f" ± {percent(best['sd'])} (standard deviation)" if splits > 1 else ""
    many = f"over {split_words(study, splits)}" if splits > 1 else "on a single split"
    others = baselines(study)
    kinds = {
        "configuration": (~table["configuration"].isin(list(others))).sum(),
        "baseline": table["configuration"].isin(list(others)).sum(),
    }
    parts = [plural(int(n), kind) for kind, n in kinds.items() if n]
    compared = f"Of {' and '.join(parts)}, " if len(table) > 1 else ""
    kind = "baseline " if best["configuration"] in others else ""
    chosen = (
        " The best was chosen by its test scans, so its score is optimistic: new scans are likely "
        "to give less."
        if len(table) > 1
        else ""
    )
    return (
        f"{compared}{kind}{best['configuration']} has the highest mean balanced accuracy: "
        f"{percent(best['mean'])}{spread} {many}; {100 / len(study.names):.0f} % would be chance."
        f"{chosen}"
    )


@section("Limits")
def limits(study: Study) -> list[Block]:
    """Return what the numbers of this very study do not allow to conclude."""
    found = [
        *_cohort_limits(study),
        *_test_limits(study),
        "Heatmaps of different configurations and splits come from different models. Their "
        "values are comparable only after scaling, and only in the sense stated with each figure.",
        "The 2.5 and 97.5 percentiles describe the spread over splits of one data set. "
        "Splits share participants, so this is no confidence interval for new patients.",
    ]
    return [Items(tuple(found))]


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
    sizes = [int(counts.get(name, 0)) for name in class_names(study, scans)]
    if min(sizes) < max(sizes) / 2:
        found.append(
            f"The classes are unequal ({' and '.join(map(str, sizes))} scans): plain accuracy "
            "favours the larger one; read balanced accuracy."
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
