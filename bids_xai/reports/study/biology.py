"""Whether relevance follows the volumes of regions and the lesions of the scans."""

from __future__ import annotations

from collections.abc import Sequence

from bids_xai.reports.blocks import Block, Subheading, TableBlock, Text
from bids_xai.reports.study.rows import largest_first, text_of
from bids_xai.reports.study_files import StudyFiles, section
from bids_xai.tables.atlas import BIOLOGY, BiologyRow
from bids_xai.tables.numbers import count, number, percent

_SHOWN = 10
_MEASURES = {"volume": "volume of the region", "lesion_load": "lesion load"}


@section("Relevance and biology", "atlas")
def biology(study: StudyFiles) -> list[Block]:
    """Return the strongest correlations of relevance with volumes and lesion load."""
    rows = study.rows(BIOLOGY, "atlas")
    if not rows:
        text = (
            "Nothing to compare with: no atlas on the T1w images, no lesion masks and no table of "
            "volumes, or too few participants. The step “atlas” writes this table (--steps atlas)."
        )
        return [Text(text, "note")]
    blocks: list[Block] = []
    for measure, words in _MEASURES.items():
        part = [row for row in rows if row.measure == measure and row.group == study.classes[1]]
        if part:
            blocks += [Subheading(f"Relevance and {words}"), _correlations(study, part, words)]
    shares = [row for row in rows if row.measure == "lesion_share"]
    if shares:
        blocks += [Subheading("Relevance in lesions"), _lesion_shares(shares)]
    return blocks or [Text(f"Too few participants of {study.classes[1]}.", "note")]


def _correlations(study: StudyFiles, rows: Sequence[BiologyRow], words: str) -> TableBlock:
    strongest = largest_first(
        rows, lambda row: None if row.r is None else abs(row.r), lambda row: row.name
    )
    lines = tuple(
        (
            row.name,
            text_of(row.atlas),
            row.configuration,
            row.method,
            number(row.r),
            number(row.p_value),
            number(row.p_holm),
            count(row.n),
        )
        for row in strongest[:_SHOWN]
    )
    drawn = [row.n_permutations for row in rows if row.n_permutations is not None]
    caption = (
        f"Pearson's r of a region's relevance with the {words}, over participants of "
        f"{study.classes[1]}; the {len(lines)} of {len(rows)} furthest from zero. p by at most "
        f"{count(max(drawn, default=None))} permutations, then corrected by Holm over the regions "
        "of an atlas, but not over configurations and methods."
    )
    header = ("Region", "Atlas", "Configuration", "Method", "r", "p", "p, Holm", "Participants")
    return TableBlock(caption, header, lines)


def _lesion_shares(rows: Sequence[BiologyRow]) -> TableBlock:
    lines = tuple(
        (row.configuration, row.method, row.group, percent(row.mean), count(row.n)) for row in rows
    )
    caption = (
        "Fraction of the positive relevance that lies in the lesion masks, mean over participants."
    )
    header = ("Configuration", "Method", "Group", "In lesions", "Participants")
    return TableBlock(caption, header, lines)
