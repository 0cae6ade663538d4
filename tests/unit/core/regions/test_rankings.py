"""Rankings, their overlap, and the two that differ most, against loops."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.spatial.distance import cosine

from bids_xai.core.regions import rankings as region_rankings
from bids_xai.core.regions.rankings import most_different, overlap, top


def test_the_largest_come_first_and_undefined_ones_not_at_all() -> None:
    values = np.array([3.0, np.nan, -1.0, 5.0, 3.0, np.inf])
    assert top(values, 3).tolist() == [3, 0, 4]
    assert top(values).tolist() == [3, 0, 4, 2]
    assert top(np.array([np.nan, 1.0])).tolist() == [1]
    assert top(np.array([])).size == 0


def test_overlap_counts_members_and_not_their_order() -> None:
    first = list(range(10))
    assert overlap(first, first[::-1]) == 1
    assert overlap(first, list(range(3, 13))) == 0.7
    assert overlap(first, list(range(10, 20))) == 0
    assert overlap(np.arange(4), np.arange(2), n=4) == 0.5


@pytest.mark.parametrize("block", [3, 512])
def test_the_most_different_pair_against_a_double_loop(
    monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(region_rankings, "_BLOCK", block)
    rng = np.random.default_rng(3)
    for seed in range(20):
        vectors = rng.normal(size=(11, 4))
        people = [f"sub-{n}" for n in np.random.default_rng(seed).integers(0, 6, 11)]
        pairs = {
            (i, j): cosine(vectors[i], vectors[j])
            for i, j in combinations(range(11), 2)
            if people[i] != people[j]
        }
        expected = max(pairs, key=lambda pair: pairs[pair])
        found = most_different(vectors, people)
        assert found is not None
        assert tuple(sorted(found[:2])) == expected
        assert found[2] == pytest.approx(pairs[expected])


def test_scans_of_one_person_and_empty_maps_make_no_pair() -> None:
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [np.nan, 1.0], [1.0, 0.1]])
    assert most_different(vectors[:2], ["a", "a"]) is None
    assert most_different(vectors[:0], []) is None
    found = most_different(vectors, ["a", "a", "b", "c", "d"])
    assert found is not None
    assert sorted(found[:2]) == [1, 4]
