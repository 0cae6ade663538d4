"""Propensity-score matching against loops, scikit-learn and hand counts."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from bids_xai.core.cohort import balance, propensity_match
from bids_xai.core.cohort.matching import USUAL_CALIPER
from bids_xai.errors import BadDataError


def _people(n_patients: int, n_controls: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Patients are older; age with decimals and sex."""
    rng = np.random.default_rng(seed)
    treated = rng.permutation([True] * n_patients + [False] * n_controls)
    ages = rng.normal(66 + 6 * treated, 8)
    sexes = rng.random(treated.size) < 0.4 + 0.2 * treated
    return treated, np.stack([ages, sexes.astype(float)], axis=1)


def _pairs_by_loops(
    treated: np.ndarray, logit: np.ndarray, limit: float
) -> tuple[list[tuple[int, int]], list[int]]:
    """Greedy matching, one comparison at a time."""
    order = [i for i in range(len(treated)) if treated[i]]
    for first in range(len(order)):
        for second in range(first + 1, len(order)):
            if logit[order[second]] > logit[order[first]]:
                order[first], order[second] = order[second], order[first]
    free = [i for i in range(len(treated)) if not treated[i]]
    pairs, alone = [], []
    for who in order:
        best = None
        for other in free:
            if best is None or abs(logit[other] - logit[who]) < abs(logit[best] - logit[who]):
                best = other
        if best is None or abs(logit[best] - logit[who]) > limit:
            alone.append(who)
        else:
            pairs.append((who, best))
            free.remove(best)
    return sorted(pairs), alone


@pytest.mark.parametrize(("n_patients", "n_controls"), [(20, 45), (25, 15)])
@pytest.mark.parametrize("caliper", [None, USUAL_CALIPER])
def test_matching_against_loops_and_its_score_against_scikit_learn(
    n_patients: int, n_controls: int, caliper: float | None
) -> None:
    treated, covariates = _people(n_patients, n_controls)
    found = propensity_match(treated, covariates, caliper=caliper)
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000)
    scaled = (covariates - covariates.mean(axis=0)) / covariates.std(axis=0)
    np.testing.assert_allclose(
        found.logit, model.fit(scaled, treated).decision_function(scaled), atol=1e-4
    )
    np.testing.assert_allclose(found.propensity, 1 / (1 + np.exp(-found.logit)))
    limit = np.inf
    if caliper is not None:
        of_treated, of_controls = found.logit[treated], found.logit[~treated]
        spread = np.sqrt((np.var(of_treated, ddof=1) + np.var(of_controls, ddof=1)) / 2)
        limit = 0.2 * spread
        assert found.caliper == pytest.approx(limit)
    pairs, alone = _pairs_by_loops(treated, found.logit, limit)
    assert list(found.pairs) == pairs
    assert found.matched == tuple(sorted(i for pair in pairs for i in pair))
    assert set(found.matched) | set(found.left_out) == set(range(len(treated)))
    assert not set(found.matched) & set(found.left_out)
    assert sorted(i for i in found.left_out if treated[i]) == sorted(alone)


def test_pairs_of_four_by_hand() -> None:
    # one covariate: the logit rises with age, so the oldest patient chooses first and takes 80
    ages = np.array([[60.0], [79.0], [81.0], [70.0], [80.0], [50.0], [75.0]])
    treated = np.array([True, True, True, False, False, False, False])
    found = propensity_match(treated, ages)
    assert found.pairs == ((0, 5), (1, 6), (2, 4)) or found.pairs == ((0, 3), (1, 6), (2, 4))
    assert found.left_out in ({3: "not the match of anybody"}, {5: "not the match of anybody"})


def test_reasons_tell_the_caliper_from_a_lack_of_controls() -> None:
    ages = np.array([[60.0], [61.0], [62.0], [90.0], [60.5], [59.0]])
    treated = np.array([True, True, True, True, False, False])
    assert set(propensity_match(treated, ages).left_out.values()) == {"no control is left"}
    strict = propensity_match(treated, ages, caliper=0.2)
    assert strict.left_out[3] == "no control within the caliper"
    assert strict.caliper is not None
    for patient, control in strict.pairs:
        assert abs(strict.logit[patient] - strict.logit[control]) <= strict.caliper + 1e-9


def test_chance_decides_among_equals_and_follows_the_seed() -> None:
    rng = np.random.default_rng(1)
    ages = rng.integers(60, 66, 60)
    treated = np.arange(60) < 15
    covariates = np.stack([ages, rng.integers(0, 2, 60)], axis=1)
    first = propensity_match(treated, covariates, seed=1)
    assert propensity_match(treated, covariates, seed=1).pairs == first.pairs
    others = {propensity_match(treated, covariates, seed=seed).matched for seed in range(8)}
    assert len(others) > 1
    equal = [np.abs(first.logit[a] - first.logit[b]) for a, b in first.pairs]
    assert np.median(equal) < 1e-12  # identical covariates have identical scores
    lucky = {
        propensity_match([True, True, True, False], np.ones((4, 1)), seed=seed).matched[0]
        for seed in range(30)
    }
    assert lucky == {0, 1, 2}


def test_matching_mends_the_balance() -> None:
    treated, covariates = _people(200, 1200, seed=2)
    found = propensity_match(treated, covariates, caliper=USUAL_CALIPER)
    for row in balance(covariates, ["age", "sex=M"], treated, found.matched):
        assert row.smd_before is not None
        assert row.smd_after is not None
        assert abs(row.smd_before) > 0.3
        assert abs(row.smd_after) < 0.1


def test_groups_to_match_must_be_two_and_complete() -> None:
    covariates = np.array([[60.0, 1], [np.nan, 0], [np.nan, 1]])
    with pytest.raises(BadDataError, match="Column 'age' is missing for 2 of 3"):
        propensity_match([True, False, False], covariates, names=["age", "sex"])
    with pytest.raises(BadDataError, match="Column 'column 0' is missing"):
        propensity_match([True, False, False], covariates)
    for treated in ([True, True, True], [False, False, False]):
        with pytest.raises(BadDataError, match="both groups"):
            propensity_match(treated, np.ones((3, 1)))
    with pytest.raises(ValueError, match="covariates"):
        propensity_match([True, False], covariates)
    with pytest.raises(ValueError, match="caliper"):
        propensity_match([True, False, False], np.ones((3, 1)), caliper=-1)
