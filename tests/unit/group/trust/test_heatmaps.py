"""Which heatmaps are checked: those of a network, and a sample of its scans."""

from __future__ import annotations

import math
from pathlib import Path

from trust_cases import prediction

from bids_xai.attribution.request import Request
from bids_xai.group.trust.heatmaps import (
    defined,
    explained_splits,
    explains_its_prediction,
    identity,
    request_of,
    sampled,
)
from bids_xai.tables.trust import CheckedMap


def test_choice_of_scans_is_seeded_balanced_and_spread_over_splits() -> None:
    rows = [
        prediction(
            f"sub-{i:02d}",
            method,
            split=split,
            true_class="NA"[i % 2],
            predicted_class="A" if i < 8 else "N",
            relevance_class="all" if method == "z" else "A",
        )
        for split in range(2)
        for i in range(10)
        for method in ("z", "s")
    ]
    splits = explained_splits(rows)
    assert [len(part.heatmaps) for part in splits] == [10, 10]
    found = sampled(splits, 8, 0, explains_its_prediction)
    names = [name for part in found for name in part.scans]
    assert len(names) == 8
    assert not {"sub-08", "sub-09"} & set(names)  # usable for one method only
    assert sum(int(name[-1]) % 2 for name in names) == 4
    assert found == sampled(splits, 8, 0, explains_its_prediction)
    assert sampled(splits, 8, 1) != found
    every = sampled(splits, 99, 0, explains_its_prediction)
    assert sum(len(part.heatmaps) for part in every) == 20
    assert sampled(splits, 5, 0, lambda prediction: False) == []
    assert sampled(splits, 0, 0) == []


def test_every_network_has_its_scans_with_a_heatmap_a_method() -> None:
    rows = [
        prediction("sub-01", "z"),
        prediction("sub-01", "z", split=1),
        prediction("sub-02_run-1", "z"),
        prediction("sub-01", "s"),
        prediction("sub-01", "s", configuration="B"),
    ]
    first, second, third = explained_splits(rows)
    assert (first.configuration, first.split) == ("A", 0)
    assert first.heatmaps == {"sub-01": (rows[0], rows[3]), "sub-02_run-1": (rows[2],)}
    assert first.predictions == [rows[0], rows[3], rows[2]]
    assert (second.split, third.configuration) == (1, "B")
    assert first.of(["sub-02_run-1"]).predictions == [rows[2]]
    assert first.of(()).scans == []


def test_a_heatmap_explains_its_prediction_or_all_classes() -> None:
    assert explains_its_prediction(prediction(relevance_class="all", predicted_class="NC"))
    assert explains_its_prediction(prediction(relevance_class="NC", predicted_class="NC"))
    assert not explains_its_prediction(prediction(relevance_class="AD", predicted_class="NC"))


def test_a_line_tells_which_heatmap_it_is_about() -> None:
    row = prediction("sub-01_run-2", heatmap=Path("a/sub-01_run-2_space-T1w_relmap.nii.gz"))
    cells = identity(row)
    assert cells.pop("scan") == "sub-01_run-2"
    assert CheckedMap(**cells) == CheckedMap(
        configuration="A", split=0, method="lrp-zplus", participant_id="sub-01", session_id=None
    )
    way = Request("lrp-zplus", "lrp-zplus")
    assert request_of(row, {"lrp-zplus": way, "saliency": Request("saliency", "saliency")}) == way


def test_what_is_undefined_is_none() -> None:
    assert defined(math.nan) is None
    assert defined(math.inf) is None
    assert defined(0.25) == 0.25
