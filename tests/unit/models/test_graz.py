"""The graz network: layout, size, initial weights, biases."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bids_xai.errors import UsageError
from bids_xai.models import build
from bids_xai.models.graz import Graz

SHAPE = (18, 33, 47)


def test_size_of_the_paper() -> None:
    with torch.device("meta"):
        volume = torch.empty(1, 1, 176, 224, 256)
        model = Graz((176, 224, 256)).to("meta")
    assert model.layers[:16](volume).shape == (1, 8, 11, 14, 16)
    assert sum(p.numel() for p in model.parameters()) == 327_818  # 0.33 million
    assert model(volume).shape == (1, 2)


@pytest.mark.parametrize("shape", [SHAPE, (1, 2, 3), (16, 32, 48)])
def test_any_shape_and_number_of_classes(shape: tuple[int, int, int]) -> None:
    model = build("graz", shape, n_classes=3)
    assert model(torch.rand(2, 1, *shape)).shape == (2, 3)


def test_weights_are_he_uniform_and_biases_zero() -> None:
    model = build("graz", SHAPE, seed=1)
    for layer in model.modules():
        if isinstance(layer, nn.Conv3d | nn.Linear):
            bound = (6 / layer.weight[0].numel()) ** 0.5
            assert layer.weight.abs().max() <= bound
            if layer.weight.numel() > 100:
                assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
            assert not layer.bias.any()


def test_the_seed_decides_and_the_global_generator_is_untouched() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, same, other = (build("graz", SHAPE, seed=seed) for seed in (7, 7, 8))
    assert torch.equal(torch.get_rng_state(), before)
    weights = [next(model.parameters()) for model in (first, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_projection_clamps_every_bias_and_nothing_else() -> None:
    model = Graz(SHAPE)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.linspace(-1, 1, parameter.numel()).reshape(parameter.shape))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    model.project_biases()
    for name, parameter in model.named_parameters():
        expected = before[name].clamp(max=0) if name.endswith("bias") else before[name]
        assert torch.equal(parameter, expected)
        assert parameter.requires_grad


def test_outputs_do_not_depend_on_the_batch() -> None:
    model = build("graz", SHAPE).double()
    volumes = torch.rand(3, 1, *SHAPE, dtype=torch.float64)
    alone = torch.cat([model(volume[None]) for volume in volumes])
    torch.testing.assert_close(model(volumes), alone)


def test_unknown_names_and_impossible_shapes_are_refused() -> None:
    with pytest.raises(UsageError, match=r"'resnet'.*graz"):
        build("resnet", SHAPE)
    with pytest.raises(UsageError, match="three axes"):
        build("graz", (10, 10))
