"""The table of regions of one scan."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.bids.images import Volume
from bids_xai.stages.explain import REGION_COLUMNS, region_rows
from bids_xai.templates.lookup import Atlas


def test_one_line_a_region_with_its_side() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 3, 300, 9], size=(4, 5, 6)).astype(np.int32)
    data = rng.normal(size=labels.shape).astype(np.float32)
    atlas = Atlas("X", Volume(labels, np.eye(4)), ((3, "Left A"), (300, "A_R"), (9, "Stem")))
    rows = region_rows(Volume(data, np.eye(4)), atlas, "saliency")
    assert all(list(row) == list(REGION_COLUMNS) for row in rows)
    assert [(r["index"], r["name"], r["hemisphere"]) for r in rows] == [
        (3, "Left A", "L"),
        (300, "A_R", "R"),
        (9, "Stem", ""),
    ]
    for row in rows:
        inside = data[labels == row["index"]]
        assert row["n_voxels"] == inside.size
        assert row["sum"] == pytest.approx(inside.sum(), rel=1e-5)
        assert row["density"] == pytest.approx(inside.mean(), rel=1e-5)
        assert (row["atlas"], row["method"]) == ("X", "saliency")
