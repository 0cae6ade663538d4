"""Tables and mean maps are those of the heatmaps."""

from __future__ import annotations

import numpy as np
import pytest
from spray_cases import AFFINE, N, ball, rows

from bids_xai.group.context import GroupContext
from bids_xai.group.spray import step


def test_shares_and_means_are_those_of_the_maps(study: GroupContext) -> None:
    import nibabel as nib

    step.run(study)
    folder = study.folder / "spray" / "A_T1w"
    clusters, predictions = rows(folder / "clusters.tsv"), rows(study.folder / "predictions.tsv")
    maps = [nib.load(study.folder / row["relevance"]).get_fdata() for row in predictions]
    for row, data in zip(clusters, maps, strict=True):
        assert float(row["relevance_outside"]) == pytest.approx(data[~ball()].sum(), abs=1e-5)
    for cluster in {row["cluster"] for row in clusters}:
        mine = [m for m, row in zip(maps, clusters, strict=True) if row["cluster"] == cluster]
        mean = nib.load(folder / f"cluster-{cluster}_mean.nii.gz")
        np.testing.assert_allclose(mean.get_fdata(), np.mean(mine, axis=0), atol=1e-7)
        assert np.allclose(mean.affine, AFFINE)
    counts = rows(folder / "contingency.tsv")
    assert sum(int(row["n"]) for row in counts if row["variable"] == "outcome") == N
    assert (folder / "mosaics.png").read_bytes().startswith(b"\x89PNG")
