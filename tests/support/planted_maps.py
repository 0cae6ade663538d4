"""Maps with planted clusters."""

from __future__ import annotations

import numpy as np


def planted(
    sizes: tuple[int, ...], distance: float, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian clouds in 20 dimensions, whose centres lie ``distance`` apart."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = np.eye(20)[: len(sizes)] * distance / np.sqrt(2)
    return (centres[truth] + rng.normal(size=(truth.size, 20))).astype(np.float32), truth
