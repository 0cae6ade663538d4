"""Initial weights."""

from __future__ import annotations

from math import sqrt

import pytest
import torch
from torch import nn

from bids_xai.models.pif import PIF3d
from bids_xai.models.weights import Bounds, fan_in_uniform, glorot_uniform, he_uniform, initialise


def layers() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(3, 5, 3),
        nn.BatchNorm3d(5),
        nn.Sequential(nn.Linear(70, 20)),
        PIF3d(4, 6, (4, 5, 6), 2),
    )


@pytest.mark.parametrize(
    ("scheme", "numbers"),
    [
        (he_uniform, lambda fan_in, fan_out: (6 / fan_in, 0)),
        (glorot_uniform, lambda fan_in, fan_out: (6 / (fan_in + fan_out), 0)),
        (fan_in_uniform, lambda fan_in, fan_out: (1 / fan_in, 1 / fan_in)),
    ],
)
def test_bounds_and_spread_of_every_scheme(scheme: Bounds, numbers: Bounds) -> None:
    drawn = layers()
    initialise(drawn, 1, scheme)
    conv, _, nested, pif = drawn
    assert isinstance(pif, PIF3d)
    assert isinstance(nested, nn.Sequential)
    fans = [(conv, 3 * 27, 5 * 27), (nested[0], 70, 20), (pif, 4 * 27, 6 * 27)]
    for layer, fan_in, fan_out in fans:
        pairs = layer.weights() if layer is pif else [(layer.weight, layer.bias)]
        weight_bound, bias_bound = map(sqrt, numbers(fan_in, fan_out))
        for weight, bias in pairs:
            assert 0.98 * weight_bound < weight.abs().max() <= weight_bound * (1 + 1e-6)
            assert weight.std().item() == pytest.approx(weight_bound / sqrt(3), rel=0.1)
            assert bias.abs().max() <= bias_bound * (1 + 1e-6)
            assert bool(bias.any()) == bool(bias_bound)


def test_batch_norm_stays_and_the_seed_decides() -> None:
    first, same, other = layers(), layers(), layers()
    for drawn, seed in ((first, 1), (same, 1), (other, 2)):
        initialise(drawn, seed, fan_in_uniform)
    norm = first[1]
    assert isinstance(norm, nn.BatchNorm3d)
    assert (norm.weight == 1).all()
    assert not norm.bias.any()
    for key, value in first.state_dict().items():
        assert torch.equal(value, same.state_dict()[key])
        assert torch.equal(value, other.state_dict()[key]) == key.startswith("1.")
