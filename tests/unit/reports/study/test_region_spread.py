"""The spread over scans, against the lines of regions.tsv."""

from __future__ import annotations

from typing import Any

import numpy as np
from study_cases import headings_and_captions
from study_tables import read_texts

from bids_xai.reports.study.regions import regions
from bids_xai.reports.study_files import Study

STUDY = "tiny"  # of conftest.py


def test_the_spread_is_that_of_single_scans_with_sides_joined(
    study: Study, drawn: dict[str, list[Any]]
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
    for name, found in zip(values.regions, values.positive, strict=True):
        np.testing.assert_allclose(sorted(found), sorted(expected[name]), rtol=1e-6)
    prints = {
        (r["individual"], r["name"]): float(r["density"])
        for r in read_texts(study.folder / "atlas" / "fingerprints.tsv")
        if r["configuration"] == "C"
    }
    for who in "AB":
        assert values.individuals[who].tolist() == [prints[who, name] for name in values.regions]
    assert "cosine distance 0.432; A is sub-01, B is sub-03" in headings_and_captions(section)
