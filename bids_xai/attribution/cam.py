"""Class activation maps: weighted sums of feature maps, brought to the grid of the input."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from bids_xai.attribution.gradients import gradient, guided_gradient
from bids_xai.attribution.layers import (
    ACTIVATIONS,
    DROPOUTS,
    Norm,
    Reweightable,
    known_chain,
    layer_position,
    run_layers,
)
from bids_xai.errors import UsageError

_POINTWISE = (nn.Flatten, nn.Identity, *DROPOUTS)


def cam(model: nn.Module, volumes: Tensor, target: int = 1, *, start: str = "logit") -> Tensor:
    """Feature maps before global pooling, weighted by the dense layer's weights of ``target``.

    The mean of the map on the feature maps' own grid is the logit less its bias; signed. With
    ``start`` ``probability`` the weights are the gradient of the probability with respect to the
    pooled features. Interpolated trilinearly; every input channel gets the same map.
    Source: Zhou et al. 2016. Raises ``UsageError`` for a network whose dense part is not one layer
    after global average pooling.
    """
    leaves = known_chain(model, "CAM")
    pooling = _global_pooling(leaves)
    with torch.no_grad():
        features = run_layers(leaves[:pooling], volumes)
        pooled = leaves[pooling](features)
        if pooled.shape[2:].numel() != 1:
            raise _no_global_pooling()
    weights = _score_gradient(leaves[pooling + 1 :], pooled, start, target)
    return _on_grid((weights * features).sum(dim=1, keepdim=True), volumes)


def grad_cam(
    model: nn.Module,
    volumes: Tensor,
    target: int = 1,
    *,
    start: str = "logit",
    layer: int | str | None = None,
) -> Tensor:
    """Positive part of the feature maps, weighted by the mean gradient of the logit of ``target``.

    The mean is over all three spatial axes. layer : position in the chain, or name of the module,
    whose output is taken; by default the activation after the last convolution, before pooling.
    Interpolated trilinearly; every input channel gets the same map; >= 0, sums to nothing known.
    Source: Selvaraju et al. 2017. Raises ``UsageError`` for a layer without feature maps.
    """
    leaves = known_chain(model, "Grad-CAM")
    position = _last_features(leaves) if layer is None else layer_position(model, layer)
    with torch.no_grad():
        features = run_layers(leaves[: position + 1], volumes)
    if features.ndim != 5:
        raise UsageError(
            f"The output of layer {position} ({leaves[position]}) has no feature maps",
            fix="take a layer before the dense ones",
        )
    gradients = _score_gradient(leaves[position + 1 :], features, start, target)
    weights = gradients.mean(dim=(2, 3, 4), keepdim=True)
    return _on_grid((weights * features).sum(dim=1, keepdim=True).clamp(min=0), volumes)


def guided_grad_cam(
    model: nn.Module,
    volumes: Tensor,
    target: int = 1,
    *,
    start: str = "logit",
    layer: int | str | None = None,
) -> Tensor:
    """Grad-CAM times the (signed) gradient of guided backpropagation, voxel by voxel.

    Starts at the logit of ``target``; sums to nothing known. Source: Selvaraju et al. 2017.
    """
    coarse = grad_cam(model, volumes, target, start=start, layer=layer)
    return coarse * guided_gradient(model, volumes, start, target)


def _global_pooling(leaves: list[nn.Module]) -> int:
    """Position of the pooling before the only dense layer, the last one of the network."""
    *before, last = leaves
    position = len(before) - 1
    while position >= 0 and isinstance(before[position], _POINTWISE):
        position -= 1
    pools = position >= 0 and isinstance(before[position], nn.AvgPool3d | nn.AdaptiveAvgPool3d)
    if not isinstance(last, nn.Linear) or not pools:
        raise _no_global_pooling()
    return position


def _no_global_pooling() -> UsageError:
    return UsageError(
        "CAM needs a network of convolutions, global average pooling and one dense layer",
        fix="choose such a network (gap3, gap6), or grad-cam",
    )


def _last_features(leaves: list[nn.Module]) -> int:
    """Position of the activation that belongs to the last convolution, else of that itself."""
    spatial = [i for i, leaf in enumerate(leaves) if isinstance(leaf, nn.Conv3d | Reweightable)]
    if not spatial:
        raise UsageError(
            "Grad-CAM needs a network with convolutions", fix="choose another attribution method"
        )
    position = spatial[-1]
    for after, leaf in enumerate(leaves[position + 1 :], position + 1):
        if not isinstance(leaf, (*ACTIVATIONS, Norm)):
            break
        position = after
    return position


def _score_gradient(leaves: list[nn.Module], features: Tensor, start: str, target: int) -> Tensor:
    """Gradient of the score of ``target`` with respect to ``features``, of their shape."""
    return gradient(lambda x: run_layers(leaves, x), features, start, target)


def _on_grid(coarse: Tensor, volumes: Tensor) -> Tensor:
    """The map (n, 1, x, y, z) on the grid of ``volumes``, the same for all their channels."""
    fine = functional.interpolate(
        coarse, size=volumes.shape[2:], mode="trilinear", align_corners=False
    )
    same: Tensor = fine.expand_as(volumes).clone()
    return same
