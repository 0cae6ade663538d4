"""Methods that take the gradient of one class with respect to the input.

None of them changes the model: gradients are taken with respect to a copy of the input, and guided
backpropagation runs the chain of layers with its own activations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from bids_xai.attribution.layers import ACTIVATIONS, known_chain
from bids_xai.attribution.start import class_score
from bids_xai.errors import UsageError

FORMS = ("absolute", "squared", "signed")

Forward = Callable[[Tensor], Tensor]


def saliency(
    model: nn.Module,
    volumes: Tensor,
    target: int = 1,
    *,
    start: str = "probability",
    form: str = "absolute",
) -> Tensor:
    """Absolute value of the gradient of the probability of ``target``; sums to nothing known.

    form : ``absolute`` (Rieke et al. 2018), ``squared`` or ``signed``
    """
    _check_form(form)
    return _formed(gradient(model, volumes, start, target), form)


def input_x_gradient(
    model: nn.Module, volumes: Tensor, target: int = 1, *, start: str = "logit"
) -> Tensor:
    """Input times the gradient of the logit of ``target``, signed.

    In a network of ReLU and max-pooling it sums to the logit less the share of the biases.
    """
    return volumes * gradient(model, volumes, start, target)


def guided_backprop(
    model: nn.Module,
    volumes: Tensor,
    target: int = 1,
    *,
    start: str = "probability",
    form: str = "absolute",
) -> Tensor:
    """Gradient whose negative values are set to 0 at every ReLU (and ELU), absolute value.

    Starts at the probability of ``target`` (Rieke et al. 2018, Boehle et al. 2019); sums to nothing
    known. form : ``absolute``, ``squared`` or ``signed``
    """
    _check_form(form)
    return _formed(guided_gradient(model, volumes, start, target), form)


def integrated_gradients(
    model: nn.Module,
    volumes: Tensor,
    target: int = 1,
    *,
    start: str = "probability",
    steps: int = 32,
    baseline: float = 0.0,
) -> Tensor:
    """(Input - baseline) times the mean gradient on the straight way from the baseline, signed.

    Starts at the probability of ``target``; sums to its change from the baseline to the input, up
    to the error of the midpoint rule. steps : passes; baseline : the same for every voxel
    """
    _check_count("steps", steps)
    difference = volumes - baseline
    total = torch.zeros_like(volumes)
    for step in range(steps):
        total += gradient(model, baseline + (step + 0.5) / steps * difference, start, target)
    return difference * total / steps


def smoothgrad(
    model: nn.Module,
    volumes: Tensor,
    target: int = 1,
    *,
    start: str = "logit",
    form: str = "absolute",
    noise: float = 0.15,
    samples: int = 25,
    seed: int = 0,
) -> Tensor:
    """Mean gradient of the logit of ``target`` over noisy copies of the input, absolute value.

    noise : standard deviation as a share of the range (highest - lowest value) of each volume
    samples : noisy copies; every volume gets the same noise from ``seed``, times its own range
    form : ``absolute``, ``squared`` or ``signed``, taken of the mean. Sums to nothing known.
    """
    _check_form(form)
    _check_count("samples", samples)
    if not 0 <= noise < float("inf"):
        raise UsageError(f"noise {noise} is invalid", fix="give a number of 0 or more")
    axes = tuple(range(1, volumes.ndim))
    spread = noise * (volumes.amax(axes, True) - volumes.amin(axes, True))
    generator = torch.Generator().manual_seed(seed)  # on the CPU: the same on every device
    total = torch.zeros_like(volumes)
    for _ in range(samples):
        drawn = torch.randn(volumes.shape[1:], generator=generator, dtype=volumes.dtype)
        total += gradient(model, volumes + spread * drawn.to(volumes.device), start, target)
    return _formed(total / samples, form)


def gradient(model: Forward, volumes: Tensor, start: str, target: int) -> Tensor:
    """Gradient of the score of ``target``, of the shape of ``volumes``; leaves no graph."""
    with torch.set_grad_enabled(True):
        inputs = volumes.detach().clone().requires_grad_()
        score = class_score(model(inputs), start, target)
        (result,) = torch.autograd.grad(score.sum(), inputs)
    return result.detach()


def guided_gradient(model: nn.Module, volumes: Tensor, start: str, target: int) -> Tensor:
    """As :func:`gradient`, negative gradients set to 0 where they leave a ReLU or ELU backwards."""
    leaves = known_chain(model, "Guided backpropagation")

    def forward(x: Tensor) -> Tensor:
        for leaf in leaves:
            x = leaf(x)
            if isinstance(leaf, ACTIVATIONS):
                x = _positive_gradient(x)
        return x

    return gradient(forward, volumes, start, target)


class _PositiveGradient(torch.autograd.Function):
    """The identity; gradients below 0 become 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].clamp(min=0)


def _positive_gradient(x: Tensor) -> Tensor:
    """``x``; gradients below 0 become 0 on the way back."""
    y: Tensor = _PositiveGradient.apply(x)  # type: ignore[no-untyped-call]
    return y


def _check_form(form: str) -> None:
    if form not in FORMS:
        raise UsageError(f"Unknown form '{form}'", fix=f"use {', '.join(FORMS)}")


def _formed(values: Tensor, form: str) -> Tensor:
    if form == "signed":
        return values
    return values.abs() if form == "absolute" else values.square()


def _check_count(name: str, value: int) -> None:
    if value < 1:
        raise UsageError(f"{name} {value} is invalid", fix="give a whole number of 1 or more")
