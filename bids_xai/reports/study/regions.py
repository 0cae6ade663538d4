"""Which brain regions hold the relevance: bars, spread over scans, shares, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bids_xai.figures.regions import RegionDensity, region_bars
from bids_xai.reports.blocks import Block, Picture, Subheading, TableBlock, Text, embedded
from bids_xai.reports.study.region_spread import first_method, scan_sums, spreads
from bids_xai.reports.study.rows import grouped, largest_first
from bids_xai.reports.study_files import StudyFiles, section
from bids_xai.tables.atlas import GAIN, RegionGain
from bids_xai.tables.numbers import MISSING, count, number, percent, plural

_TOP = 10
_SHARES = 4


@dataclass(frozen=True)
class _LeadingRegion:
    """A region in scans of the positive class and, where it has a line, of the negative one."""

    positive: RegionGain
    negative: RegionGain | None

    @property
    def negative_density(self) -> float | None:
        return None if self.negative is None else self.negative.mean_density

    @property
    def negative_share(self) -> float | None:
        return None if self.negative is None else self.negative.mean_share


@section("Regions", "atlas")
def regions(study: StudyFiles) -> list[Block]:
    """Return the regions with most relevance: by density, with their spread, by share."""
    gains = study.rows(GAIN, "atlas")
    if not gains:
        return [study.missing(GAIN, "atlas")]
    if not any(gain.group == study.classes[1] for gain in gains):
        text = f"No scan of the class {study.classes[1]} has region values."
        return [Text(text, "note")]
    blocks: list[Block] = _no_gain(gains)
    first = first_method(study, [gain.method for gain in gains])
    sums = scan_sums(study, first)
    for (method, atlas), part in sorted(grouped(gains, lambda g: (g.method, g.atlas)).items()):
        single = [gain for gain in part if not gain.merged]
        joined = [gain for gain in part if gain.merged]
        by_name = grouped(single, lambda gain: gain.configuration)
        tops = {name: _top(study, by_name.get(name, ())) for name in study.identifiers}
        tops = {name: top for name, top in tops.items() if top}
        if not tops:
            continue
        blocks += [Subheading(f"Method {method}, atlas {atlas}"), _bars(study, tops, atlas)]
        if method == first and sums is not None:
            labels = dict.fromkeys((gain.index, gain.name) for gain in single)
            blocks += spreads(study, atlas, list(labels), sums)
        blocks += [_region_table(study, name, top) for name, top in tops.items()]
        blocks.append(_shares(study, joined or single))
    return blocks


def _no_gain(gains: Sequence[RegionGain]) -> list[Block]:
    missing = sum(gain.gain is None for gain in gains)
    if not missing:
        return []
    text = (
        f"The gain is n/a in {missing} of {plural(len(gains), 'line')} of gain.tsv: there "
        "the controls have almost no relevance, less than a millionth of that of all regions, "
        "and a ratio would be meaningless."
    )
    return [Text(text, "note")]


def _top(study: StudyFiles, gains: Sequence[RegionGain]) -> list[_LeadingRegion]:
    """The regions of a configuration with most relevance a voxel in the positive class."""
    negative = {(g.index, g.name): g for g in gains if g.group == study.classes[0]}
    positive = [gain for gain in gains if gain.group == study.classes[1]]
    leading = largest_first(positive, lambda gain: gain.mean_density, lambda gain: gain.name)
    return [_LeadingRegion(g, negative.get((g.index, g.name))) for g in leading[:_TOP]]


def _bars(study: StudyFiles, tops: Mapping[str, Sequence[_LeadingRegion]], atlas: str) -> Picture:
    panels = {
        name: RegionDensity(
            [region.positive.name for region in top],
            np.array([region.negative_density for region in top], float),
            np.array([region.positive.mean_density for region in top], float),
            np.array([region.positive.gain for region in top], float),
        )
        for name, top in tops.items()
    }
    image = region_bars(panels, study.classes, "mean relevance per voxel")
    described = f"Relevance per voxel in the ten leading regions of atlas {atlas}, by configuration"
    caption = (
        f"Regions ordered by mean relevance per voxel in scans of {study.classes[1]}. Filled: "
        f"{study.classes[1]}; hatched: {study.classes[0]}. × is the gain, the ratio of the mean "
        "sums of both classes."
    )
    return embedded(image, described, caption)


def _region_table(study: StudyFiles, identifier: str, top: Sequence[_LeadingRegion]) -> TableBlock:
    negative, positive = study.classes
    header = (
        "Region",
        "Voxels",
        f"Density {positive}",
        f"Density {negative}",
        f"Share {positive}",
        f"Share {negative}",
        "Gain",
    )
    rows = tuple(
        (
            region.positive.name,
            count(region.positive.n_voxels),
            number(region.positive.mean_density),
            number(region.negative_density),
            percent(region.positive.mean_share),
            percent(region.negative_share),
            number(region.positive.gain),
        )
        for region in top
    )
    caption = (
        f"Configuration {identifier}: the {len(rows)} regions with the most relevance per "
        "voxel (density) in scans of the positive class. Share: fraction of the relevance of the "
        "whole map."
    )
    return TableBlock(caption, header, rows)


def _shares(study: StudyFiles, gains: Sequence[RegionGain]) -> TableBlock:
    """The leading regions of each configuration by the sum of their relevance."""
    by_name = grouped(gains, lambda gain: gain.configuration)
    rows = []
    for name in study.identifiers:
        if name in by_name:
            groups = grouped(by_name[name], lambda gain: gain.group)
            cells = (_leading_shares(groups.get(g, ())) for g in reversed(study.classes))
            rows.append((name, *cells))
    caption = (
        f"The {_SHARES} regions with the most relevance by configuration, left and right "
        "combined where the atlas separates them. In brackets: mean share of the relevance of the "
        "whole map; for maps with negative relevance it says little."
    )
    return TableBlock(caption, ("Configuration", *reversed(study.classes)), tuple(rows))


def _leading_shares(gains: Sequence[RegionGain]) -> str:
    leading = largest_first(gains, lambda gain: gain.mean_sum, lambda gain: gain.name)[:_SHARES]
    return "; ".join(f"{g.name} ({percent(g.mean_share)})" for g in leading) or MISSING
