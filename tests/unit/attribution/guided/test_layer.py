"""One convolution of a guided step: every pass against autograd of the formula it stands for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bids_xai.attribution.guided.layer import ConvolutionLayer
from bids_xai.attribution.rules import FLOOR

CASES = [
    ((1, 1, 1), (1, 1, 1), (3, 3, 3)),
    ((2, 2, 2), (1, 1, 1), (3, 3, 3)),
    ((2, 1, 3), (0, 2, 1), (2, 3, 4)),
]
GRID = (5, 6, 7)


def drawn(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


class Formula:
    """Activation, Z and relevance as they are written in the module, by autograd."""

    def __init__(
        self,
        stride: tuple[int, ...],
        padding: tuple[int, ...],
        kernel: tuple[int, ...],
        channels: int = 2,
    ) -> None:
        self.how = {"stride": stride, "padding": padding}
        self.x = (drawn(2, channels, *GRID, seed=0) - 0.3).clamp(min=0).requires_grad_()
        self.weight = (drawn(3, channels, *kernel, seed=1) - 0.5).requires_grad_()
        self.bias = (drawn(3, seed=2) - 0.5).requires_grad_()
        raised = self.weight.clamp(min=FLOOR)
        self.h = functional.conv3d(self.x, self.weight, self.bias, **self.how).relu()  # type: ignore[arg-type]
        self.z = functional.conv3d(self.x + FLOOR, raised, **self.how)  # type: ignore[arg-type]
        self.relevance = drawn(*self.h.shape, seed=3).requires_grad_()
        share = self.relevance / self.z
        probe = torch.zeros_like(self.x, requires_grad=True)
        out = functional.conv3d(probe, raised, **self.how)  # type: ignore[arg-type]
        (below,) = torch.autograd.grad(out, probe, share, create_graph=True)
        self.taken = (self.x + FLOOR) * below


def layer_of(formula: Formula, *, first: bool = False) -> ConvolutionLayer:
    layer = ConvolutionLayer(**formula.how, first=first)
    layer.forward(formula.x.detach(), formula.weight.detach(), formula.bias.detach())
    return layer


@pytest.mark.parametrize(("stride", "padding", "kernel"), CASES)
def test_activation_and_what_feeds_it(
    stride: tuple[int, ...], padding: tuple[int, ...], kernel: tuple[int, ...]
) -> None:
    formula = Formula(stride, padding, kernel)
    layer = layer_of(formula)
    torch.testing.assert_close(layer.h, formula.h.detach())
    torch.testing.assert_close(-layer.z, formula.z.detach(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("stride", "padding", "kernel"), CASES)
def test_relevance_of_the_input_and_all_gradients(
    stride: tuple[int, ...], padding: tuple[int, ...], kernel: tuple[int, ...]
) -> None:
    formula = Formula(stride, padding, kernel)
    layer = layer_of(formula)
    taken = layer.take_back(formula.relevance.detach().clone())
    torch.testing.assert_close(taken, formula.taken.detach())
    g_taken, g_h = drawn(*taken.shape, seed=4), drawn(*layer.h.shape, seed=5)
    expected = torch.autograd.grad(
        [formula.taken, formula.h],
        [formula.relevance, formula.x, formula.weight, formula.bias],
        [g_taken, g_h],
    )
    g_relevance = layer.backward_of_take_back(g_taken)
    given = (g_relevance, *layer.backward_of_forward(g_h))
    torch.testing.assert_close(given, expected)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("stride", "padding", "kernel"), CASES)
def test_the_share_of_a_masked_input(
    stride: tuple[int, ...], padding: tuple[int, ...], kernel: tuple[int, ...], channels: int
) -> None:
    """In the first layer; one of a single channel takes its convolutions one by one."""
    formula = Formula(stride, padding, kernel, channels)
    layer = layer_of(formula, first=True)
    mask = drawn(2, 1, *GRID, seed=6)
    masked = (formula.x.detach() + FLOOR) * mask
    share = layer.masked_share(masked)
    inner = (mask * formula.taken).sum()
    torch.testing.assert_close((share * formula.relevance).sum().detach(), inner.detach())
    g_h = drawn(*layer.h.shape, seed=5)
    expected = torch.autograd.grad(
        [inner, formula.h], [formula.relevance, formula.weight, formula.bias], [None, g_h]
    )
    layer.backward_of_masked_share(formula.relevance.detach().clone(), masked, share)
    _, g_weight, g_bias = layer.backward_of_forward(g_h)
    torch.testing.assert_close((share, g_weight, g_bias), expected)
