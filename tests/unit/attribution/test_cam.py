"""Class activation maps by hand, and their independence of the order of the axes."""

from __future__ import annotations

import pytest
import torch
from chains import conv_net, maps, patch_net, six_convolutions
from torch import nn
from torch.nn import functional

from bids_xai.attribution import explain
from bids_xai.errors import UsageError


def test_cam_by_hand() -> None:
    net, volumes = six_convolutions(), maps()
    features = net[:-3](volumes).detach()
    for target in (0, 1):
        weights = net[-1].weight[target].detach()
        coarse = torch.zeros_like(features[:, 0])
        for channel in range(3):
            coarse += weights[channel] * features[:, channel]
        expected = functional.interpolate(coarse[:, None], size=(4, 5, 6), mode="trilinear")
        torch.testing.assert_close(explain("cam", net, volumes, target), expected)
        logit = net(volumes)[:, target].detach() - net[-1].bias[target].detach()
        torch.testing.assert_close(coarse.mean((1, 2, 3)), logit)


def test_cam_of_the_probability_is_weighted_by_its_gradient() -> None:
    net, volumes = six_convolutions(), maps()
    logits = [explain("cam", net, volumes, target) for target in (0, 1)]
    p = net(volumes).softmax(1)[:, 1].detach().reshape(-1, 1, 1, 1, 1)
    heatmaps = explain("cam", net, volumes, start="probability")
    torch.testing.assert_close(heatmaps, p * (1 - p) * (logits[1] - logits[0]))


@pytest.mark.parametrize("layer", [None, "6", 6, -6])
def test_grad_cam_by_hand(layer: int | str | None) -> None:
    net, volumes = conv_net(), maps()
    features = net[:7](volumes).detach().requires_grad_()
    (slope,) = torch.autograd.grad(net[7:](features)[:, 1].sum(), features)
    expected = torch.zeros(2, 1, *features.shape[2:], dtype=torch.float64)
    for i in range(2):
        for channel in range(3):
            voxels = slope[i, channel].flatten().tolist()
            expected[i, 0] += sum(voxels) / len(voxels) * features[i, channel].detach()
    expected = functional.interpolate(expected.clamp(min=0), size=(4, 5, 6), mode="trilinear")
    heatmaps = explain("grad-cam", net, volumes, layer=layer)
    torch.testing.assert_close(heatmaps, expected)
    guided = explain("guided-backprop", net, volumes, start="logit", form="signed")
    torch.testing.assert_close(
        explain("guided-grad-cam", net, volumes, layer=layer), heatmaps * guided
    )


def test_the_default_layer_is_the_last_activation_of_feature_maps() -> None:
    for net, position in ((six_convolutions(), -4), (patch_net(), 3), (conv_net(norm=False), 4)):
        heatmaps = explain("grad-cam", net, maps())
        assert torch.equal(heatmaps, explain("grad-cam", net, maps(), layer=position))


def test_grad_cam_averages_over_all_three_axes() -> None:
    """Turning volume and kernels turns the map."""
    net, turned, volumes = conv_net(norm=False), conv_net(norm=False), maps()
    net, turned = net[:2], turned[:2]
    for chain in (net, turned):
        chain.append(nn.AdaptiveAvgPool3d(1)).append(nn.Flatten()).append(nn.Linear(2, 2).double())
    nn.init.constant_(net[-1].weight, 0.5)
    turned[-1].load_state_dict(net[-1].state_dict())
    turned[0].weight.data = net[0].weight.data.permute(0, 1, 4, 2, 3)
    heatmaps = explain("grad-cam", turned, volumes.permute(0, 1, 4, 2, 3))
    assert heatmaps.abs().max() > 0
    torch.testing.assert_close(heatmaps, explain("grad-cam", net, volumes).permute(0, 1, 4, 2, 3))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_captum_agrees() -> None:
    attr = pytest.importorskip("captum.attr")
    net, volumes = conv_net(), maps()
    coarse = attr.LayerGradCam(net, net[6]).attribute(volumes, target=1, relu_attributions=True)
    expected = functional.interpolate(coarse.detach(), size=(4, 5, 6), mode="trilinear")
    heatmaps = explain("grad-cam", net, volumes)
    torch.testing.assert_close(heatmaps, expected, rtol=1e-5, atol=1e-8)
    guided = attr.GuidedGradCam(net, net[6]).attribute(
        volumes.clone(), target=1, interpolate_mode="trilinear"
    )
    heatmaps = explain("guided-grad-cam", net, volumes)
    torch.testing.assert_close(heatmaps, guided.detach(), rtol=1e-5, atol=1e-8)


def test_every_channel_gets_the_same_map() -> None:
    net = six_convolutions()
    net[0] = nn.Conv3d(2, 2, (3, 1, 2), padding=(1, 0, 0)).double()
    volumes = torch.cat([maps(), maps(seed=1)], dim=1)
    for method in ("cam", "grad-cam", "occlusion"):
        heatmaps = explain(method, net, volumes)
        assert heatmaps.shape == volumes.shape
        assert torch.equal(heatmaps[:, 0], heatmaps[:, 1])


def test_networks_and_layers_that_do_not_fit() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(120, 2)).double()
    partly = six_convolutions()
    partly[-3] = nn.AvgPool3d((1, 2, 1))
    partly[-1] = nn.Linear(3 * 2 * 3, 2).double()
    for net in (conv_net(), patch_net(), flat, partly, six_convolutions()[:-1]):
        with pytest.raises(UsageError, match="CAM needs a network of convolutions, global average"):
            explain("cam", net, maps())
    with pytest.raises(UsageError, match="needs a network with convolutions"):
        explain("grad-cam", flat, maps())
    with pytest.raises(UsageError, match="has no feature maps"):
        explain("grad-cam", conv_net(), maps(), layer=-1)
    with pytest.raises(UsageError, match="no layer 30"):
        explain("grad-cam", conv_net(), maps(), layer=30)
    with pytest.raises(UsageError, match="no layer head"):
        explain("guided-grad-cam", conv_net(), maps(), layer="head")
