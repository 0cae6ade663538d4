"""What of a map is compared, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from planted_maps import planted

from bids_xai.core.spray.clusters import spray
from bids_xai.core.spray.features import feature_row
from bids_xai.errors import BadDataError, UsageError


def test_other_features_of_a_map() -> None:
    row = np.array([4.0, -1.0, 3.0, 2.0, 1.0, 0.0])
    np.testing.assert_array_equal(feature_row(row, "plain"), row)
    np.testing.assert_allclose(feature_row(row, "sum-normalised"), row / 9)
    np.testing.assert_array_equal(feature_row(row, "top-0.4"), [4, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(feature_row(row + 0.1, "top-0.4"), [4.1, 0, 3.1, 0, 0, 0])
    np.testing.assert_array_equal(feature_row(-np.ones(3), "top-0.4"), 0)
    scaled = planted((20, 20), 9.0)[0] + 10
    scaled *= np.random.default_rng(0).uniform(1, 50, size=(40, 1)).astype(np.float32)
    found = spray(scaled, kind="sum-normalised")
    assert found.n_clusters == 2
    with pytest.raises(UsageError, match=r"top-0\.4"):
        spray(scaled, kind="top")
    with pytest.raises(BadDataError, match="divided by its sum"):
        feature_row(np.array([1.0, -1.0]), "sum-normalised")


def test_features_refuse_what_is_not_finite_and_have_room_for_sums() -> None:
    maps = planted((12, 12), 9.0)[0]
    maps[3, 1] = np.nan
    for kind in ("plain", "top-0.4", "sum-normalised"):
        with pytest.raises(BadDataError, match="finite"):
            spray(maps, kind=kind)
    large = np.full(2000, 100, np.float16)  # the sum is beyond float16
    np.testing.assert_allclose(feature_row(large, "sum-normalised"), 1 / 2000, rtol=1e-6)
