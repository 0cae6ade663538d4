"""The first lines of a study's page: who is in, what the scores are, what limits them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from markupsafe import Markup

from bids_xai.errors import BadDataError
from bids_xai.reports.blocks import Block, Items, Text
from bids_xai.reports.study.cohort import class_names, left_out_words, n_participants
from bids_xai.reports.study.spray import section as spray_section
from bids_xai.reports.study.spray.verdicts import is_suspicious
from bids_xai.reports.study.trust import FOLDER as TRUST_FOLDER
from bids_xai.reports.study.trust import trust
from bids_xai.reports.study_files import SectionMaker, StudyFiles, baselines, section, split_words
from bids_xai.tables.cohort import COHORT, CohortScan
from bids_xai.tables.numbers import percent, plural
from bids_xai.tables.predictions import PERFORMANCE, PERFORMANCE_SUMMARY, PerformanceSummary
from bids_xai.tables.spray import CLUSTER_VERDICTS
from bids_xai.tables.table import Table
from bids_xai.tables.trust import VERDICTS

Row = TypeVar("Row")

_SMALL_TEST = 30
_FEW_SPLITS = 5


@section("Summary")
def summary(study: StudyFiles) -> list[Block]:
    """Return what was done and what came out, in a few sentences."""
    blocks: list[Block] = [Text(_who(study)), Text(_best(study)), *_warnings(study)]
    note = (
        "A heatmap shows which voxels a model used. By itself it does not show that the model "
        "is right, or that these voxels are diseased."
    )
    return [*blocks, Text(note, "note")]


def _who(study: StudyFiles) -> str:
    rows = study.rows(COHORT)
    negative, positive = study.classes
    if not rows:
        return f"Study {study.name}: the cohort has not been selected yet."
    scans = [row for row in rows if row.included]
    names = sorted(class_names(study, scans), key=lambda name: not study.is_positive(name))
    sizes = " and ".join(
        f"{n} of {name}" for name, n in zip(names, _sizes(scans, names), strict=True)
    )
    tail = left_out_words([row for row in rows if not row.included])
    people = plural(n_participants(scans), "participant")
    aim = (
        f"Study {study.name} separates {positive} (positive class) from {negative}"
        f"{' (negative class)' if len(study.names) == 2 else ''}. It uses "
        if study.has_classes
        else f"Study {study.name} uses "
    )
    return f"{aim}{plural(len(scans), 'scan')} of {people}: {sizes}.{tail}"


def _sizes(scans: Sequence[CohortScan], names: Sequence[str]) -> list[int]:
    """Number of scans of each class."""
    return [sum(scan.class_name == name for scan in scans) for name in names]


def _warnings(study: StudyFiles) -> list[Block]:
    """How much speaks against the heatmaps, with links to it; nothing before the audit.

    The section that shows a table says so where it cannot be read.
    """
    failed = _n_lines(study, VERDICTS, TRUST_FOLDER, lambda row: row.passed is False)
    suspicious = _n_lines(study, CLUSTER_VERDICTS, "spray", is_suspicious)
    parts = [
        *_link(trust, failed, "check failed", "checks failed"),
        *_link(spray_section.spectral, suspicious, "suspicious cluster", "suspicious clusters"),
    ]
    if not parts:
        return []
    text = Markup("Evidence against the heatmaps: {}.").format(Markup(" and ").join(parts))
    return [Text(text, "problem" if failed or suspicious else "plain")]


def _link(maker: SectionMaker, n: int | None, singular: str, several: str) -> list[Markup]:
    if n is None:
        return []
    link = Markup('{} <a href="#{}">{}</a>')
    return [link.format(n, maker.anchor, singular if n == 1 else several)]


def _n_lines(
    study: StudyFiles, table: Table[Row], folder: str, counts: Callable[[Row], bool]
) -> int | None:
    """Lines of a table that count, ``None`` where there is no table."""
    try:
        rows = study.rows(table, folder)
    except BadDataError:
        return None
    return sum(map(counts, rows)) if rows else None


def _best(study: StudyFiles) -> str:
    tested = [
        (row.mean, row)
        for row in study.rows(PERFORMANCE_SUMMARY)
        if row.metric == "balanced_accuracy" and row.mean is not None
    ]
    if not tested:
        return "No configuration has been tested yet."
    _, best = max(tested, key=lambda pair: pair[0])
    others = baselines(study)
    n_baselines = sum(row.configuration in others for _, row in tested)
    sizes = {"configuration": len(tested) - n_baselines, "baseline": n_baselines}
    parts = [plural(n, kind) for kind, n in sizes.items() if n]
    several = len(tested) > 1
    compared = f"Of {' and '.join(parts)}, " if several else ""
    kind = "baseline " if best.configuration in others else ""
    caution = (
        " The best was chosen by its test scans, so its score is optimistic: new scans are likely "
        "to give a lower one."
        if several
        else ""
    )
    return (
        f"{compared}{kind}{best.configuration} has the highest mean balanced accuracy: "
        f"{_score(study, best)}; {100 / len(study.names):.0f} % would be chance level.{caution}"
    )


def _score(study: StudyFiles, row: PerformanceSummary) -> str:
    """``64.2 % ± 6.5 % (standard deviation) over 10 random splits``."""
    if row.n_splits <= 1:
        return f"{percent(row.mean)} on a single split"
    spread = f"{percent(row.sd)} (standard deviation)"
    return f"{percent(row.mean)} ± {spread} over {split_words(study, row.n_splits)}"


@section("Limits")
def limits(study: StudyFiles) -> list[Block]:
    """Return what the numbers of this very study do not allow to conclude."""
    sentences = [
        *_cohort_limits(study),
        *_test_limits(study),
        "Heatmaps of different configurations and splits come from different models. Their "
        "values are comparable only after scaling, and only as stated with each figure.",
        "The 2.5 and 97.5 percentiles describe the spread over splits of one data set. "
        "Splits share participants, so this is not a confidence interval for new patients.",
    ]
    return [Items(tuple(sentences))]


def _cohort_limits(study: StudyFiles) -> list[str]:
    rows = study.rows(COHORT)
    if not rows:
        return []
    scans = [row for row in rows if row.included]
    people, sentences = n_participants(scans), []
    if people < len(scans):
        sentences.append(
            f"{len(scans)} scans come from {people} participants: scans of one participant are "
            "not independent, and counts of scans look more certain than they are."
        )
    sizes = _sizes(scans, class_names(study, scans))
    if min(sizes) < max(sizes) / 2:
        sentences.append(
            f"The classes are unequal ({' and '.join(map(str, sizes))} scans): accuracy "
            "favours the larger one; use balanced accuracy."
        )
    return sentences


def _test_limits(study: StudyFiles) -> list[str]:
    rows = study.rows(PERFORMANCE)
    if not rows:
        return []
    sentences, splits = [], len({row.split for row in rows})
    if splits == 1:
        sentences.append("There is a single split: the spread over splits is unknown.")
    elif splits < _FEW_SPLITS:
        sentences.append(f"There are only {splits} splits: spread and percentiles are rough.")
    smallest = min(row.n_test for row in rows)
    if smallest < _SMALL_TEST:
        sentences.append(
            f"The smallest test set has {plural(smallest, 'scan')}, fewer than "
            f"{_SMALL_TEST}: one scan more or less is {percent(1 / max(smallest, 1))} of accuracy."
        )
    return sentences
