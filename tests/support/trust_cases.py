"""Predictions with a heatmap, as the checks of heatmaps are given them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bids_xai.attribution.request import Request
from bids_xai.models.card import ModelCard
from bids_xai.tables.predictions import Prediction

SHAPE = (16, 17, 15)
AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])
REQUESTS = {name: Request(name, name) for name in ("lrp-zplus", "saliency")}
CARD = ModelCard(
    architecture="graz",
    input_shape=SHAPE,
    voxel_mm=None,
    suffix="R2starmap",
    space="T1w",
    scale=40.0,
    maximum=100.0,
    skull_strip=False,
    classes=("NC", "AD"),
    positive="AD",
    seed=0,
    study="tiny",
    configuration="A",
    split=0,
    split_hash="",
    training_participants=(),
    relevance_guided=False,
    metrics={},
    versions={},
)


def prediction(scan: str = "sub-01", method: str = "lrp-zplus", **values: Any) -> Prediction:
    """A prediction of the class AD of two, right, explained by the whole softmax vector."""
    usual: dict[str, Any] = {
        "participant_id": scan.partition("_")[0],
        "session_id": None,
        "configuration": "A",
        "split": 0,
        "method": method,
        "relevance_class": "all",
        "set_name": "test",
        "true_class": "AD",
        "predicted_class": "AD",
        "probability": 0.75,
        "outcome": "TP",
        "relevance_sum": 1.0,
        "warped_sum": None,
        "inner_mask_share": 1.0,
        "heatmap": Path(f"relevance/{scan}_space-T1w_desc-{method}_relmap.nii.gz"),
        "warped_heatmap": None,
        "class_probabilities": {"NC": 0.25, "AD": 0.75},
    }
    return Prediction(**usual | values)
