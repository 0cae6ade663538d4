"""The patch network is one small network on every patch."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import nn

from bids_xai.models.patch import Patch, _window


def small_network(model: Patch, volumes: torch.Tensor) -> torch.Tensor:
    """Logits of one patch by itself: the sliding dense layers become ordinary ones."""
    first, last = (
        i for i, layer in enumerate(model.layers) if isinstance(layer, nn.Conv3d) and i > 14
    )
    maps = model.layers[:first](volumes)
    weight, bias = model.layers[first].weight, model.layers[first].bias
    assert maps.shape[2:] == weight.shape[2:]
    hidden = nn.functional.elu(maps.flatten(1) @ weight.flatten(1).T + bias)
    return hidden @ model.layers[last].weight.flatten(1).T + model.layers[last].bias


@pytest.mark.parametrize("shape", [(69, 80, 71), (80, 100, 68)])
def test_logits_are_the_mean_over_the_patches_cut_out_one_by_one(
    shape: tuple[int, int, int],
) -> None:
    model = Patch(shape, 3, channels=2, seed=1).eval()
    volumes = torch.rand(1, 2, *shape)
    dense = next(layer for layer in model.layers if getattr(layer, "out_channels", 0) == 40)
    sizes = [56 + 12 * (k - 1) for k in dense.kernel_size]
    steps = [12 * s for s in dense.stride]
    corners = [[i * step for i in range(n)] for n, step in zip((2, 3, 2), steps, strict=True)]
    with torch.no_grad():
        patches = []
        for corner in product(*corners):
            x, y, z = (slice(c, c + n) for c, n in zip(corner, sizes, strict=True))
            patches.append(small_network(model, volumes[:, :, x, y, z]))
        assert len(patches) == 12
        torch.testing.assert_close(model(volumes), torch.stack(patches).mean(dim=0))


def test_patches_leave_no_gap_and_not_a_whole_step_at_the_end() -> None:
    for voxels in range(80, 300):
        grid = voxels
        for pool in (3, 2, 2):
            grid = (grid - 2) // pool
        grid -= 2
        kernel, stride = _window((grid, grid, grid))
        for count, k, s in zip((2, 3, 2), kernel, stride, strict=True):
            size, step = 56 + 12 * (k - 1), 12 * s
            assert k >= 1
            assert step <= size
            covered = (count - 1) * step + size
            assert voxels - 12 < covered <= voxels
