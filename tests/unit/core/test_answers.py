"""What a network says along curves: every step from a volume made anew."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.core import answers
from bids_xai.core.answers import Replacement, WholeVolumes

SHAPE = (5, 6, 4)


def predict(batch: np.ndarray) -> np.ndarray:
    """Two numbers that every voxel has a part in."""
    weights = np.random.default_rng(0).normal(size=(*SHAPE, 2))
    return np.einsum("nxyz,xyzc->nc", batch.astype(np.float64), weights)


def noise(draw: int) -> np.ndarray:
    return np.random.default_rng(draw).random(SHAPE).astype(np.float32)


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_every_step_keeps_what_was_replaced_before(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "BATCH_VOXELS", at_once * np.prod(SHAPE))
    rng = np.random.default_rng(1)
    volume = rng.random(SHAPE).astype(np.float32)
    curves = []
    for draw, n_steps in ((0, 3), (1, 5), (0, 0)):
        first = rng.integers(0, 3, (n_steps, 2, 3))  # two boxes a step
        curves.append(
            Replacement(list(np.stack([first, first + np.array([1, 2, 2])], axis=3)), draw)
        )
    network = WholeVolumes(volume, predict)
    np.testing.assert_allclose(network.start, predict(volume[None])[0])
    for curve, after in zip(curves, network.along(curves, noise), strict=True):
        assert after.shape == (len(curve.steps), 2)
        for step in range(len(curve.steps)):
            changed = volume.copy()
            for (a, b), (c, d), (e, f) in np.concatenate(curve.steps[: step + 1]):
                changed[a:b, c:d, e:f] = noise(curve.draw)[a:b, c:d, e:f]
            np.testing.assert_allclose(after[step], predict(changed[None])[0])
