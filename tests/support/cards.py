"""A model card that is valid; a test names what matters to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bids_xai.models.card import ModelCard

_CARD = ModelCard(
    architecture="graz",
    input_shape=(16, 16, 16),
    voxel_mm=None,
    suffix="R2starmap",
    space="T1w",
    scale=40.0,
    maximum=None,
    skull_strip=False,
    classes=("NC", "AD"),
    positive="AD",
    seed=0,
    study="tiny",
    configuration="A",
    split=0,
    split_hash="0",
    training_participants=("01",),
    relevance_guided=False,
    metrics={},
    versions={},
    weights_sha256="0" * 64,
)


def model_card(**changes: Any) -> ModelCard:
    """The card with some other values."""
    return replace(_CARD, **changes)
