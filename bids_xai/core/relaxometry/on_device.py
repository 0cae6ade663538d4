"""The estimators of :mod:`bids_xai.core.relaxometry.fit` on a torch device, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bids_xai.arrays import Floats32, Ints
from bids_xai.core.relaxometry.echoes import Echoes
from bids_xai.core.relaxometry.voxels import N_COUNTS, N_MAPS, FitPlan, fit_part
from bids_xai.errors import UsageError

_CHUNK = 1 << 21  # voxels at a time: about 2 GB of working set at six echoes


def check_device(name: str) -> torch.device:
    """Return the device, or raise :class:`UsageError` where this computer does not have it."""
    device = torch.device(name)
    n_devices = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= n_devices:
        raise UsageError(
            f"device '{name}' not found, torch sees {n_devices} CUDA devices",
            fix="use device 'cpu'",
        )
    return device


def fit_on_device(samples: NDArray[Any], plan: FitPlan, device: str) -> tuple[Floats32, Ints]:
    """Fit (n_echoes, n_voxels) on ``device``, by the algorithm of the numpy path.

    Returns the maps (5, n_voxels) float32 and the counts (5,) of :func:`fit_part`.
    """
    where = check_device(device)
    echoes = Echoes.of(plan.times_s, torch, lambda array: torch.from_numpy(array).to(where))
    maps = np.zeros((N_MAPS, samples.shape[1]), np.float32)
    counts = np.zeros(N_COUNTS, np.int64)
    for start in range(0, samples.shape[1], _CHUNK):
        part = np.array(samples[:, start : start + _CHUNK], dtype=np.float64, order="C")
        fitted, counts_of_part = fit_part(torch.from_numpy(part).to(where), plan, echoes)
        maps[:, start : start + _CHUNK] = fitted.to(torch.float32).cpu().numpy()
        counts += counts_of_part
    return maps, counts
