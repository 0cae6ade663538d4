"""Gradient methods against closed forms and slow versions."""

from __future__ import annotations

import pytest
import torch
from chains import SHAPE, conv_net, maps, patch_net
from torch import Tensor, nn

from bids_xai.attribution import explain
from bids_xai.errors import UsageError


def _linear(seed: int = 0) -> tuple[nn.Sequential, Tensor]:
    """A network f_c = w_c x + b_c, and w (classes, x, y, z)."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(3, 4 * 5 * 6, generator=generator, dtype=torch.float64) / 10
    net = nn.Sequential(nn.Flatten(), nn.Linear(4 * 5 * 6, 3)).double()
    net[1].weight.data, net[1].bias.data = weight, torch.tensor([0.1, -0.2, 0.3]).double()
    return net, weight.reshape(3, *SHAPE)


def test_a_linear_network_in_closed_form() -> None:
    """d p_c / dx = p_c (w_c - sum_k p_k w_k)."""
    net, w = _linear()
    volumes = maps()
    p = net(volumes).softmax(1).detach()
    mean = torch.einsum("nk,kxyz->nxyz", p, w)[:, None]
    for c in range(3):
        slope = p[:, c].reshape(-1, 1, 1, 1, 1) * (w[c] - mean)
        same = torch.testing.assert_close
        same(explain("saliency", net, volumes, c), slope.abs())
        same(explain("saliency", net, volumes, c, form="squared"), slope**2)
        same(explain("saliency", net, volumes, c, form="signed"), slope)
        same(explain("guided-backprop", net, volumes, c, form="signed"), slope)
        expected = w[c].expand_as(volumes)
        same(explain("saliency", net, volumes, c, start="logit"), expected.abs())
        same(explain("smoothgrad", net, volumes, c, samples=2), expected.abs())
        same(explain("input-x-gradient", net, volumes, c), w[c] * volumes)
        same(
            explain("integrated-gradients", net, volumes, c, start="logit", baseline=0.3, steps=2),
            w[c] * (volumes - 0.3),
        )


def test_integrated_gradients_are_complete() -> None:
    net, volumes = conv_net(nn.ELU), maps()
    change = (net(volumes).softmax(1) - net(torch.zeros_like(volumes)).softmax(1))[:, 1].detach()
    errors = []
    for steps in (10, 320):
        heatmaps = explain("integrated-gradients", net, volumes, steps=steps).flatten(1).sum(1)
        errors.append(float((heatmaps - change).abs().max()))
    assert errors[1] < 1e-2 * float(change.abs().min())
    assert errors[1] < errors[0] / 4


def test_integrated_gradients_against_a_plain_sum() -> None:
    net, volumes = conv_net(), maps()
    total = torch.zeros_like(volumes)
    for share in (1 / 6, 3 / 6, 5 / 6):
        x = (share * volumes).requires_grad_()
        (slope,) = torch.autograd.grad(net(x).softmax(1)[:, 1].sum(), x)
        total += slope * volumes / 3
    torch.testing.assert_close(explain("integrated-gradients", net, volumes, steps=3), total)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ELU])
def test_guided_backpropagation_by_hand(activation: type[nn.Module]) -> None:
    """Layer by layer: the transpose of each, negative values dropped before each activation."""
    net, volumes = conv_net(activation), maps()
    inputs, x = [], volumes
    for layer in net:
        inputs.append(x.detach().requires_grad_())
        x = layer(inputs[-1])
    back = torch.zeros_like(x)
    back[:, 0] = 1
    for layer, seen in zip(reversed(net), reversed(inputs), strict=True):
        if isinstance(layer, activation):
            back = back.clamp(min=0)
        (back,) = torch.autograd.grad(layer(seen), seen, back)
    heatmaps = explain("guided-backprop", net, volumes, 0, start="logit", form="signed")
    torch.testing.assert_close(heatmaps, back)
    torch.testing.assert_close(
        explain("guided-backprop", net, volumes, 0, start="logit"), back.abs()
    )
    assert (heatmaps != explain("saliency", net, volumes, 0, start="logit", form="signed")).any()


def test_smoothgrad_is_the_mean_over_noise_scaled_to_each_volume() -> None:
    net, volumes = conv_net(), maps() * torch.tensor([1.0, 4.0]).reshape(2, 1, 1, 1, 1)
    generator = torch.Generator().manual_seed(7)
    expected = torch.zeros_like(volumes)
    for _ in range(5):
        noise = torch.randn(1, *SHAPE, generator=generator, dtype=torch.float64)
        for i in range(2):
            spread = 0.2 * float(volumes[i].max() - volumes[i].min())
            x = (volumes[i : i + 1] + spread * noise).requires_grad_()
            expected[i] += torch.autograd.grad(net(x)[:, 1].sum(), x)[0][0] / 5
    options = {"noise": 0.2, "samples": 5, "seed": 7}
    heatmaps = explain("smoothgrad", net, volumes, form="signed", **options)
    torch.testing.assert_close(heatmaps, expected)
    torch.testing.assert_close(explain("smoothgrad", net, volumes, **options), expected.abs())


def test_smoothgrad_without_noise_is_the_gradient() -> None:
    net, volumes = conv_net(), maps()
    heatmaps = explain("smoothgrad", net, volumes, noise=0, samples=3)
    torch.testing.assert_close(heatmaps, explain("saliency", net, volumes, start="logit"))


def test_the_global_generator_is_left_alone() -> None:
    net, volumes = conv_net(), maps()
    state = torch.get_rng_state()
    explain("smoothgrad", net, volumes, samples=1)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_captum_agrees() -> None:
    attr = pytest.importorskip("captum.attr")
    net, volumes = conv_net(), maps()
    pairs = {
        "saliency": attr.Saliency(net).attribute(volumes.clone(), target=1),
        "input-x-gradient": attr.InputXGradient(net).attribute(volumes.clone(), target=1),
        "integrated-gradients": attr.IntegratedGradients(net).attribute(
            volumes.clone(), target=1, n_steps=32, method="riemann_middle"
        ),
    }
    for name, expected in pairs.items():
        heatmaps = explain(name, net, volumes, start="logit")
        torch.testing.assert_close(heatmaps, expected.detach(), rtol=1e-5, atol=1e-8)
    expected = attr.GuidedBackprop(net).attribute(volumes.clone(), target=1).detach()
    heatmaps = explain("guided-backprop", net, volumes, start="logit", form="signed")
    torch.testing.assert_close(heatmaps, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("method", ["saliency", "guided-backprop", "smoothgrad"])
def test_layers_of_another_kind(method: str) -> None:
    assert (explain(method, patch_net(), maps()) >= 0).all()


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("saliency", {"start": "softmax"}, "explains one class"),
        ("saliency", {"start": "top"}, "start 'top'"),
        ("saliency", {"form": "cubed"}, "form 'cubed'"),
        ("integrated-gradients", {"steps": 0}, "steps 0"),
        ("smoothgrad", {"samples": 0}, "samples 0"),
        ("smoothgrad", {"noise": -1}, "noise -1"),
    ],
)
def test_options_that_make_no_sense(method: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        explain(method, conv_net(), maps(), **options)
    with pytest.raises(UsageError, match="no class 2"):
        explain(method, conv_net(), maps(), 2)


def test_guided_backpropagation_needs_to_know_the_layers() -> None:
    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = conv_net()

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.inner(x)
            return logits

    with pytest.raises(UsageError, match="no rule for the layer Hidden"):
        explain("guided-backprop", Hidden(), maps())
    assert explain("saliency", Hidden(), maps()).isfinite().all()
