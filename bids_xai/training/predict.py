"""Predictions of a trained network."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from bids_xai.arrays import Floats32
from bids_xai.errors import BadDataError
from bids_xai.runtime.device import saying_memory_is_short
from bids_xai.training.batches import Scans, batches


@torch.no_grad()
def predict(model: nn.Module, data: Scans, batch_size: int, device: str | torch.device) -> Floats32:
    """Probabilities (n, classes) of scans, in their order; the model keeps its modes."""
    modes = {module: module.training for module in model.modules()}
    try:
        with saying_memory_is_short(batch_size, device):
            model.to(device).eval()
            parts = [
                model(volumes).softmax(dim=1).cpu().numpy()
                for volumes, _, _ in batches(data, range(len(data)), batch_size, device)
            ]
    finally:
        for module, training in modes.items():
            module.training = training
    if not parts:
        raise BadDataError("There are no scans to predict", fix="check the selection of scans")
    probabilities: Floats32 = np.concatenate(parts).astype(np.float32)
    return probabilities
