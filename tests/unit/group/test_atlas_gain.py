"""Means of both classes by region, and their quotient where it says something."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bids_xai.core.regions import region_relevance
from bids_xai.group.atlas import GAIN_COLUMNS, gains
from bids_xai.group.context import read_rows, write_table


def entry(true_class: str, total: float, index: int = 300, **other: Any) -> dict[str, Any]:
    return {
        "configuration": "A", "method": "lrp-zplus", "atlas": "X", "index": index,
        "region": f"region {index}", "n_voxels": 4, "true_class": true_class, "sum": total,
        "density": total / 4, "share": total / 2,
    } | other  # fmt: skip


def test_means_and_gain_are_those_of_the_hand(derivatives: Any) -> None:
    rows = [
        entry("AD", 6.0), entry("AD", 2.0), entry("NC", 1.0), entry("NC", 2.0), entry("NC", 6.0),
        entry("MCI", 99.0),
        entry("AD", 1.0, 301), entry("NC", 4.0, 301),
        entry("AD", 7.0, configuration="B"), entry("NC", 2.0, configuration="B"),
        entry("AD", 9.0, method="other"), entry("NC", 3.0, method="other"),
    ]  # fmt: skip
    context = derivatives.context()
    found = {(r["configuration"], r["method"], r["index"]): r for r in gains(rows, context)}
    assert len(found) == 4
    first = found["A", "lrp-zplus", 300]
    assert (first["n_positive"], first["n_negative"]) == (2, 3)
    assert (first["mean_sum_positive"], first["mean_sum_negative"]) == (4, 3)
    assert (first["mean_density_positive"], first["mean_density_negative"]) == (1, 0.75)
    assert (first["share_positive"], first["share_negative"]) == (2, 1.5)
    assert first["gain"] == pytest.approx(4 / 3)
    assert (first["atlas"], first["region"], first["n_voxels"]) == ("X", "region 300", 4)
    assert found["A", "lrp-zplus", 301]["gain"] == 0.25
    assert found["B", "lrp-zplus", 300]["gain"] == 3.5
    assert found["A", "other", 300]["gain"] == 3
    assert all(set(row) == set(GAIN_COLUMNS) for row in found.values())


@pytest.mark.parametrize("low", [0.0, 1e-9, -1e-9])
def test_a_quotient_of_nothing_is_not_given(derivatives: Any, low: float) -> None:
    context = derivatives.context()
    (found,) = gains([entry("AD", 0.5), entry("NC", low)], context)
    assert found["gain"] is None
    assert found["mean_sum_negative"] == low
    path, _ = write_table(context.folder / "gain.tsv", [found], GAIN_COLUMNS)
    assert read_rows(path, "atlas")[0]["gain"] == "n/a"


def test_one_class_alone_has_no_gain(derivatives: Any) -> None:
    for name, side, other in (("AD", "positive", "negative"), ("NC", "negative", "positive")):
        (found,) = gains([entry(name, 0.5)], derivatives.context())
        assert found["gain"] is None
        assert (found[f"n_{side}"], found[f"n_{other}"]) == (1, 0)
        assert found[f"mean_sum_{side}"] == 0.5
        assert found[f"mean_sum_{other}"] is None


def test_signed_relevance_keeps_its_sign(derivatives: Any) -> None:
    (found,) = gains([entry("AD", 1.0), entry("NC", -2.0)], derivatives.context())
    assert found["gain"] == -0.5


def test_undefined_values_are_left_out_of_the_means(derivatives: Any) -> None:
    rows = [entry("AD", 1.0, share=np.nan), entry("AD", 3.0), entry("NC", 2.0, share=np.nan)]
    (found,) = gains(rows, derivatives.context())
    assert found["share_positive"] == 1.5
    assert found["share_negative"] is None
    assert found["mean_sum_positive"] == 2


def test_gains_of_maps_through_the_region_sums(derivatives: Any) -> None:
    """From two maps and labels above 255 to the gain, against plain loops."""
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 44, 300], (4, 5, 6))
    maps = {"AD": rng.normal(1, 1, (4, 5, 6)), "NC": rng.normal(2, 1, (4, 5, 6))}
    rows = []
    for name, data in maps.items():
        sums = region_relevance(data, labels, [44, 300])
        rows += [
            entry(name, float(sums.sum[i]), index, density=sums.density[i], share=sums.share[i])
            for i, index in enumerate((44, 300))
        ]
    for found in gains(rows, derivatives.context()):
        expected = [
            sum(maps[name][i] for i in np.ndindex(4, 5, 6) if labels[i] == found["index"])
            for name in ("AD", "NC")
        ]
        assert found["gain"] == pytest.approx(expected[0] / expected[1])


def test_the_guard_does_not_depend_on_the_unit_of_relevance(derivatives: Any) -> None:
    (found,) = gains([entry("AD", 3e-8), entry("NC", 1e-8)], derivatives.context())
    assert found["gain"] == pytest.approx(3)
