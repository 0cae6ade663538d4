"""A network that has learnt nothing, with a scan and its heatmaps: enough for single checks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from trust_cases import AFFINE, CARD, REQUESTS, SHAPE, prediction

from bids_xai.bids.files import write_nifti
from bids_xai.group.context import Scan
from bids_xai.group.trust.heatmaps import ExplainedSplit, explained_splits
from bids_xai.group.trust.network import ExplainedNetwork
from bids_xai.models import build
from bids_xai.models.card import save_model


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> ExplainedNetwork:
    """A network of one scan, ``sub-01``."""
    root = tmp_path_factory.mktemp("network")
    rng = np.random.default_rng(1)
    data = (20 + 30 * ndimage.gaussian_filter(rng.normal(size=SHAPE), 1.0)).clip(0.1)
    brain = np.zeros(SHAPE, np.uint8)
    brain[2:-2, 2:-2, 2:-2] = 1
    anat = root / "sub-01" / "anat"
    files = (
        write_nifti(anat / "sub-01_space-T1w_R2starmap.nii.gz", data.astype(np.float32), AFFINE),
        write_nifti(anat / "sub-01_desc-brain_mask.nii.gz", brain, AFFINE),
    )
    model = build(CARD.architecture, SHAPE, 2, seed=5)
    save_model(root / "model", model, CARD)
    scan = Scan("sub-01", "01", "", "AD", *files, None)
    return ExplainedNetwork(root / "model", root, {"sub-01": scan}, None, "cpu")


@pytest.fixture(scope="module")
def explained(network: ExplainedNetwork) -> ExplainedSplit:
    """What the network explained, by every request, written where the predictions say."""
    opened = network.open("sub-01")
    rows = [
        prediction("sub-01", name, relevance_class="all" if name == "lrp-zplus" else "AD")
        for name in REQUESTS
    ]
    folder = Path(network.scans["sub-01"].map_file).parents[2]
    for row in rows:
        relevance = network.explain(opened, REQUESTS[str(row.method)], row)
        write_nifti(folder / str(row.heatmap), relevance, opened.volume.affine)
    (split,) = explained_splits(rows)
    return split
