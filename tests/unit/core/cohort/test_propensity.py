"""The propensity score: its likelihood, redundant covariates, groups that are separate."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.core.cohort import propensity_match
from bids_xai.errors import BadDataError


def _people(n_patients: int, n_controls: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Patients are older; age with decimals and sex."""
    rng = np.random.default_rng(seed)
    treated = rng.permutation([True] * n_patients + [False] * n_controls)
    ages = rng.normal(66 + 6 * treated, 8)
    sexes = rng.random(treated.size) < 0.4 + 0.2 * treated
    return treated, np.stack([ages, sexes.astype(float)], axis=1)


def test_the_score_maximises_the_likelihood() -> None:
    discrete = pytest.importorskip("statsmodels.discrete.discrete_model")
    treated, covariates = _people(30, 50, seed=3)
    design = np.column_stack([np.ones(80), covariates])
    fit = discrete.Logit(treated.astype(float), design).fit(disp=0, tol=1e-12)
    found = propensity_match(treated, covariates)
    np.testing.assert_allclose(found.propensity, fit.predict(), atol=1e-9)
    # at the maximum, the score explains the covariates of the treated: X'(t - p) = 0
    np.testing.assert_allclose(design.T @ (treated - found.propensity), 0, atol=1e-7)


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
        with pytest.raises(BadDataError, match=r"separate the groups completely \(site\)"):
            propensity_match(treated, table, names=["age", "sex", "site"])
    x = np.random.default_rng(0).normal(size=50)
    together = np.stack([x, np.where(treated, 1, -1) - x], axis=1)
    with pytest.raises(BadDataError, match=r"separate the groups completely, so"):
        propensity_match(treated, together)
