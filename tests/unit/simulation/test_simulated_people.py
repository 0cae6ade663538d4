"""Who is in a simulated cohort."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.errors import UsageError
from bids_xai.simulation.anatomy import NUCLEUS_TISSUES
from bids_xai.simulation.cohort import SimulationOptions, draw_cohort


def people(n: int = 400, **options: float):
    return draw_cohort(SimulationOptions(n_participants=n, **options))


def test_classes_are_balanced_and_matched() -> None:
    groups = {name: [p for p in people() if p.diagnosis == name] for name in ("AD", "NC")}
    assert [len(group) for group in groups.values()] == [200, 200]
    for group in groups.values():
        assert sum(p.sex == "F" for p in group) == 100
        assert sum(p.n_sessions == 2 for p in group) == 50
        assert 70 < sum(p.site == "A" for p in group) < 130
        assert all(55 <= p.age <= 85 for p in group)
    means = [np.mean([p.age for p in group]) for group in groups.values()]
    assert abs(means[0] - means[1]) < 1
    assert np.std([p.age for p in people()]) > 6


def test_follow_up_is_as_frequent_in_either_sex() -> None:
    assert sum(p.n_sessions == 2 and p.sex == "F" for p in people()) == 50


def test_effect_has_the_mean_and_spread_it_promises() -> None:
    effects = np.array([p.effect for p in people(effect_percent=40.0)])
    assert effects[0::2].mean() == pytest.approx(0.4, abs=0.03)
    assert effects[0::2].std() == pytest.approx(0.1, abs=0.02)
    assert not effects[1::2].any()


def test_disease_raises_r2star_in_the_nuclei_only_and_age_everywhere_but_csf() -> None:
    healthy, ill = people(2, effect_percent=0.0)[0], people(2, effect_percent=30.0)[0]
    before, after = healthy.r2star_per_s(1), ill.r2star_per_s(1)
    for name in before:
        expected = 1 + ill.effect if name in NUCLEUS_TISSUES else 1
        assert after[name] / before[name] == pytest.approx(expected), name
    later = healthy.r2star_per_s(2)
    assert all(later[name] > before[name] for name in ("white", "grey", *NUCLEUS_TISSUES))
    assert later["csf"] == before["csf"]


def test_a_larger_cohort_begins_with_the_same_people() -> None:
    assert people(3) == people(30)[:3]
    assert people(3, seed=1) != people(3)


@pytest.mark.parametrize(
    "wrong", [{"n_participants": 0}, {"snr": float("nan")}, {"voxel_mm": 0.5}, {"max_sessions": 0}]
)
def test_options_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        SimulationOptions(**wrong)


def test_effects_of_atrophy_stay_below_what_a_head_can_bear() -> None:
    found = [p.effect for p in people(400, kind="t1w", effect_percent=50.0)][0::2]
    assert max(found) == 0.7
    assert np.median(found) == pytest.approx(0.5, abs=0.03)


def test_patients_of_each_kind_have_their_own_name_and_age() -> None:
    for kind, label, youngest, oldest in (("t1w", "AD", 55, 85), ("flair", "MS", 25, 60)):
        found = people(100, kind=kind)
        assert [p.diagnosis for p in found[:4]] == [label, "NC", label, "NC"]
        assert [p.is_patient for p in found[:2]] == [True, False]
        ages = [p.age for p in found]
        assert youngest <= min(ages) < youngest + 8
        assert oldest - 8 < max(ages) <= oldest


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(UsageError, match="no kind 'pet'"):
        SimulationOptions(kind="pet")
