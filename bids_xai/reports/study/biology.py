"""Whether relevance follows what is known of the scans: volumes of regions, lesions."""

from __future__ import annotations

from typing import Any

from bids_xai.reports.blocks import Block, Subheading, Table, Text
from bids_xai.reports.study_files import Study, section
from bids_xai.tables.numbers import MISSING, count, number, percent

_SHOWN = 10
_MEASURES = {"volume": "volume of the region", "lesion_load": "lesion load"}


@section("Relevance and biology", "atlas")
def biology(study: Study) -> list[Block]:
    """Return the strongest correlations of relevance with volumes and lesion load."""
    table = study.table("atlas/biology.tsv")
    if table is None:
        text = (
            "Nothing to compare with: no atlas on the T1w images, no lesion masks and no table of "
            "volumes, or too few participants. The step “atlas” makes this table (--steps atlas)."
        )
        return [Text(text, "note")]
    blocks: list[Block] = []
    for measure, words in _MEASURES.items():
        mine = table[(table["measure"] == measure) & (table["group"] == study.classes[1])]
        if len(mine):
            blocks += [Subheading(f"Relevance and {words}"), _correlations(study, mine, words)]
    shares = table[table["measure"] == "lesion_share"]
    if len(shares):
        blocks += [Subheading("Relevance in lesions"), _lesion_shares(shares)]
    return blocks or [Text(f"Too few participants of {study.classes[1]}.", "note")]


def _correlations(study: Study, table: Any, words: str) -> Table:
    order = table.assign(size=table["r"].abs()).sort_values(
        ["size", "name"], ascending=[False, True], kind="stable"
    )
    rows = tuple(
        (
            str(line["name"]),
            str(line["atlas"]),
            str(line["configuration"]),
            str(line["method"]),
            number(float(line["r"])),
            number(float(line["p_value"])),
            number(float(line["p_holm"])),
            count(float(line["n"])),
        )
        for _, line in order.head(_SHOWN).iterrows()
    )
    drawn = count(float(table["n_permutations"].max()))
    caption = (
        f"Pearson's r of a region's relevance with the {words}, over participants of "
        f"{study.classes[1]}; the {len(rows)} of {len(table)} furthest from zero. p by at most "
        f"{drawn} permutations, then corrected by Holm over the regions of an atlas, but not over "
        "configurations and methods."
    )
    header = ("Region", "Atlas", "Configuration", "Method", "r", "p", "p, Holm", "Participants")
    return Table(caption, header, rows)


def _lesion_shares(table: Any) -> Table:
    rows = tuple(
        (
            str(line["configuration"]),
            str(line["method"]),
            str(line["group"]) or MISSING,
            percent(float(line["mean"])),
            count(float(line["n"])),
        )
        for _, line in table.iterrows()
    )
    caption = "Part of the positive relevance that lies in the lesion masks, mean of participants."
    header = ("Configuration", "Method", "Group", "In lesions", "Participants")
    return Table(caption, header, rows)
