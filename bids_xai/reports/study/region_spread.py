"""How the relevance of regions spreads over single scans, from ``regions.tsv``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.arrays import Bools, Floats, Ints
from bids_xai.core.regions.names import joined_regions, single_regions
from bids_xai.figures.regions import RegionPanel, region_violins
from bids_xai.reports.blocks import Block, Picture, embedded
from bids_xai.reports.study.rows import grouped
from bids_xai.reports.study_files import StudyFiles
from bids_xai.tables.atlas import FINGERPRINTS, REGIONS, Fingerprint
from bids_xai.tables.columns import columns_of
from bids_xai.tables.numbers import number, plural

_SPREAD = 25


@dataclass(frozen=True)
class ScanSums:
    """Relevance of single scans by label of an atlas, one line each, every field (n,).

    configuration, atlas : their names as arrays of text
    scan : number of the participant's session and split, in the order of the file
    is_positive : whether the scan is of the positive class
    label : label value; n_voxels : of the region; relevance : its sum, NaN where undefined
    """

    configuration: NDArray[np.object_]
    atlas: NDArray[np.object_]
    scan: Ints
    is_positive: Bools
    label: Ints
    n_voxels: Ints
    relevance: Floats

    def where(self, lines: Bools) -> ScanSums:
        """Return the lines of a mask, (n,)."""
        return ScanSums(
            self.configuration[lines],
            self.atlas[lines],
            self.scan[lines],
            self.is_positive[lines],
            self.label[lines],
            self.n_voxels[lines],
            self.relevance[lines],
        )


@dataclass(frozen=True)
class ScanDensities:
    """Relevance a voxel of a scan in a region (sides joined where it has two), every field (n,).

    region : its number among the regions of the atlas
    """

    region: Ints
    is_positive: Bools
    density: Floats


def first_method(study: StudyFiles, methods: Sequence[str]) -> str:
    """Return the study's first method, for which single scans are shown.

    methods : those of a table, of which the first stands in where the study's is not among them
    """
    named = study.description.method or ""
    return named if named in methods else methods[0]


def scan_sums(study: StudyFiles, method: str) -> ScanSums | None:
    """Return the lines of ``regions.tsv`` of a method, ``None`` where there is no such file.

    Raises :class:`BadDataError` for a file that is damaged.
    """
    path = study.folder / "atlas" / REGIONS.file
    if not path.is_file():
        return None
    names = ("participant_id", "session_id", "split", "true_class", "configuration", "atlas")
    numbers = ("index", "n_voxels", "sum")
    participants, sessions, split, classes, configuration, atlas, label, n_voxels, relevance = (
        columns_of(REGIONS, path, (*names, *numbers), {"method": method})
    )
    scan = numbered(participants)
    for part in (sessions, split, classes):
        scan = pairs(scan, numbered(part))
    is_positive = classes == study.classes[1]
    return ScanSums(configuration, atlas, scan, is_positive, label, n_voxels, relevance)


def numbered(values: NDArray[Any]) -> Ints:
    """Return the number of each value among the different ones as they occur, (n,)."""
    import pandas as pd

    codes: Ints = pd.factorize(values)[0]
    return codes


def pairs(first: Ints, second: Ints) -> Ints:
    """Return the number of each pair among the different ones as they occur, (n,)."""
    return numbered(first * (1 + np.max(second, initial=0)) + second)


def densities(sums: ScanSums, region_of: dict[int, int]) -> ScanDensities:
    """Return the relevance a voxel of every scan in every region, as they occur.

    region_of : label value → number of its region; other labels are left out
    """
    labels, inverse = np.unique(sums.label, return_inverse=True)
    region = np.array([region_of.get(int(label), -1) for label in labels], int)[inverse]
    sums, region = sums.where(region >= 0), region[region >= 0]
    pair = pairs(sums.scan, region)
    relevance = np.bincount(pair, weights=np.nan_to_num(sums.relevance))
    n_voxels = np.bincount(pair, weights=sums.n_voxels)
    _, first = np.unique(pair, return_index=True)
    full = n_voxels > 0
    first = first[full]
    return ScanDensities(region[first], sums.is_positive[first], relevance[full] / n_voxels[full])


def spreads(
    study: StudyFiles, atlas: str, labels: Sequence[tuple[int, str]], sums: ScanSums
) -> list[Block]:
    """Return a picture a configuration: single scans of both classes in the leading regions.

    labels : (value, name) of the atlas
    """
    atlas_regions = joined_regions(labels) or single_regions(labels)
    region_of = {
        labels[member][0]: i for i, region in enumerate(atlas_regions) for member in region.members
    }
    names = [region.name for region in atlas_regions]
    blocks: list[Block] = []
    of_atlas = sums.where(sums.atlas == atlas)
    for identifier in study.identifiers:
        lines = of_atlas.where(of_atlas.configuration == identifier)
        if len(lines.label):
            blocks.append(_spread(study, identifier, atlas, names, densities(lines, region_of)))
    return blocks


def _spread(
    study: StudyFiles, identifier: str, atlas: str, names: Sequence[str], scans: ScanDensities
) -> Picture:
    leading = leading_regions(scans)
    shown = [names[region] for region in leading]
    negative, positive = (
        [
            scans.density[(scans.region == region) & (scans.is_positive == side)]
            for region in leading
        ]
        for side in (False, True)
    )
    prints = _fingerprints(study, identifier, atlas)
    values = RegionPanel(shown, negative, positive, _individuals(prints, shown))
    image = region_violins(
        values, study.classes, title=f"Configuration {identifier}", label="relevance per voxel"
    )
    described = (
        f"Relevance per voxel of individual scans in regions of atlas {atlas}, configuration "
        f"{identifier}"
    )
    caption = (
        f"The {len(shown)} regions with the highest mean density in scans of {study.classes[1]}: "
        f"distribution over scans (above the line {study.classes[1]}, below it {study.classes[0]}) "
        f"and means.{_individuals_words(prints)}"
    )
    return embedded(image, described, caption)


def leading_regions(scans: ScanDensities) -> list[int]:
    """Return the regions with the highest mean density in the positive class, highest first."""
    region, density = scans.region[scans.is_positive], scans.density[scans.is_positive]
    present, inverse = np.unique(region, return_inverse=True)
    means = np.bincount(inverse, weights=density) / np.bincount(inverse)
    return [int(i) for i in present[np.argsort(-means, kind="stable")][:_SPREAD]]


def _fingerprints(study: StudyFiles, identifier: str, atlas: str) -> dict[str, list[Fingerprint]]:
    """Individual → its densities by region."""
    rows = study.rows(FINGERPRINTS, "atlas")
    if not rows:
        return {}
    method = first_method(study, [row.method for row in rows])
    shown = [
        row
        for row in rows
        if (row.configuration, row.atlas, row.method) == (identifier, atlas, method)
    ]
    joined = [row for row in shown if row.merged]
    return dict(sorted(grouped(joined or shown, lambda row: row.individual).items()))


def _individuals(prints: dict[str, list[Fingerprint]], names: Sequence[str]) -> dict[str, Floats]:
    """The densities of the two fingerprints in the order of the regions."""
    curves = {}
    for individual, rows in prints.items():
        density = {row.name: row.density for row in rows}
        curves[individual] = np.array([density.get(name) for name in names], float)
    return curves


def _individuals_words(prints: dict[str, list[Fingerprint]]) -> str:
    if not prints:
        return ""
    first = [rows[0] for rows in prints.values()]
    people = [
        f"{row.individual} is {row.participant_id}{f' {row.session_id}' if row.session_id else ''}"
        for row in first
    ]
    n = plural(first[0].n_candidates, "confident true positive")
    return (
        f" Lines: the two of {n} (probability above 0.9) that differ most, cosine distance "
        f"{number(first[0].cosine_distance)}; {', '.join(people)}."
    )
