r"""A prototype: the guided step by less work: its time beside the app's, and its gradients.

    python benchmarks/guided.py [--shape 96 114 96] [--batch-size 6] [--threads 2] [--rounds 5]

Not used by the app yet: its rounding is another, and how a guided training on few scans ends
depends on rounding (docs/guidance.md).

For chains of convolutions and ReLUs (then dense layers) this gives what
:func:`~bids_xai.attribution.zplus.relevance_zplus` gives, and its gradients, in less time:

* The sum of relevance in a mask needs no map of the first layer. With :math:`s = R_1 / Z_1`,
  :math:`\sum_i m_i x_i \sum_j w^+_{ij} s_j = \sum_j s_j \sum_i w^+_{ij} m_i x_i`, one convolution
  of the masked input instead of a transposed one, whose own gradient is at hand.
* Activation and :math:`Z` come from one convolution with twice the filters: in float32 eight
  filters fill half of a processor's vector.
* What two passes need is kept, not computed again; sums of gradients are taken in place.

Inputs are raised by 1e-7 (``FLOOR``) instead of to at least 1e-7: sums of relevance differ by less
than 1e-5 from those of the map, gradients by less than 1e-4 of the largest of a layer.

Gradients are written out by hand: ``Forward`` and ``Back`` are the two halves of one tape, the
dense layers between them are left to autograd.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bids_xai.attribution.layers import unroll, zero_padding
from bids_xai.attribution.rules import FLOOR
from bids_xai.attribution.zplus import relevance_zplus
from bids_xai.models import build
from bids_xai.runtime.memory import keep_memory

LAST = torch.channels_last_3d
backward = torch.ops.aten.convolution_backward
_relu_backward = torch.ops.aten.threshold_backward


@dataclass
class ConvolutionLayer:
    """A convolution with the ReLU after it, and what the passes hand to each other.

    x : its input; h : its activation, (n, c, x, y, z); z : minus Z, of that shape
    both : (2 c, c_in, kernel), the weights, and below them the positive ones
    quotient : minus R / Z; below : what the quotients bring to the input's grid
    g_below : gradient of the relevance of the input; g_both : (n, 2 c, x, y, z), of both outputs
    g_raised : gradient of the positive weights on the way back
    """

    stride: list[int]
    padding: list[int]
    x: Tensor = field(init=False)
    h: Tensor = field(init=False)
    z: Tensor = field(init=False)
    both: Tensor = field(init=False)
    quotient: Tensor = field(init=False)
    below: Tensor = field(init=False)
    g_below: Tensor = field(init=False)
    g_both: Tensor = field(init=False)
    g_raised: Tensor = field(init=False)

    @property
    def n_filters(self) -> int:
        """Number of filters."""
        return len(self.both) // 2

    @property
    def minus_raised(self) -> Tensor:
        """Minus the positive weights: what turns minus R / Z into relevance."""
        return -self.both[self.n_filters :]

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Activation of ``x``; Z comes from the same convolution."""
        n, raised = len(weight), weight.clamp(min=FLOOR)
        self.x, self.both = x, torch.cat([weight, raised]).to(memory_format=LAST)
        biases = torch.cat([bias, torch.zeros_like(bias)])
        y = functional.conv3d(x, self.both, biases, self.stride, self.padding)
        self.h, self.z = y[:, :n].clamp(min=0), torch.sub(self._of_floor(raised), y[:, n:])
        return self.h

    def _of_floor(self, raised: Tensor) -> Tensor:
        """What an input of minus FLOOR everywhere, zero in the padding, gives: (c, x, y, z)."""
        by_axis = self._taps(raised)
        result = torch.einsum("oijk,kz,jy,ix->xyzo", raised.sum(1), *reversed(by_axis))
        return result.mul_(-FLOOR).permute(3, 0, 1, 2)

    def _taps(self, like: Tensor) -> list[Tensor]:
        """For each axis (kernel, outputs): 1 where a tap of the kernel meets a voxel, else 0."""
        sizes = zip(self.x.shape[2:], self.both.shape[2:], self.stride, self.padding, strict=True)
        result = []
        for n, kernel, step, pad in sizes:
            starts = torch.arange(0, n + 2 * pad - kernel + 1, step) - pad
            position = torch.arange(kernel)[:, None] + starts
            result.append(((position >= 0) & (position < n)).to(like.dtype))
        return result

    def take_back(self, relevance: Tensor) -> Tensor:
        """Relevance of the input from that of the output."""
        self.quotient = relevance / self.z
        self.below = functional.conv_transpose3d(
            self.quotient, self.minus_raised, None, self.stride, self.padding, self._left_over
        )
        return torch.add(self.x, FLOOR).mul_(self.below)

    def backward_of_take_back(self, gradient: Tensor) -> Tensor:
        """Gradient of the relevance of the output from that of the input's."""
        self.g_below = gradient
        g_below = (self.x * gradient).add_(gradient, alpha=FLOOR)
        g_quotient, g_raised, _ = backward(
            *(g_below, self.quotient, self.minus_raised, None, self.stride, self.padding),
            *([1, 1, 1], True, self._left_over, 1, [True, True, False]),
        )
        self.g_raised = g_raised.neg_()
        g_relevance: Tensor = g_quotient.div_(self.z)
        self.begin_gradients(g_relevance)
        return g_relevance

    def begin_gradients(self, g_relevance: Tensor) -> None:
        """Take in the gradient of Z, ``- g R / Z^2``."""
        n, filters, *grid = self.quotient.shape
        shape = (n, 2 * filters, *grid)
        self.g_both = torch.empty(shape, dtype=g_relevance.dtype, memory_format=LAST)
        torch.mul(g_relevance, self.quotient, out=self.g_both[:, self.n_filters :])

    def backward_of_forward(self, gradient: Tensor, first: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of input (of no use in the ``first`` layer), weight and bias."""
        n = self.n_filters
        self.g_both[:, :n] = _relu_backward(gradient, self.h, 0.0)
        g_x, g_weights, g_biases = backward(
            *(self.g_both, self.x, self.both, [2 * n], self.stride, self.padding),
            *([1, 1, 1], False, [0, 0, 0], 1, [not first, True, True]),
        )
        g_raised = g_weights[n:] + self.g_raised
        g_raised += self._floor_gradient()[:, None]
        g_weight = g_weights[:n] + g_raised * (self.both[:n] >= FLOOR)
        if not first:
            g_x.addcmul_(self.g_below, self.below)
        return g_x, g_weight, g_biases[:n]

    def _floor_gradient(self) -> Tensor:
        """Gradient (c, kernel) of the positive weights by way of the raised input."""
        g_z = self.g_both[:, self.n_filters :].sum(0)
        return torch.einsum("oxyz,kz,jy,ix->oijk", g_z, *reversed(self._taps(g_z))) * FLOOR

    @property
    def _left_over(self) -> list[int]:
        """Planes of the input's grid that the transposed convolution does not reach by itself."""
        sizes = zip(
            self.x.shape[2:],
            self.z.shape[2:],
            self.stride,
            self.padding,
            self.both.shape[2:],
            strict=True,
        )
        return [size - ((n - 1) * step - 2 * pad + k) for size, n, step, pad, k in sizes]


@dataclass
class Tape:
    """The passes through the convolutions; ``masked`` is the masked input, times the scale.

    share : d inner / d relevance of the first layer's output
    """

    layers: list[ConvolutionLayer]
    masks: Tensor
    scale: float
    masked: Tensor = field(init=False)
    relevance: Tensor = field(init=False)
    share: Tensor = field(init=False)


class Forward(torch.autograd.Function):
    """Through the convolutions; the second output tells autograd that ``Back`` depends on it."""

    @staticmethod
    def forward(ctx: Any, tape: Tape, volumes: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        ctx.tape = tape
        x = volumes.contiguous(memory_format=LAST)
        for layer, weight, bias in zip(tape.layers, weights[::2], weights[1::2], strict=True):
            x = layer.forward(x, weight, bias)
        return x, x.new_zeros(())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        tape: Tape = ctx.tape
        gradients: list[Tensor] = []
        for i in reversed(range(len(tape.layers))):
            gradient, g_weight, g_bias = tape.layers[i].backward_of_forward(gradient, i == 0)
            gradients = [g_weight, g_bias, *gradients]
        return None, None, *gradients


class Back(torch.autograd.Function):
    """Relevance from the last convolution's output into the masked input."""

    @staticmethod
    def forward(ctx: Any, tape: Tape, relevance: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        ctx.tape = tape
        first, *others = tape.layers
        relevance = relevance.contiguous(memory_format=LAST)
        for layer in reversed(others):
            relevance = layer.take_back(relevance)
        tape.masked = torch.add(first.x, FLOOR).mul_(tape.masks).mul_(tape.scale)
        masked_z = functional.conv3d(
            tape.masked, first.minus_raised, None, first.stride, first.padding
        )
        tape.relevance, tape.share = relevance, masked_z.div_(first.z)
        total = relevance.sum(dim=(1, 2, 3, 4))
        inner = (relevance * tape.share).sum(dim=(1, 2, 3, 4))
        ctx.mark_non_differentiable(total)
        return inner, total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[None, Tensor, Tensor]:
        tape: Tape = ctx.tape
        first, *others = tape.layers
        by_volume = gradient.reshape(-1, 1, 1, 1, 1)
        first.quotient = tape.relevance / first.z
        _, first.g_raised, _ = backward(
            *(first.quotient, tape.masked * -by_volume, first.minus_raised, None),
            *(first.stride, first.padding, [1, 1, 1], False, [0, 0, 0], 1, [False, True, False]),
        )
        share = tape.share if bool((gradient == 1).all()) else tape.share * by_volume
        first.begin_gradients(share)
        for layer in others:
            share = layer.backward_of_take_back(share)
        return None, share, gradient.new_zeros(())


@dataclass(frozen=True)
class MaskedRelevance:
    """``logits`` (n, classes); ``inner`` (n,) relevance inside the mask, times a scale; both can be
    trained on. ``total`` (n,) relevance in the whole volume, without a graph.
    """

    logits: Tensor
    inner: Tensor
    total: Tensor


def covers(model: nn.Module, volumes: Tensor) -> bool:
    """Whether :func:`masked_relevance` can be had: a chain of convolutions, on the processor."""
    if volumes.device.type != "cpu" or volumes.ndim != 5:
        return False
    return _parts(model) is not None


def masked_relevance(
    model: nn.Module, volumes: Tensor, masks: Tensor, scale: float = 1.0
) -> MaskedRelevance:
    """Logits and z+ relevance of the softmax vector inside a mask.

    model : one that :func:`covers` accepts; volumes : (n, channels, x, y, z), >= 0
    masks : (n, 1, x, y, z), any numbers
    scale : factor of ``inner``; with that of the loss in it, ``inner.sum()`` costs no pass more
    Raises ``BadDataError`` for negative or undefined input, ValueError for another network.
    """
    parts = _parts(model)
    if parts is None:
        raise ValueError("masked_relevance needs a chain of convolutions, ReLUs and dense layers")
    tape = Tape(
        [ConvolutionLayer(list(c.stride), zero_padding(c)) for c in parts.convolutions],
        masks,
        scale,
    )
    weights = [tensor for conv in parts.convolutions for tensor in (conv.weight, conv.bias)]
    features, token = Forward.apply(tape, volumes, *weights)  # type: ignore[no-untyped-call]
    logits, start = _dense_relevance(parts.dense, features.flatten(1))
    at_features = start.reshape(features.shape)
    inner, total = Back.apply(tape, at_features, token)  # type: ignore[no-untyped-call]
    return MaskedRelevance(logits, inner, total)


@dataclass(frozen=True)
class _Parts:
    convolutions: tuple[nn.Conv3d, ...]
    dense: tuple[nn.Module, ...]


def _parts(model: nn.Module) -> _Parts | None:
    """The convolutions and what follows the flattening; None for any other chain."""
    leaves = unroll(model)
    flat = next((i for i, leaf in enumerate(leaves) if isinstance(leaf, nn.Flatten)), None)
    if flat is None or flat == 0 or flat % 2:
        return None
    convolutions, rectifiers, dense = leaves[:flat:2], leaves[1:flat:2], leaves[flat + 1 :]
    plain = all(isinstance(leaf, nn.ReLU) for leaf in rectifiers) and all(
        isinstance(leaf, nn.Linear | nn.ReLU) for leaf in dense
    )
    alternates = [isinstance(leaf, nn.Linear) for leaf in dense] == [
        not i % 2 for i in range(len(dense))
    ]
    if not (plain and alternates and len(dense) % 2 and all(map(_is_plain, convolutions))):
        return None
    return _Parts(tuple(convolutions), tuple(dense))  # type: ignore[arg-type]


def _is_plain(layer: nn.Module) -> bool:
    return (
        isinstance(layer, nn.Conv3d)
        and layer.groups == 1
        and layer.bias is not None
        and layer.padding_mode == "zeros"
        and {*layer.dilation} == {1}
    )


def _dense_relevance(layers: Sequence[nn.Module], x: Tensor) -> tuple[Tensor, Tensor]:
    """Logits, and the relevance of ``x`` (n, features) of their softmax vector."""
    kept: list[tuple[Tensor, Tensor]] = []
    for layer in layers:
        if isinstance(layer, nn.Linear):
            kept.append((x.clamp(min=FLOOR), layer.weight.clamp(min=FLOOR)))
        x = layer(x)
    relevance = x.softmax(dim=1)
    for raised, weight in reversed(kept):
        relevance = raised * ((relevance / functional.linear(raised, weight)) @ weight)
    return x, relevance


def main() -> None:
    parser = argparse.ArgumentParser(description="the guided step by less work")
    parser.add_argument("--shape", type=int, nargs=3, default=(96, 114, 96))
    parser.add_argument("--batch-size", type=int, default=6)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    keep_memory()
    torch.set_num_threads(options.threads)
    n, shape = options.batch_size, tuple(options.shape)
    generator = torch.Generator().manual_seed(0)
    volumes = torch.rand(n, 1, *shape, generator=generator)
    masks = torch.zeros(n, 1, *shape)
    masks[:, :, 5:-5, 5:-5, 5:-5] = 1
    labels = torch.arange(n) % 2
    model, last = (build("graz", shape, 2, seed=0) for _ in range(2))
    last.to(memory_format=LAST)

    def app() -> None:
        logits, relevance = relevance_zplus(model, volumes, create_graph=True)
        inner = (masks * relevance).flatten(1).sum(1).mean()
        (functional.cross_entropy(logits, labels) - inner).backward()

    def fast() -> None:
        result = masked_relevance(last, volumes, masks, -1 / n)
        (functional.cross_entropy(result.logits, labels) + result.inner.sum()).backward()

    def plain() -> None:
        functional.cross_entropy(last(volumes.contiguous(memory_format=LAST)), labels).backward()

    steps: dict[str, tuple[nn.Module, Callable[[], None]]] = {
        "app, guided": (model, app),
        "prototype, guided": (last, fast),
        "plain, channels last": (last, plain),
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    gradients = {}
    for turn in range(options.rounds + 1):
        for name, (network, step) in steps.items():
            network.zero_grad()
            start = time.perf_counter()
            step()
            if turn:
                times[name].append(time.perf_counter() - start)
            gradients[name] = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, seconds in medians.items():
        print(f"{name:24} {seconds:7.3f} s   app / this {medians['app, guided'] / seconds:5.2f}")
    pairs = zip(gradients["prototype, guided"], gradients["app, guided"], strict=True)
    largest = max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)
    print(f"gradients differ by {largest:.1e} of the largest of a layer, both in float32")


if __name__ == "__main__":
    main()
