"""Covariates as numbers."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.core.cohort import encode_covariates
from bids_xai.errors import BadDataError


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
