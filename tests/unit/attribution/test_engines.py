"""Our rules against zennit's own, at an equal small stabiliser."""

from __future__ import annotations

import pytest
import torch
from chains import conv_net, maps, patch_net, six_convolutions
from torch import Tensor, nn
from zennit.canonizers import SequentialMergeBatchNorm
from zennit.composites import LayerMapComposite
from zennit.core import Stabilizer
from zennit.rules import AlphaBeta, Epsilon, Flat, Gamma, Norm, Pass, ZBox, ZPlus
from zennit.types import Activation, AvgPool, BatchNorm, Convolution, Linear

from bids_xai.attribution import explain
from bids_xai.errors import UsageError
from bids_xai.models import build

SMALL = 1e-9
NO_BIAS = ["bias"]

PAIRS = [
    ("lrp-zplus", {"zero_division": "zero", "start": "logit"}, AlphaBeta(1, 0, SMALL, NO_BIAS)),
    ("lrp-zplus", {"zero_division": "zero", "start": "logit"}, ZPlus(SMALL, NO_BIAS)),
    ("lrp-alphabeta", {"beta": 0, "stabilizer": SMALL}, AlphaBeta(1, 0, SMALL, NO_BIAS)),
    ("lrp-alphabeta", {"beta": 0.5, "stabilizer": SMALL}, AlphaBeta(1.5, 0.5, SMALL, NO_BIAS)),
    ("lrp-alphabeta", {"beta": 4, "stabilizer": SMALL}, AlphaBeta(5, 4, SMALL, NO_BIAS)),
    ("lrp-alphabeta", {"beta": 1, "bias": "absorb"}, AlphaBeta(2, 1, SMALL)),
    ("lrp-0", {}, Epsilon(SMALL)),
    ("lrp-epsilon", {"epsilon": 0.01}, Epsilon(0.01)),
    ("lrp-epsilon", {"epsilon": 0.01, "bias": "ignore"}, Epsilon(0.01, NO_BIAS)),
    ("lrp-epsilon", {"epsilon": 0.1, "relative": True}, Epsilon(Stabilizer(0.1, norm_scale=True))),
    ("lrp-gamma", {"gamma": 0.25}, Gamma(0.25, SMALL)),
    ("lrp-gamma", {"gamma": 3, "bias": "ignore"}, Gamma(3, SMALL, NO_BIAS)),
]


def _textbook(method: str) -> dict[str, object]:
    return {"one_sided": "textbook"} if method == "lrp-alphabeta" else {}


def _zennit(net: nn.Module, volumes: Tensor, rule: object, first: object | None = None) -> Tensor:
    """zennit by itself, started at the logit of class 1."""
    layers = [
        (Activation, Pass()),
        (Convolution, rule),
        (Linear, rule),
        (BatchNorm, Pass()),
        (AvgPool, Norm(1e-12)),
    ]
    composite = LayerMapComposite(layers, canonizers=[SequentialMergeBatchNorm()])
    if first is not None:
        from zennit.composites import SpecialFirstLayerMapComposite

        composite = SpecialFirstLayerMapComposite(
            layers, [(Convolution, first)], canonizers=[SequentialMergeBatchNorm()]
        )
    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm3d)]
    inputs = volumes.clone().requires_grad_()
    with composite.context(net) as hooked:
        for norm in norms:
            norm.eps = 0  # what zennit leaves of a folded batch norm is then the identity
        logits = hooked(inputs)
        start = torch.zeros_like(logits)
        start[:, 1] = logits[:, 1].detach()
        (relevance,) = torch.autograd.grad(logits, inputs, start)
    for norm in norms:
        norm.eps = 1e-5
    return relevance.detach()


@pytest.mark.parametrize(("method", "options", "rule"), PAIRS)
@pytest.mark.parametrize("net", [conv_net(), conv_net(norm=False), six_convolutions()])
def test_rules_against_zennit(
    method: str, options: dict[str, object], rule: object, net: nn.Module
) -> None:
    volumes = maps()
    options = {"start": "logit", **_textbook(method), **options}
    heatmaps = explain(method, net, volumes, **options)
    expected = _zennit(net, volumes, rule)
    scale = float(expected.abs().max())
    assert scale > 1e-6
    torch.testing.assert_close(heatmaps, expected, rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ELU])
@pytest.mark.parametrize(
    ("method", "options", "rule"), [pair for pair in PAIRS if pair[0] != "lrp-zplus"]
)
def test_rules_against_zennit_for_negative_inputs(
    activation: type[nn.Module], method: str, options: dict[str, object], rule: object
) -> None:
    net, volumes = conv_net(activation), maps() - 0.4
    options = {"start": "logit", **_textbook(method), **options}
    heatmaps = explain(method, net, volumes, **options)
    expected = _zennit(net, volumes, rule)
    scale = float(expected.abs().max())
    torch.testing.assert_close(heatmaps, expected, rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize(
    ("options", "rule"),
    [({"first": "flat"}, Flat(1e-12)), ({"first": "box", "low": 0, "high": 1}, ZBox(0, 1, 1e-12))],
)
def test_first_layers_against_zennit(options: dict[str, object], rule: object) -> None:
    net, volumes = conv_net(), maps()
    heatmaps = explain("lrp-epsilon", net, volumes, epsilon=0.01, **options)
    expected = _zennit(net, volumes, Epsilon(0.01), rule)
    torch.testing.assert_close(heatmaps, expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("lrp-zplus", {"zero_division": "zero"}),
        ("lrp-zplus", {"zero_division": "zero", "first": "flat", "batch_norm": "identity"}),
        ("lrp-alphabeta", {"beta": 0.5, "one_sided": "textbook"}),
        ("lrp-0", {"start": "probability"}),
        ("lrp-epsilon", {}),
        ("lrp-epsilon", {"epsilon": 0.2, "relative": True, "bias": "ignore"}),
        ("lrp-gamma", {"first": "box", "low": 0, "high": 1}),
        ("lrp-composite-1", {"low": 0, "high": 1}),
        ("dtd", {"zero_division": "zero"}),
    ],
)
@pytest.mark.parametrize("net", [conv_net(), six_convolutions()])
def test_the_engine_zennit_gives_the_same(
    method: str, options: dict[str, object], net: nn.Module
) -> None:
    volumes = maps()
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    heatmaps = explain(method, net, volumes, engine="zennit", **options)
    torch.testing.assert_close(
        heatmaps, explain(method, net, volumes, **options), rtol=1e-6, atol=1e-9
    )
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, state[name])
    _is_clean(net)


def _is_clean(net: nn.Module) -> None:
    for module in net.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
        assert not isinstance(module, nn.BatchNorm3d) or module.eps == 1e-5


def test_the_engine_leaves_nothing_behind_after_an_exception() -> None:
    net, volumes = conv_net(), maps()
    weight = net[0].weight
    before = weight.clone()
    with pytest.raises(UsageError, match="no class 7"):
        explain("lrp-epsilon", net, volumes, 7, engine="zennit")
    with pytest.raises(RuntimeError):
        explain("lrp-epsilon", net, volumes[..., :3], engine="zennit")
    assert net[0].weight is weight
    assert torch.equal(weight, before)
    assert net[4].bias is None
    _is_clean(net)


@pytest.mark.parametrize(
    ("method", "net", "options"),
    [
        ("lrp-0", patch_net(), {}),
        ("lrp-0", conv_net(), {"max_pool": "average"}),
        ("lrp-composite-2", six_convolutions(), {}),
        ("lrp-composite-1", six_convolutions(), {}),  # bounds of each volume
    ],
)
def test_what_zennit_has_no_rule_for_is_refused(
    method: str, net: nn.Module, options: dict[str, object]
) -> None:
    with pytest.raises(UsageError, match="zennit has no rule"):
        explain(method, net, maps(), engine="zennit", **options)


@pytest.mark.parametrize(("name", "shape"), [("graz", (18, 20, 23)), ("gap3", (10, 8, 9))])
def test_z_plus_of_networks_of_the_table(name: str, shape: tuple[int, int, int]) -> None:
    model = build(name, shape, seed=2).double().eval()
    volumes = maps(shape)
    options = {"start": "logit", "zero_division": "zero"}
    expected = _zennit(model, volumes, AlphaBeta(1, 0, 1e-15, NO_BIAS))
    heatmaps = explain("lrp-zplus", model, volumes, **options)
    torch.testing.assert_close(heatmaps, expected, rtol=1e-5, atol=1e-15)
