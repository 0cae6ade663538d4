r"""A network as the list of its steps, each ready to run forward and to take relevance back.

A step is one affine map (convolution, dense layer, patch individual filters, average pooling), a
max-pooling, a change of shape, or something that relevance passes unchanged (activation, dropout).
Batch norm is folded into the affine map right before it, by its running statistics: with
:math:`s = \gamma / \sqrt{\sigma^2 + \epsilon}`, :math:`W' = s W`, :math:`b' = s (b - \mu) + \beta`.
"""

from __future__ import annotations

from torch import Tensor, nn

from bids_xai.attribution.layers import (
    AVERAGES,
    Norm,
    Reweightable,
    is_affine,
    known_chain,
    zero_padding,
)
from bids_xai.attribution.lrp_options import BATCH_NORM, MAX_POOL, check_choice
from bids_xai.attribution.steps import (
    Averaging,
    Convolution,
    Dense,
    MaxAsAverage,
    MaxPool,
    Pass,
    Reshape,
    Reweighted,
    Step,
    _fast,
)
from bids_xai.errors import UsageError


def build_steps(
    model: nn.Module, method: str, *, batch_norm: str = "fold", max_pool: str = "winner"
) -> list[Step]:
    """The steps of a network, in order.

    method : what needs them, for messages
    batch_norm : ``fold`` into the affine layer right before, or ``identity``: relevance passes it
    max_pool : relevance to the ``winner``, or as in ``average`` pooling
    Raises ``UsageError`` for a layer or a sequence of layers without a rule.
    """
    check_choice("batch norm policy", batch_norm, BATCH_NORM)
    check_choice("max-pooling policy", max_pool, MAX_POOL)
    leaves = known_chain(model, method)
    steps: list[Step] = []
    position = 0
    while position < len(leaves):
        leaf, *rest = leaves[position : position + 2]
        after = rest[0] if rest else None
        folds = batch_norm == "fold" and is_affine(leaf)
        norm = after if folds and isinstance(after, Norm) else None
        name = f"{position} {type(leaf).__name__}"
        steps.append(_step(name, leaf, norm, method, batch_norm, max_pool))
        position += 1 if norm is None else 2
    return steps


def _step(
    name: str, layer: nn.Module, norm: Norm | None, method: str, batch_norm: str, max_pool: str
) -> Step:
    """The step of one layer and the batch norm that is folded into it."""
    if isinstance(layer, nn.Linear):
        return Dense(name, layer, norm, *folded(layer, norm))
    if isinstance(layer, nn.Conv3d):
        zero_padding(layer)  # or a reason why there is none
        return Convolution(name, layer, norm, *folded(layer, norm))
    if norm is not None or (isinstance(layer, Norm) and batch_norm == "fold"):
        raise UsageError(
            f"{method} has no rule for batch norm that does not follow a convolution or dense "
            f"layer: {norm or layer}",
            fix="take batch norm as the identity, or choose another network",
        )
    if isinstance(layer, Reweightable):
        return Reweighted(name, layer)
    if isinstance(layer, AVERAGES):
        return Averaging(name, layer)
    if isinstance(layer, nn.MaxPool3d):
        if max_pool == "average":
            return MaxAsAverage(name, layer, _average_windows(layer))
        return MaxPool(name, layer)
    return Reshape(name, layer) if isinstance(layer, nn.Flatten) else Pass(name, layer)


def folded(layer: nn.Linear | nn.Conv3d, norm: Norm | None) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of a layer and the batch norm after it; differentiable in all of them.

    The weight lies in the order of memory that suits the device; activations follow it. Raises
    ``UsageError`` for batch norm without running statistics.
    """
    if norm is None:
        return _fast(layer.weight), layer.bias
    if norm.running_mean is None or norm.running_var is None:
        raise UsageError(
            f"{norm} keeps no running statistics, so it cannot be folded",
            fix="take batch norm as the identity",
        )
    scale = (norm.running_var + norm.eps).rsqrt()
    if norm.affine:
        scale = scale * norm.weight
    offset = scale * ((0 if layer.bias is None else layer.bias) - norm.running_mean)
    if norm.affine:
        offset = offset + norm.bias
    return _fast(layer.weight * scale.reshape(-1, *[1] * (layer.weight.ndim - 1))), offset


def _average_windows(layer: nn.MaxPool3d) -> nn.AvgPool3d:
    """Average pooling over the windows of a max-pooling."""
    if layer.dilation not in (1, (1, 1, 1)):
        raise UsageError(
            f"Average pooling cannot replace dilated {layer}",
            fix="give relevance of max-pooling to the winner",
        )
    return nn.AvgPool3d(
        layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode, count_include_pad=True
    )
