r"""Rules of layer-wise relevance propagation: from the output of one affine map to its input.

Notation: :math:`z_{ij} = x_i w_{ij}`, what input *i* gives output *j*; :math:`z_j = \sum_i z_{ij}`;
:math:`b_j` the bias; a raised + or - keeps the positive or negative part. Under the bias policy
``ignore`` the bias is left out, so that a rule hands on all it was given; under ``absorb`` it is
part of the denominator and keeps its own share of the relevance (the textbook rule).

Sources: Bach et al. 2015 (LRP-0, epsilon, alpha beta), Montavon et al. 2017 (z+, z^B), Montavon
et al. 2019 (gamma, composites), Boehle et al. 2019 (beta rule), Lapuschkin et al. 2019 (flat).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from bids_xai.attribution.layers import Change
from bids_xai.attribution.lrp_options import BIAS, check_bounds, check_choice, check_not_negative
from bids_xai.attribution.steps import Affine

ZERO_DIVISION = ("clamp", "zero")
ONE_SIDED = ("keep", "textbook")

FLOOR = 1e-7
"""Smallest activation and weight under ``zero_division="clamp"``: no unit divides by zero."""


class Rule(Protocol):
    """Relevance of the input ``x`` of ``op``, from the relevance of its output."""

    def __call__(self, op: Affine, x: Tensor, relevance: Tensor) -> Tensor:
        """Relevance of the input. Without a graph, it may be written over ``x``."""
        ...


@dataclass(frozen=True)
class ZPlus:
    r"""z+ for inputs >= 0: :math:`R_i = x_i \sum_j w^+_{ij} R_j / \sum_k x_k w^+_{kj}`.

    zero_division : ``clamp`` raises inputs and weights to at least 1e-7, so that the sum of
        relevance is kept exactly (zero padding stays zero and takes no relevance); ``zero`` sets
        0/0 to 0 and loses the relevance of units that no positive weight feeds
    """

    zero_division: str = "clamp"
    bias: str = "ignore"

    def __post_init__(self) -> None:
        check_choice("zero division", self.zero_division, ZERO_DIVISION)
        check_choice("bias policy", self.bias, BIAS)

    def __call__(self, op: Affine, x: Tensor, relevance: Tensor) -> Tensor:
        floor = FLOOR if self.zero_division == "clamp" else 0.0

        def change(weight: Tensor) -> Tensor:
            return weight.clamp(min=floor)

        reuse = not torch.is_grad_enabled()
        # before the layer pads: padded voxels stay zero
        x = op.raised(x, floor)
        z = op.apply(x, change)
        if self.bias == "absorb":
            z = _plus(z, op.bias(x), positive)
        if self.zero_division == "zero":
            ratio = _ratio(relevance, z)
        else:
            ratio = torch.div(relevance, z, out=z) if reuse else relevance / z
        below = op.transpose(ratio, x, change)
        return x.mul_(below) if reuse else x * below


@dataclass(frozen=True)
class AlphaBeta:
    r""":math:`R_i = \sum_j ((1+\beta) z^+_{ij} / z^+_j - \beta z^-_{ij} / z^-_j) R_j`, any signs.

    one_sided : a unit that only positive (or only negative) inputs feed would hand on
        :math:`(1+\beta) R_j` (or :math:`-\beta R_j`) in the ``textbook``; ``keep`` hands on
        :math:`R_j`
    stabilizer : added to the denominators, away from zero; 0 sets 0/0 to 0
    """

    beta: float = 0.0
    bias: str = "ignore"
    one_sided: str = "keep"
    stabilizer: float = 0.0

    def __post_init__(self) -> None:
        check_choice("bias policy", self.bias, BIAS)
        check_choice("policy for one-sided units", self.one_sided, ONE_SIDED)
        check_not_negative("beta", self.beta)
        check_not_negative("stabilizer", self.stabilizer)

    def __call__(self, op: Affine, x: Tensor, relevance: Tensor) -> Tensor:
        up = _Signed(op, x, positive, negative, self.bias)
        if self.beta == 0 and not self._needs_negative(up.z, relevance):
            return up.back(_ratio(relevance, up.z, self.stabilizer))
        down = _Signed(op, x, negative, positive, self.bias)
        alpha, beta = self._factors(up.z, down.z)
        return up.back(alpha * _ratio(relevance, up.z, self.stabilizer)) - down.back(
            beta * _ratio(relevance, down.z, self.stabilizer)
        )

    def _needs_negative(self, z_plus: Tensor, relevance: Tensor) -> bool:
        """Whether, at beta 0, some unit has relevance that only negative inputs can take."""
        return self.one_sided == "keep" and bool(((z_plus <= 0) & (relevance != 0)).any())

    def _factors(self, z_plus: Tensor, z_minus: Tensor) -> tuple[Tensor, Tensor]:
        """1 + beta and beta of every unit, or 1 and 0, 0 and -1 where it is one-sided."""
        up, down = torch.ones_like(z_plus), torch.ones_like(z_minus)
        if self.one_sided == "textbook":
            return up * (1 + self.beta), down * self.beta
        alpha = torch.where(z_minus < 0, 1 + self.beta, up)
        return alpha, torch.where(z_plus > 0, self.beta, -down)


@dataclass(frozen=True)
class Epsilon:
    r""":math:`R_i = x_i \sum_j w_{ij} R_j / (z_j + b_j + \epsilon\,\mathrm{sign}(z_j + b_j))`.

    epsilon : 0 is LRP-0 (0/0 is 0)
    relative : epsilon is a share of the root mean square of the layer's :math:`z + b` (all its
        units, every volume for itself), not a number in the units of the activations
    """

    epsilon: float = 0.0
    relative: bool = False
    bias: str = "absorb"

    def __post_init__(self) -> None:
        check_choice("bias policy", self.bias, BIAS)
        check_not_negative("epsilon", self.epsilon)

    def __call__(self, op: Affine, x: Tensor, relevance: Tensor) -> Tensor:
        z = op.apply(x)
        if self.bias == "absorb":
            z = _plus(z, op.bias(x))
        if self.epsilon and self.relative:
            scale = z.square().mean(dim=tuple(range(1, z.ndim)), keepdim=True).sqrt()
            z = z + _sign(z) * self.epsilon * scale
            return x * op.transpose(_ratio(relevance, z), x)
        return x * op.transpose(_ratio(relevance, z, self.epsilon), x)


@dataclass(frozen=True)
class Gamma:
    r"""Positive contributions favoured by :math:`\gamma`.

    For inputs >= 0 and :math:`z_j + b_j > 0`, the bias left out:
    :math:`R_i = x_i \sum_j (w_{ij} + \gamma w^+_{ij}) R_j / \sum_k x_k (w_{kj} + \gamma w^+_{kj})`.
    For inputs and units of any sign, the favoured contributions are those of the sign of the unit,
    :math:`z_j + b_j`, whatever the bias policy (Andeol et al. 2021).
    """

    gamma: float = 0.25
    bias: str = "absorb"
    stabilizer: float = 0.0

    def __post_init__(self) -> None:
        check_choice("bias policy", self.bias, BIAS)
        check_not_negative("gamma", self.gamma)
        check_not_negative("stabilizer", self.stabilizer)

    def __call__(self, op: Affine, x: Tensor, relevance: Tensor) -> Tensor:
        z = _plus(op.apply(x), op.bias(x))
        result = torch.zeros_like(x)
        sides = (
            (z > 0, self._favour(positive), self._favour(negative)),
            (z < 0, self._favour(negative), self._favour(positive)),
        )
        for side, change, opposite in sides:
            share = torch.where(side, relevance, 0.0)
            if bool((share != 0).any()):
                signed = _Signed(op, x, change, opposite, self.bias)
                result = result + signed.back(_ratio(share, signed.z, self.stabilizer))
        return result

    def _favour(self, part: Change) -> Change:
        return lambda weight: weight + self.gamma * part(weight)


@dataclass(frozen=True)
class Box:
    r"""z^B for the first layer, inputs between *l* and *h*, no bias.

    :math:`R_i = \sum_j c_{ij} R_j / \sum_k c_{kj}` with
    :math:`c_{ij} = x_i w_{ij} - l w^+_{ij} - h w^-_{ij}`.
    low, high : the bounds; None takes the lowest and highest value of each volume
    """

    low: float | None = None
    high: float | None = None
    stabilizer: float = 0.0

    def __post_init__(self) -> None:
        check_not_negative("stabilizer", self.stabilizer)
        check_bounds(self.low, self.high)

    def __call__(self, op: Affine, x: Tensor, relevance: Tensor) -> Tensor:
        axes = tuple(range(1, x.ndim))
        low = x.amin(axes, True) if self.low is None else x.new_tensor(self.low)
        high = x.amax(axes, True) if self.high is None else x.new_tensor(self.high)
        low, high = low.expand_as(x), high.expand_as(x)
        z = op.apply(x) - op.apply(low, positive) - op.apply(high, negative)
        s = _ratio(relevance, z, self.stabilizer)
        return (
            x * op.transpose(s, x)
            - low * op.transpose(s, x, positive)
            - high * op.transpose(s, x, negative)
        )


@dataclass(frozen=True)
class Flat:
    """Every input that a unit sees takes an equal share, whatever its value and weight."""

    def __call__(self, op: Affine, x: Tensor, relevance: Tensor) -> Tensor:
        z = op.apply(torch.ones_like(x), torch.ones_like)
        return op.transpose(_ratio(relevance, z), x, torch.ones_like)


def positive(values: Tensor) -> Tensor:
    """The positive part."""
    return values.clamp(min=0)


def negative(values: Tensor) -> Tensor:
    """The negative part, not positive."""
    return values.clamp(max=0)


class _Signed:
    """Contributions of inputs >= 0 by one change of the weights, of inputs < 0 by another."""

    def __init__(self, op: Affine, x: Tensor, change: Change, opposite: Change, bias: str) -> None:
        self.op = op
        self.parts = [(x, change)]
        if bool((x < 0).any()):
            self.parts = [(positive(x), change), (negative(x), opposite)]
        self.z = op.apply(*self.parts[0])
        for part in self.parts[1:]:
            self.z = self.z + op.apply(*part)
        if bias == "absorb":
            self.z = _plus(self.z, op.bias(x), change)

    def back(self, ratio: Tensor) -> Tensor:
        """Relevance of the input for R/z at the output."""
        shares = [x * self.op.transpose(ratio, x, change) for x, change in self.parts]
        return shares[0] if len(shares) == 1 else shares[0] + shares[1]


def _ratio(relevance: Tensor, z: Tensor, stabilizer: float = 0.0) -> Tensor:
    """R/z with z moved away from zero by ``stabilizer``; without one, anything / 0 is 0."""
    if stabilizer:
        return relevance / (z + _sign(z) * stabilizer)
    if relevance.requires_grad or z.requires_grad:  # the gradient of x / 0 is not a number
        return torch.where(z == 0, 0.0, relevance / torch.where(z == 0, 1.0, z))
    return (relevance / z).masked_fill_(z == 0, 0.0)


def _sign(z: Tensor) -> Tensor:
    """-1 below zero, 1 at and above it."""
    return torch.where(z < 0, -1.0, 1.0).to(z.dtype)


def _plus(z: Tensor, bias: Tensor | None, change: Change | None = None) -> Tensor:
    if bias is None:
        return z
    return z + (bias if change is None else change(bias))
