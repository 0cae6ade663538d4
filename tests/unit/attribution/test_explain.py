"""What every attribution method of the table promises."""

from __future__ import annotations

import pytest
import torch

from bids_xai.attribution import METHODS, explain, method_options
from bids_xai.errors import UsageError
from bids_xai.models import build_model

SHAPE = (16, 18, 21)


def _volumes() -> torch.Tensor:
    return torch.rand(3, 1, *SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", METHODS)
def test_shape_type_and_finiteness(name: str) -> None:
    volumes = _volumes()
    relevance = explain(name, build_model("graz", SHAPE), volumes)
    assert relevance.shape == volumes.shape
    assert relevance.dtype == volumes.dtype
    assert relevance.device == volumes.device
    assert relevance.isfinite().all()
    assert relevance.abs().sum() > 0
    assert not relevance.requires_grad
    assert METHODS[name].signed or (relevance >= 0).all()


@pytest.mark.parametrize("name", METHODS)
def test_model_and_input_are_left_as_found(name: str) -> None:
    model, volumes = build_model("graz", SHAPE), _volumes().requires_grad_()
    model.train()
    model.layers[3].eval()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    next(model.parameters()).requires_grad_(False)
    modes = [module.training for module in model.modules()]
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    before = volumes.detach().clone()
    with torch.no_grad():
        explain(name, model, volumes)
        assert not torch.is_grad_enabled()
    explain(name, model, volumes)
    assert torch.is_grad_enabled()
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert all(torch.equal(p.grad, torch.ones_like(p)) for p in model.parameters())
    assert [p.requires_grad for p in model.parameters()].count(False) == 1
    assert torch.equal(volumes, before)
    assert volumes.grad is None
    assert volumes.requires_grad
    assert not any(m._forward_hooks or m._backward_hooks for m in model.modules())


@pytest.mark.parametrize("name", METHODS)
def test_the_rest_of_the_batch_does_not_matter(name: str) -> None:
    model, volumes = build_model("graz", SHAPE).double(), _volumes().double()
    alone = torch.cat([explain(name, model, volume[None]) for volume in volumes])
    torch.testing.assert_close(explain(name, model, volumes), alone)


@pytest.mark.parametrize("name", METHODS)
def test_starts_are_options(name: str) -> None:
    assert METHODS[name].start == method_options(name)["start"]


def test_the_target_is_used_where_a_class_is_the_start() -> None:
    model, volumes = build_model("graz", SHAPE), _volumes()
    sums = [
        explain("lrp-zplus", model, volumes, k, start="probability").flatten(1).sum(1)
        for k in (0, 1)
    ]
    torch.testing.assert_close(sums[0], model(volumes).softmax(1)[:, 0].detach())
    torch.testing.assert_close(sums[0] + sums[1], torch.ones(3))


def test_unknown_names_and_options_are_refused() -> None:
    model, volumes = build_model("graz", SHAPE), _volumes()
    with pytest.raises(UsageError, match=r"'deeplift'.*lrp-zplus"):
        explain("deeplift", model, volumes)
    with pytest.raises(UsageError, match=r"no option epsilon.*start, zero_division"):
        explain("lrp-zplus", model, volumes, epsilon=1)
