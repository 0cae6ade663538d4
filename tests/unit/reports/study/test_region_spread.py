"""The spread over scans, against the lines of regions.tsv."""

from __future__ import annotations

from typing import Any

import numpy as np
from study_cases import headings_and_captions
from study_tables import read_texts, write_rows

from bids_xai.reports.study.region_spread import (
    ScanSums,
    densities,
    first_method,
    leading_regions,
    numbered,
    pairs,
    scan_sums,
)
from bids_xai.reports.study.regions import regions
from bids_xai.reports.study_files import StudyFiles
from bids_xai.tables.atlas import REGIONS

STUDY = "tiny"  # of conftest.py


def test_the_spread_is_that_of_single_scans_with_sides_joined(
    study: StudyFiles, drawn: dict[str, list[Any]]
) -> None:
    section = regions(study)
    values = drawn["region_violins"][2]
    lines = [
        r for r in read_texts(study.folder / "atlas" / "regions.tsv") if r["configuration"] == "C"
    ]
    expected: dict[str, list[float]] = {}
    for left, right in zip(lines[::2], lines[1::2], strict=True):
        assert right["name"] == left["name"].replace("Left", "Right")
        if left["true_class"] == "AD":
            total = float(left["sum"]) + float(right["sum"])
            density = total / (float(left["n_voxels"]) + float(right["n_voxels"]))
            expected.setdefault(left["name"].removeprefix("Left "), []).append(density)
    order = sorted(expected, key=lambda name: -np.mean(expected[name]))
    assert list(values.regions) == order
    for name, densities_of in zip(values.regions, values.positive, strict=True):
        np.testing.assert_allclose(sorted(densities_of), sorted(expected[name]), rtol=1e-6)
    prints = {
        (r["individual"], r["name"]): float(r["density"])
        for r in read_texts(study.folder / "atlas" / "fingerprints.tsv")
        if r["configuration"] == "C"
    }
    for who in "AB":
        assert values.individuals[who].tolist() == [prints[who, name] for name in values.regions]
    assert "cosine distance 0.432; A is sub-01, B is sub-03" in headings_and_captions(section)


def slow_densities(sums: ScanSums, region_of: dict[int, int]) -> list[tuple[int, bool, float]]:
    """By a dictionary, scan by scan and label by label."""
    totals: dict[tuple[int, int], list[float]] = {}
    sides = {}
    for i in range(len(sums.label)):
        region = region_of.get(int(sums.label[i]))
        if region is None:
            continue
        key = (int(sums.scan[i]), region)
        total = totals.setdefault(key, [0.0, 0.0])
        if not np.isnan(sums.relevance[i]):
            total[0] += float(sums.relevance[i])
        total[1] += float(sums.n_voxels[i])
        sides[key] = bool(sums.is_positive[i])
    return [(key[1], sides[key], t / n) for key, (t, n) in totals.items() if n > 0]


def test_densities_are_those_of_a_slow_version() -> None:
    rng = np.random.default_rng(5)
    n = 200
    scan = rng.integers(0, 9, n)
    relevance = rng.normal(size=n)
    relevance[rng.random(n) < 0.1] = np.nan
    names = np.array(["x"] * n, object)
    sums = ScanSums(
        names, names, scan, scan % 2 == 1, rng.integers(1, 12, n), rng.integers(0, 3, n), relevance
    )
    region_of = {label: label // 2 for label in range(2, 11)}
    scans = densities(sums, region_of)
    regions_, sides, expected = zip(*slow_densities(sums, region_of), strict=True)
    assert scans.region.tolist() == list(regions_)
    assert scans.is_positive.tolist() == list(sides)
    np.testing.assert_allclose(scans.density, expected, rtol=1e-12)
    means: dict[int, list[float]] = {}
    for region, side, value in zip(regions_, sides, expected, strict=True):
        if side:
            means.setdefault(region, []).append(value)
    order = sorted(means, key=lambda region: -np.mean(means[region]))
    assert leading_regions(scans) == order


def test_pairs_are_numbered_as_they_occur() -> None:
    first, second = np.array([0, 1, 0, 1, 0]), np.array([2, 0, 2, 2, 0])
    assert pairs(first, second).tolist() == [0, 1, 0, 2, 3]
    assert numbered(np.array(["b", "a", "b"], object)).tolist() == [0, 1, 0]


def test_lines_of_other_methods_are_left_out(study: StudyFiles) -> None:
    path = study.folder / "atlas" / REGIONS.file
    rows = read_texts(path)
    other = [{**row, "method": "saliency"} for row in rows[:50]]
    write_rows(REGIONS, path.parent, [*other, *rows])
    sums = scan_sums(study, "lrp-zplus")
    assert sums is not None
    np.testing.assert_allclose(sums.relevance, [float(row["sum"]) for row in rows])
    assert len(np.unique(sums.scan)) == 24
    path.unlink()
    assert scan_sums(study, "lrp-zplus") is None


def test_the_method_of_the_study_comes_first(study: StudyFiles) -> None:
    assert first_method(study, ["saliency", "lrp-zplus"]) == "lrp-zplus"
    assert first_method(study, ["saliency", "gradient"]) == "saliency"
