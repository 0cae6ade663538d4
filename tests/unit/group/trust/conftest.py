"""A network that has learnt nothing, with scans and their heatmaps: enough for single checks."""

from __future__ import annotations

from collections.abc import Sequence
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

SCANS = ("sub-01", "sub-02", "sub-03")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> ExplainedNetwork:
    """A network of three scans."""
    root = tmp_path_factory.mktemp("network")
    model = build(CARD.architecture, SHAPE, 2, seed=5)
    save_model(root / "model", model, CARD)
    scans = {scan: _scan(root, scan, seed) for seed, scan in enumerate(SCANS, 1)}
    return ExplainedNetwork(root / "model", root, scans, None, "cpu")


def _scan(root: Path, name: str, seed: int) -> Scan:
    rng = np.random.default_rng(seed)
    data = (20 + 30 * ndimage.gaussian_filter(rng.normal(size=SHAPE), 1.0)).clip(0.1)
    brain = np.zeros(SHAPE, np.uint8)
    brain[2:-2, 2:-2, 2:-2] = 1
    anat = root / name / "anat"
    files = (
        write_nifti(anat / f"{name}_space-T1w_R2starmap.nii.gz", data.astype(np.float32), AFFINE),
        write_nifti(anat / f"{name}_desc-brain_mask.nii.gz", brain, AFFINE),
    )
    return Scan(name, name.removeprefix("sub-"), "", "AD", *files, None)


@pytest.fixture(scope="module")
def explained(network: ExplainedNetwork) -> ExplainedSplit:
    """What the network explained of ``sub-01``, by every request."""
    return _explained(network, SCANS[:1])


@pytest.fixture(scope="module")
def all_explained(network: ExplainedNetwork) -> ExplainedSplit:
    """What the network explained of all scans, by every request; one of them for another class."""
    return _explained(network, SCANS)


def _explained(network: ExplainedNetwork, scans: Sequence[str]) -> ExplainedSplit:
    """Heatmaps written where the predictions say."""
    classes = dict(zip(SCANS, ("AD", "NC", "AD"), strict=True))
    rows = [
        prediction(scan, name, relevance_class="all" if name == "lrp-zplus" else classes[scan])
        for scan in scans
        for name in REQUESTS
    ]
    folder = Path(network.scans["sub-01"].map_file).parents[2]
    for row in rows:
        opened = network.open(row.scan)
        relevance = network.explain(opened, REQUESTS[str(row.method)], row)
        write_nifti(folder / str(row.heatmap), relevance, opened.volume.affine)
    (split,) = explained_splits(rows)
    return split
