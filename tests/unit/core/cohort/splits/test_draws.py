"""Sets drawn from a line: their sizes, and who is in them."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.core.cohort.splits.draws import draw_sets, line_of, sizes_of_sets, split_by_fractions
from bids_xai.errors import BadDataError


def test_a_line_is_by_group_and_stratum_and_in_chance_order_within() -> None:
    stratum_of = {name: str(int(name) % 2) for name in map(str, range(10))}
    groups = [list("01234"), list("56789")]
    line = line_of(groups, stratum_of, np.random.default_rng(0))
    assert [set(line[:3]), set(line[3:5]), set(line[5:7]), set(line[7:])] == [
        set("024"),
        set("13"),
        set("68"),
        set("579"),
    ]
    assert len({tuple(line_of(groups, None, np.random.default_rng(i))) for i in range(20)}) > 10


def test_of_every_stretch_of_the_line_a_set_gets_its_share_to_within_one() -> None:
    line = [f"{i:02d}" for i in range(60)]
    for seed in range(20):
        split = draw_sets(line, {"train": 45, "test": 15}, np.random.default_rng(seed))
        tests = np.array([split[who] == "test" for who in line])
        assert tests.sum() == 15
        assert all(1 <= tests[i : i + 8].sum() <= 3 for i in range(52))


def test_every_place_is_drawn_equally_often() -> None:
    line = list("abcdefg")
    counts = dict.fromkeys(line, 0)
    for seed in range(3000):
        split = draw_sets(line, {"train": 4, "test": 3}, np.random.default_rng(seed))
        for who in line:
            counts[who] += split[who] == "test"
    assert np.allclose(list(counts.values()), 3000 * 3 / 7, atol=5 * np.sqrt(3000 * 12 / 49))


def test_the_open_set_takes_the_rest() -> None:
    assert sizes_of_sets("Class", 10, {"train": None, "test": 3}) == {"train": 7, "test": 3}
    assert sizes_of_sets("Class", 5, {"train": 2, "test": 3}) == {"train": 2, "test": 3}
    for counts in ({"train": None, "test": 10}, {"train": 2, "test": 3}):
        with pytest.raises(BadDataError, match="Class has 10 participants, which do not fill"):
            sizes_of_sets("Class", 10, counts)


@pytest.mark.parametrize(("n", "expected"), [(3, [1, 1, 1]), (10, [7, 2, 1]), (20, [14, 3, 3])])
def test_shares_are_by_largest_remainder_and_no_set_is_empty(n: int, expected: list[int]) -> None:
    members = {"AD": [f"{i:02d}" for i in range(n)]}
    fractions = {"train": 0.7, "validation": 0.15, "test": 0.15}
    split = split_by_fractions(members, fractions, None, np.random.default_rng(0))
    assert [list(split.values()).count(name) for name in fractions] == expected
    assert list(split) == members["AD"]
