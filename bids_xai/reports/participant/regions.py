"""Relevance of one participant by region, beside what the test scans of the study had."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bids_xai.bids.names import parse_name
from bids_xai.reports.blocks import Block, Folded, Subheading, TableBlock, Text
from bids_xai.reports.participant.context import (
    ModelStudy,
    Sources,
    study_of,
    study_rows,
    used_model,
)
from bids_xai.reports.participant.model import UsedModel
from bids_xai.tables.atlas import GAIN, REGIONS_OF_SCAN, RegionGain, RegionRow
from bids_xai.tables.numbers import MISSING, percent, plural
from bids_xai.tables.predictions import PREDICTIONS

SHOWN = 15
_EITHER_END = 0.05  # of the scans lie beyond 2.5 and 97.5 %
_SCANS_FOR_QUANTILES = 40  # scans from which 2.5 % are one scan
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_EXPLANATION = ("label", "desc", "space")  # what a heatmap is of


class DensityRange(NamedTuple):
    """Quantiles of density over scans: 2.5, 50 and 97.5 %; NaN where there is none."""

    low: float
    median: float
    high: float


@dataclass(frozen=True)
class CohortRanges:
    """What the scans of each class had in the same regions.

    ranges : class → index of the region → range of density; scans : class → number
    member : whether the page's participant is among them
    """

    ranges: Mapping[str, Mapping[int, DensityRange]]
    scans: Mapping[str, int]
    member: bool


def region_tables(path: Path, sources: Sources, prefix: str = "") -> list[Block]:
    """Return a table a model, method and atlas of a session; nothing without a model.

    path : the session's ``anat`` folder; prefix : what headings begin with
    Raises :class:`BadDataError` for a table that is damaged.
    """
    blocks: list[Block] = []
    for file in sorted(path.glob("*_regions.tsv")):
        entities = parse_name(file.name)[0]
        regions = REGIONS_OF_SCAN.read(file)
        if not regions or "model" not in entities:
            continue
        title = f"Regions of atlas {entities.get('atlas', MISSING)}"
        explanation = f"model {entities.get('model')}, method {regions[0].method}"
        blocks.append(Subheading(f"{prefix}{title}, {explanation}"))
        cohort = _cohort(used_model(path, entities), entities, regions, sources)
        if isinstance(cohort, str):
            blocks += [*_tables(regions, None), Text(cohort, "note")]
        else:
            blocks += _tables(regions, cohort)
    return blocks


def _cohort(
    model: UsedModel | None,
    entities: Mapping[str, str],
    regions: Sequence[RegionRow],
    sources: Sources,
) -> CohortRanges | str:
    """The study's test scans explained in the same way, or why there are none."""
    origin = study_of(model, sources)
    if model is None or origin is None:
        return (
            "There is no cohort to compare with: the output folder of the study that "
            "trained this model is not available."
        )
    study, configuration = origin.study, str(model.configuration)
    gains = study_rows(study, GAIN, "atlas")
    if not gains:
        return (
            f"There is no cohort to compare with: group/{study.name}/atlas/gain.tsv does not "
            "exist. The step “atlas” writes it (--steps atlas)."
        )
    method, atlas = regions[0].method, entities.get("atlas", "")
    lines = [
        row
        for row in gains
        if (row.configuration, row.method, row.atlas) == (configuration, method, atlas)
        and not row.merged
    ]
    if not lines:
        return (
            f"There is no cohort to compare with: the study {study.name} has no regions of atlas "
            f"{atlas} by {method} for configuration {configuration}."
        )
    if not _explained_alike(origin, configuration, method, entities):
        return (
            f"There is no cohort to compare with: in the study {study.name} relevance by {method} "
            "starts elsewhere, has other options or is in another template space."
        )
    if not _same_regions(lines, regions):
        return (
            f"There is no cohort to compare with: the atlas {atlas} of the study {study.name} has "
            "other regions."
        )
    return _ranges(origin, configuration, lines, sources)


def _explained_alike(
    origin: ModelStudy, configuration: str, method: str, entities: Mapping[str, str]
) -> bool:
    """Whether the study's maps have the label, method label and space of the participant's."""
    names = (
        parse_name(row.warped_heatmap.name)[0] if row.warped_heatmap else {}
        for row in study_rows(origin.study, PREDICTIONS)
        if (row.configuration, row.method) == (configuration, method)
    )
    explanations = {tuple(name.get(key) for key in _EXPLANATION) for name in names}
    return explanations == {tuple(entities.get(key) for key in _EXPLANATION)}


def _same_regions(lines: Sequence[RegionGain], regions: Sequence[RegionRow]) -> bool:
    """Whether labels, names and sizes on the template grid agree."""
    of_study, of_scan = (
        {(row.index, row.name, row.n_voxels) for row in rows}
        for rows in ([row for row in lines if row.group == lines[0].group], regions)
    )
    return of_study == of_scan


def _ranges(
    origin: ModelStudy, configuration: str, lines: Sequence[RegionGain], sources: Sources
) -> CohortRanges:
    ranges, scans = {}, {}
    for name in origin.study.names:
        if of_class := [row for row in lines if row.group == name]:
            ranges[name] = {row.index: _range_of(row) for row in of_class}
            scans[name] = of_class[0].n
    predictions = study_rows(origin.study, PREDICTIONS)
    people = {row.participant_id for row in predictions if row.configuration == configuration}
    return CohortRanges(ranges, scans, origin.same and f"sub-{sources.participant}" in people)


def _range_of(row: RegionGain) -> DensityRange:
    return DensityRange(*map(_number, (row.density_q025, row.density_q500, row.density_q975)))


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _tables(regions: Sequence[RegionRow], cohort: CohortRanges | None) -> list[Block]:
    """The leading regions, and the others behind a line that opens them."""
    ordered = sorted(regions, key=lambda row: (row.density is None, -(row.density or 0), row.name))
    densities = [abs(row.density) for row in regions if row.density is not None]
    factor, unit = _factor(max(densities, default=0.0))
    header = ["Region", f"Density{unit}", "Share"]
    if cohort:
        header[2:2] = ["Against the cohort"]
        header += [
            f"{name}, {plural(n, 'scan')}: 2.5 · 50 · 97.5 %{unit}"
            for name, n in cohort.scans.items()
        ]
    rows = tuple(_row(row, cohort, factor) for row in ordered)
    rest = rows[SHOWN:]
    which = f"The {SHOWN} of {len(rows)} regions with most" if rest else "The regions by their"
    caption = (
        f"{which} relevance per voxel (density). Share: fraction of the relevance of the whole "
        "map. Where a map has negative relevance, the share says little."
    )
    blocks: list[Block] = [TableBlock(caption, tuple(header), rows[:SHOWN])]
    if rest:
        folded = TableBlock(f"Regions {SHOWN + 1} to {len(rows)}", tuple(header), rest)
        blocks.append(Folded(f"The other {plural(len(rest), 'region')}", folded))
    return [*blocks, *([Text(_cohort_words(regions, cohort))] if cohort else [])]


def _row(row: RegionRow, cohort: CohortRanges | None, factor: float) -> tuple[str, ...]:
    density = _number(row.density)
    cells = [row.name, _scaled(density, factor), percent(row.share)]
    if cohort:
        of_region = {name: ranges[row.index] for name, ranges in cohort.ranges.items()}
        cells[2:2] = [against(density, of_region)]
        cells += [
            " · ".join(_scaled(value, factor) for value in density_range)
            for density_range in of_region.values()
        ]
    return tuple(cells)


def against(density: float, ranges: Mapping[str, DensityRange]) -> str:
    """Say in words where a density lies: ``above NC, within AD``; ``n/a`` without a value.

    ranges : class → range
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


def _cohort_words(regions: Sequence[RegionRow], cohort: CohortRanges) -> str:
    """How many regions lie outside, how many do by chance, and who the cohort is."""
    values = {row.index: row.density for row in regions if row.density is not None}
    outside = {
        name: sum(not r[i].low <= value <= r[i].high for i, value in values.items())
        for name, r in cohort.ranges.items()
    }
    counts = [f"{n} outside the range of {name}" for name, n in outside.items()]
    text = (
        f"Of {plural(len(values), 'region')} there are {' and '.join(counts)}; chance alone would "
        f"put about {_EITHER_END * len(values):.1f} outside. The cohort: test scans of all splits "
        "of the same configuration, by the same method, on the same atlas."
    )
    if min(cohort.scans.values()) < _SCANS_FOR_QUANTILES:
        text += (
            f" With fewer than {_SCANS_FOR_QUANTILES} scans the outer quantiles are about the "
            "least and the greatest value, and chance puts more regions outside."
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
