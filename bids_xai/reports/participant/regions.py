"""Relevance of one participant by region, beside what the test scans of the study had."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids_xai.bids.names import parse_name
from bids_xai.reports.blocks import Block, Folded, Subheading, Table, Text
from bids_xai.reports.participant.context import Origin, Sources, card_of, cohort_table, origin_of
from bids_xai.reports.participant.text_tables import read_table
from bids_xai.tables.numbers import MISSING, percent, plural

SHOWN = 15
_QUANTILES = ("density_q025", "density_q500", "density_q975")
_EITHER_END = 0.05  # of the scans lie beyond 2.5 and 97.5 %
_FEW = 40  # scans from which 2.5 % are one scan
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Cohort:
    """What the scans of each class had in the same regions.

    ranges : class → index of the region → (2.5, 50, 97.5 %) of density; scans : class → number
    member : whether the page's participant is among them
    """

    ranges: Mapping[str, Mapping[str, tuple[float, float, float]]]
    scans: Mapping[str, int]
    member: bool


def region_tables(path: Path, sources: Sources, place: str = "") -> list[Block]:
    """Return a table a model, method and atlas of a session; nothing without a model.

    path : the session's ``anat`` folder; place : what headings begin with
    """
    blocks: list[Block] = []
    for file in sorted(path.glob("*_regions.tsv")):
        entities = parse_name(file.name)[0]
        table = read_table(file, "region.tsv")
        if table is None or "model" not in entities:
            continue
        title = f"Regions of atlas {entities.get('atlas', MISSING)}"
        about = f"model {entities['model']}, method {table['method'].iloc[0]}"
        blocks.append(Subheading(f"{place}{title}, {about}"))
        found = _cohort(card_of(path, entities), entities, table, sources)
        if isinstance(found, str):
            blocks += [*_tables(table, None), Text(found, "note")]
        else:
            blocks += _tables(table, found)
    return blocks


def _cohort(
    card: Mapping[str, Any], entities: Mapping[str, str], table: Any, sources: Sources
) -> Cohort | str:
    """The study's test scans explained in the same way, or why there are none."""
    origin = origin_of(card, sources)
    if origin is None:
        return (
            "There is no cohort to compare with: the output folder of the study that trained "
            "this model is not at hand."
        )
    study, configuration = origin.study, str(card.get("configuration"))
    gain = cohort_table(study, "atlas/gain.tsv")
    if gain is None:
        return (
            f"There is no cohort to compare with: group/{study.name}/atlas/gain.tsv does not "
            "exist. The step “atlas” makes it (--steps atlas)."
        )
    method, atlas = str(table["method"].iloc[0]), entities.get("atlas", "")
    lines = gain[
        (gain["configuration"] == configuration)
        & (gain["method"] == method)
        & (gain["atlas"] == atlas)
        & (gain["merged"] == "false")
    ]
    if not len(lines) or _QUANTILES[0] not in lines.columns:
        return (
            f"There is no cohort to compare with: the study {study.name} has no regions of atlas "
            f"{atlas} by {method} for configuration {configuration}."
        )
    if not _same_way(origin, configuration, method, entities):
        return (
            f"There is no cohort to compare with: in the study {study.name} relevance by {method} "
            "starts elsewhere, has other options or lies in another template."
        )
    if not _same_regions(lines, table):
        return (
            f"There is no cohort to compare with: the atlas {atlas} of the study {study.name} has "
            "other regions."
        )
    return _ranges(origin, configuration, lines, sources)


def _same_way(origin: Origin, configuration: str, method: str, entities: Mapping[str, str]) -> bool:
    """Whether the study's maps have the label, method label and space of the participant's."""
    table = cohort_table(origin.study, "predictions.tsv")
    if table is None or not {"method", "warped"} <= set(table.columns):
        return False
    chosen = table[(table["configuration"] == configuration) & (table["method"] == method)]
    keys = ("label", "desc", "space")
    names = (parse_name(Path(name).name)[0] for name in chosen["warped"])
    ways = {tuple(name.get(key) for key in keys) for name in names}
    return ways == {tuple(entities.get(key) for key in keys)}


def _same_regions(lines: Any, table: Any) -> bool:
    """Whether labels, names and sizes on the template grid agree."""
    ours, theirs = (
        {(str(row["index"]), str(row["name"]), float(row["n_voxels"])) for _, row in one.iterrows()}
        for one in (table, lines[lines["group"] == lines["group"].iloc[0]])
    )
    return ours == theirs


def _ranges(origin: Origin, configuration: str, lines: Any, sources: Sources) -> Cohort:
    ranges, scans = {}, {}
    for name in origin.study.names:
        mine = lines[lines["group"] == name]
        if len(mine):
            values = zip(*(mine[column] for column in _QUANTILES), strict=True)
            ranges[name] = dict(zip(mine["index"], values, strict=True))
            scans[name] = int(mine["n"].iloc[0])
    tested = cohort_table(origin.study, "predictions.tsv")
    people = set(tested[tested["configuration"] == configuration]["participant_id"])
    return Cohort(ranges, scans, origin.same and f"sub-{sources.participant}" in people)


def _tables(table: Any, cohort: Cohort | None) -> list[Block]:
    """The leading regions, and the others behind a line that opens them."""
    ordered = table.sort_values(["density", "name"], ascending=[False, True], kind="stable")
    factor, unit = _factor(ordered["density"].abs().max())
    header = ["Region", f"Density{unit}", "Share"]
    if cohort:
        header[2:2] = ["Against the cohort"]
        header += [
            f"{name}, {plural(n, 'scan')}: 2.5 · 50 · 97.5 %{unit}"
            for name, n in cohort.scans.items()
        ]
    rows = tuple(_row(line, cohort, factor) for _, line in ordered.iterrows())
    rest = rows[SHOWN:]
    which = f"The {SHOWN} of {len(rows)} regions with most" if rest else "The regions by their"
    caption = (
        f"{which} relevance a voxel (density). Share: part of the relevance of the whole map. "
        "Where a map has negative relevance, the share says little."
    )
    blocks: list[Block] = [Table(caption, tuple(header), rows[:SHOWN])]
    if rest:
        folded = Table(f"Regions {SHOWN + 1} to {len(rows)}", tuple(header), rest)
        blocks.append(Folded(f"The other {plural(len(rest), 'region')}", folded))
    return [*blocks, *([Text(_told(table, cohort))] if cohort else [])]


def _row(line: Any, cohort: Cohort | None, factor: float) -> tuple[str, ...]:
    density = float(line["density"])
    cells = [str(line["name"]), _scaled(density, factor), percent(float(line["share"]))]
    if cohort:
        index = str(line["index"])
        cells[2:2] = [against(density, {c: r[index] for c, r in cohort.ranges.items()})]
        cells += [
            " · ".join(_scaled(value, factor) for value in known[index])
            for known in cohort.ranges.values()
        ]
    return tuple(cells)


def against(density: float, ranges: Mapping[str, tuple[float, float, float]]) -> str:
    """Say in words where a density lies: ``above NC, within AD``; ``n/a`` where it is not known.

    ranges : class → (2.5, 50, 97.5 %)
    """
    words = {}
    for name, (low, _, high) in ranges.items():
        if math.isnan(density) or math.isnan(low):
            return MISSING
        words[name] = "below" if density < low else "above" if density > high else "within"
    if len(set(words.values())) == 1:
        word = next(iter(words.values()))
        every = "both" if len(words) == 2 else "all"
        return f"{word} {next(iter(words)) if len(words) == 1 else every}"
    return ", ".join(f"{word} {name}" for name, word in words.items())


def _told(table: Any, cohort: Cohort) -> str:
    """How many regions lie outside, how many do by chance, and who the cohort is."""
    values = {str(row["index"]): float(row["density"]) for _, row in table.iterrows()}
    usable = [i for i, value in values.items() if not math.isnan(value)]
    counts = [
        f"{sum(not r[i][0] <= values[i] <= r[i][2] for i in usable)} outside the range of {name}"
        for name, r in cohort.ranges.items()
    ]
    text = (
        f"Of {plural(len(usable), 'region')} there are {' and '.join(counts)}; chance alone would "
        f"put about {_EITHER_END * len(usable):.1f} outside. The cohort: test scans of all splits "
        "of the same configuration, by the same method, on the same atlas."
    )
    if min(cohort.scans.values()) < _FEW:
        text += (
            f" With fewer than {_FEW} scans the outer quantiles are about the least and the "
            "greatest value, and chance puts more regions outside."
        )
    if cohort.member:
        text += " This participant's own test scans are among them."
    return text


def _factor(largest: float) -> tuple[float, str]:
    """The power of a thousand that makes densities readable, and words for the heading."""
    if not largest > 0:
        return 1.0, ""
    power = 3 * math.floor(math.log10(largest) / 3)
    return 10.0**power, f" (× 10{str(power).translate(_SUPERSCRIPT)})" if power else ""


def _scaled(value: float, factor: float) -> str:
    return MISSING if math.isnan(value) else f"{value / factor:.3g}"
