"""Matching, balance and undersampling against loops, statsmodels and counts by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from bids_xai.core.cohort.cells import is_missing
from bids_xai.core.cohort.matching import (
    USUAL_CALIPER,
    balance,
    encode_covariates,
    propensity_match,
)
from bids_xai.core.cohort.sampling import age_bands, age_sex_strata, undersample
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
    assert found.kept == tuple(sorted(i for pair in pairs for i in pair))
    assert set(found.kept) | set(found.left_out) == set(range(len(treated)))
    assert not set(found.kept) & set(found.left_out)
    assert sorted(i for i in found.left_out if treated[i]) == sorted(alone)


def test_the_score_maximises_the_likelihood() -> None:
    discrete = pytest.importorskip("statsmodels.discrete.discrete_model")
    treated, covariates = _people(30, 50, seed=3)
    design = np.column_stack([np.ones(80), covariates])
    fit = discrete.Logit(treated.astype(float), design).fit(disp=0, tol=1e-12)
    found = propensity_match(treated, covariates)
    np.testing.assert_allclose(found.propensity, fit.predict(), atol=1e-9)
    # at the maximum, the score explains the covariates of the treated: X'(t - p) = 0
    np.testing.assert_allclose(design.T @ (treated - found.propensity), 0, atol=1e-7)


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
    others = {propensity_match(treated, covariates, seed=seed).kept for seed in range(8)}
    assert len(others) > 1
    equal = [np.abs(first.logit[a] - first.logit[b]) for a, b in first.pairs]
    assert np.median(equal) < 1e-12  # identical covariates have identical scores
    lucky = {
        propensity_match([True, True, True, False], np.ones((4, 1)), seed=seed).kept[0]
        for seed in range(30)
    }
    assert lucky == {0, 1, 2}


def test_matching_mends_the_balance() -> None:
    treated, covariates = _people(200, 1200, seed=2)
    found = propensity_match(treated, covariates, caliper=USUAL_CALIPER)
    for row in balance(covariates, ["age", "sex=M"], treated, found.kept):
        assert row.smd_before is not None
        assert row.smd_after is not None
        assert abs(row.smd_before) > 0.3
        assert abs(row.smd_after) < 0.1


def test_redundant_and_constant_covariates_do_no_harm() -> None:
    treated, covariates = _people(20, 30)
    plain = propensity_match(treated, covariates)
    extra = np.column_stack([covariates, np.full(50, 3.0), 1 - covariates[:, 1], covariates[:, 0]])
    more = propensity_match(treated, extra)
    np.testing.assert_allclose(more.logit, plain.logit, atol=1e-7)
    assert more.pairs == plain.pairs
    scaled = propensity_match(treated, covariates * [1e6, 1e-6] + [1e3, 0])
    np.testing.assert_allclose(scaled.logit, plain.logit, atol=1e-6)
    constant = propensity_match(treated, np.ones((50, 1)))
    np.testing.assert_allclose(constant.propensity, 0.4)
    assert len(constant.pairs) == 20


def test_an_outlier_is_no_separation() -> None:
    treated, covariates = _people(20, 30)
    covariates[np.flatnonzero(treated)[0], 0] = 900.0
    assert np.isfinite(propensity_match(treated, covariates).logit).all()


def test_groups_that_covariates_separate_are_refused_with_the_covariate() -> None:
    treated, covariates = _people(20, 30)
    site = (treated & (np.arange(50) % 2 == 0)).astype(float)  # a site of patients only
    for column in (site, treated + 0.0, np.where(treated, 80.0, 60) + np.arange(50) / 10):
        table = np.column_stack([covariates, column])
        with pytest.raises(BadDataError, match=r"tell the groups apart completely \(site\)"):
            propensity_match(treated, table, names=["age", "sex", "site"])
    x = np.random.default_rng(0).normal(size=50)
    together = np.stack([x, np.where(treated, 1, -1) - x], axis=1)
    with pytest.raises(BadDataError, match=r"apart completely, so"):
        propensity_match(treated, together)


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


def test_covariates_become_columns() -> None:
    table, names = encode_covariates(
        {"age": ["60", "71.5", "80"], "site": ["B", "A", "C"], "scanner": ["1", "2", "1"]},
        categorical=["scanner"],
    )
    assert names == ["age", "site=B", "site=C", "scanner=2"]
    np.testing.assert_array_equal(table, [[60, 1, 0, 0], [71.5, 0, 0, 1], [80, 0, 1, 0]])
    table, names = encode_covariates({"age": [60, 70.0]})
    assert (table.shape, names) == ((2, 1), ["age"])
    assert encode_covariates({})[0].shape == (0, 0)
    for missing in ("n/a", "", " NaN ", None, float("nan")):
        with pytest.raises(BadDataError, match="Column 'sex' is missing for 1 of 2"):
            encode_covariates({"age": ["60", "70"], "sex": ["F", missing]})


def test_balance_by_hand() -> None:
    treated = np.array([True, True, True, False, False, False, False])
    column = np.array([1.0, 2, 3, 0, 1, 2, 5])
    (row,) = balance(column[:, None], ["x"], treated, [0, 1, 4, 5])
    assert (row.mean_treated_before, row.mean_control_before) == (2, 2)
    assert (row.sd_treated_before, row.smd_before) == (1, 0)
    assert row.sd_control_before == pytest.approx(np.sqrt(14 / 3))
    assert row.variance_ratio_before == pytest.approx(3 / 14)
    assert (row.mean_treated_after, row.mean_control_after) == (1.5, 1.5)
    (row,) = balance(column[:, None], ["x"], treated, treated | (np.arange(7) < 5))
    assert (row.mean_treated_after, row.mean_control_after) == (2, 0.5)
    assert row.sd_control_after == pytest.approx(np.sqrt(1 / 2))
    assert row.variance_ratio_after == pytest.approx(2)
    assert row.smd_after == pytest.approx(1.5 / np.sqrt((1 + 14 / 3) / 2))  # sd from before


def test_balance_says_none_where_nothing_is_defined() -> None:
    treated = np.array([True, True, False, False])
    table = np.array([[1.0, 0], [1, 0], [1, 1], [1, 1]])
    same, apart = balance(table, ["same", "apart"], treated, [])
    assert (same.smd_before, same.variance_ratio_before) == (0, None)
    assert (apart.smd_before, apart.mean_treated_after, apart.smd_after) == (None, None, None)
    (one,) = balance(np.array([[1.0], [2], [3], [5]]), ["x"], treated, [0, 2])
    assert (one.mean_treated_after, one.sd_treated_after) == (1, None)
    assert one.smd_after == pytest.approx(-2 / np.sqrt((0.5 + 2) / 2))


def _cells(*columns: list[str], kept: np.ndarray) -> Counter[tuple[str, ...]]:
    return Counter(
        cell for cell, keep in zip(zip(*columns, strict=True), kept, strict=True) if keep
    )


def test_undersampling_by_hand() -> None:
    classes = ["AD"] * 5 + ["NC"] * 7
    ages = [60, "64.9", "65", 71, "72", 61, 62, 63, 66, 70, "74.5", 80]
    sexes = list("FFFMM") + list("FFFMMMM")
    kept = undersample(classes, ages, sexes, seed=1)
    # F 60-64: 2 of each; F 65-69: no NC; M 65-69: no AD; M 70-74: 2 of each; M 80: no AD
    assert kept.tolist()[:5] == [True, True, False, True, True]
    assert kept[5:8].sum() == 2
    assert kept[8:].tolist() == [False, True, True, False]
    as_in_the_paper = undersample(classes, ages, sexes, seed=1, equalise="sexes", bin_years=20)
    # AD 60-79: 3 F, 2 M; NC 60-79: 3 F, 3 M; NC 80: no F
    assert (as_in_the_paper[:3].sum(), as_in_the_paper[3:5].sum()) == (2, 2)
    assert as_in_the_paper[5:].tolist() == [True] * 6 + [False]


@pytest.mark.parametrize("equalise", ["classes", "sexes"])
def test_undersampling_keeps_as_many_as_it_can(equalise: str) -> None:
    rng = np.random.default_rng(3)
    classes = rng.choice(["AD", "MCI", "NC"], 300, p=[0.2, 0.3, 0.5]).tolist()
    sexes = rng.choice(["F", "M"], 300).tolist()
    ages = rng.normal(70, 6, 300).tolist()
    kept = undersample(classes, ages, sexes, equalise=equalise)
    bands = [str(int(age // 5)) for age in ages]
    groups, beside = (classes, sexes) if equalise == "classes" else (sexes, classes)
    before = _cells(bands, beside, groups, kept=np.ones(300, dtype=bool))
    after = _cells(bands, beside, groups, kept=kept)
    for band, other in {(band, other) for band, other, _ in before}:
        fewest = min(before[band, other, name] for name in set(groups))
        assert all(after[band, other, name] == fewest for name in set(groups))
    assert undersample(classes, ages, sexes, equalise=equalise).tolist() == kept.tolist()
    again = undersample(classes, ages, sexes, equalise=equalise, seed=1)
    assert again.sum() == kept.sum()
    assert again.tolist() != kept.tolist()


def test_undersampling_draws_at_random() -> None:
    classes, sexes, ages = ["AD", *["NC"] * 4], ["F"] * 5, [60] * 5
    drawn = [undersample(classes, ages, sexes, seed=seed) for seed in range(400)]
    np.testing.assert_allclose(np.mean(drawn, axis=0), [1, 0.25, 0.25, 0.25, 0.25], atol=0.08)


def test_undersampling_needs_ages_sexes_and_somebody_left() -> None:
    with pytest.raises(BadDataError, match="'age' is missing for 1 of 2"):
        undersample(["a", "b"], ["60", "n/a"], ["F", "F"])
    with pytest.raises(BadDataError, match="'sex' is missing for 2 of 2"):
        undersample(["a", "b"], ["60", "61"], ["", "n/a"])
    with pytest.raises(BadDataError, match="'90\\+' is not an age"):
        undersample(["a", "b"], ["60", "90+"], ["F", "F"])
    with pytest.raises(BadDataError, match="No age bin of 5 years has all of a, b"):
        undersample(["a", "b"], ["60", "70"], ["F", "F"])
    with pytest.raises(ValueError, match="equalise"):
        undersample(["a"], ["60"], ["F"], equalise="ages")


def test_age_bands_start_at_multiples() -> None:
    assert age_bands([60, "64.9", 65.0, "104", 4]).tolist() == [60, 60, 65, 100, 0]
    assert age_bands([60, 69, 70], 10).tolist() == [60, 60, 70]
    assert age_sex_strata([65, 101, 7], ["F", "M", "F"]) == ["F 065", "M 100", "F 005"]
    with pytest.raises(BadDataError, match="'-1' is not an age"):
        age_bands([-1])
    with pytest.raises(ValueError, match="0 years"):
        age_bands([60], 0)
    with pytest.raises(BadDataError, match="'sex' is missing"):
        age_sex_strata([60], ["n/a"])


def test_missing_is_what_says_nothing() -> None:
    assert all(map(is_missing, ["", " ", "n/a", "N/A", "nan", None, float("nan")]))
    assert not any(map(is_missing, ["0", 0, "none", "NA", "no"]))
