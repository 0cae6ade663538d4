"""What every attribution method of the table promises, for every network of the table."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from chains import conv_net, maps, patch_net, six_convolutions
from torch import Tensor, nn

from bids_xai.attribution import (
    METHODS,
    explain,
    method_label,
    method_options,
    options_record,
    resolve,
)
from bids_xai.errors import UsageError
from bids_xai.models import MODELS, build

SHAPE = (16, 18, 21)


def _options(name: str, shape: tuple[int, ...] = SHAPE) -> dict[str, Any]:
    """Cheap ones, and those without a default."""
    return {
        "smoothgrad": {"samples": 2},
        "integrated-gradients": {"steps": 2},
        "occlusion": {"size": 12, "stride": 8},
        "area-occlusion": {"atlas": np.indices(shape).sum(0) // 8 * 300},
    }.get(name, {})


def _network(name: str) -> nn.Module:
    """One that the method fits."""
    if name == "cam":
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv3d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2)
        )
    return build("graz", SHAPE)


def _volumes() -> Tensor:
    return torch.rand(3, 1, *SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", METHODS)
def test_shape_type_and_finiteness(name: str) -> None:
    volumes = _volumes()
    relevance = explain(name, _network(name), volumes, **_options(name))
    assert relevance.shape == volumes.shape
    assert relevance.dtype == volumes.dtype
    assert relevance.device == volumes.device
    assert relevance.isfinite().all()
    assert relevance.abs().sum() > 0
    assert not relevance.requires_grad
    assert METHODS[name].signed or (relevance >= 0).all()


@pytest.mark.parametrize("name", METHODS)
def test_model_and_input_are_left_as_found(name: str) -> None:
    model, volumes = _network(name), _volumes().requires_grad_()
    model.train()
    inner = getattr(model, "layers", model)
    inner[1].eval()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    next(model.parameters()).requires_grad_(False)
    modes = [module.training for module in model.modules()]
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    before = volumes.detach().clone()
    generator = torch.get_rng_state()
    with torch.no_grad():
        first = explain(name, model, volumes, **_options(name))
        assert not torch.is_grad_enabled()
    assert torch.equal(first, explain(name, model, volumes, **_options(name)))
    assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), generator)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert all(torch.equal(p.grad, torch.ones_like(p)) for p in model.parameters())
    assert [p.requires_grad for p in model.parameters()].count(False) == 1
    assert torch.equal(volumes, before)
    assert volumes.grad is None
    assert volumes.requires_grad
    _has_no_hooks(model)


def _has_no_hooks(model: nn.Module) -> None:
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
        assert not module._backward_pre_hooks


@pytest.mark.parametrize("name", METHODS)
def test_an_exception_leaves_the_model_as_found(name: str) -> None:
    class Boom(nn.ReLU):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("boom")

    model = _network(name).train()
    layers = getattr(model, "layers", model)
    layers[1] = Boom()
    with pytest.raises(RuntimeError, match="boom"):
        explain(name, model, _volumes(), **_options(name))
    assert all(module.training for module in model.modules())
    assert torch.is_grad_enabled()
    _has_no_hooks(model)


@pytest.mark.parametrize("name", METHODS)
def test_the_rest_of_the_batch_does_not_matter(name: str) -> None:
    model, volumes = _network(name).double(), _volumes().double()
    volumes[1] *= 5
    alone = torch.cat([explain(name, model, volume[None], **_options(name)) for volume in volumes])
    torch.testing.assert_close(explain(name, model, volumes, **_options(name)), alone)


@pytest.mark.parametrize("name", [name for name in METHODS if METHODS[name].start != "softmax"])
def test_the_target_is_used(name: str) -> None:
    model, volumes = _network(name), _volumes()
    maps_of = [explain(name, model, volumes, k, **_options(name)) for k in (0, 1)]
    if name in ("saliency", "guided-backprop"):  # two probabilities: opposite gradients
        maps_of = [
            explain(name, model, volumes, k, start="logit", **_options(name)) for k in (0, 1)
        ]
    assert not torch.allclose(maps_of[0], maps_of[1])


@pytest.mark.parametrize("name", METHODS)
def test_starts_are_options(name: str) -> None:
    assert METHODS[name].start == method_options(name)["start"]
    assert resolve(name).__doc__


def test_starts_of_z_plus() -> None:
    model, volumes = build("graz", SHAPE), _volumes()
    sums = [
        explain("lrp-zplus", model, volumes, k, start="probability").flatten(1).sum(1)
        for k in (0, 1)
    ]
    torch.testing.assert_close(sums[0], model(volumes).softmax(1)[:, 0].detach())
    torch.testing.assert_close(sums[0] + sums[1], torch.ones(3))
    everything = explain("lrp-zplus", model, volumes)
    assert torch.equal(everything, explain("lrp-zplus", model, volumes, 0))
    assert torch.equal(everything, explain("dtd", model, volumes))


@pytest.mark.parametrize("name", METHODS)
def test_networks_of_all_kinds_give_a_map_or_a_reason(name: str) -> None:
    """Batch norm and pooling; ELU and layers of another kind; global pooling; inputs < 0."""
    volumes = maps()
    options = {
        **_options(name, (4, 5, 6)),
        **({"size": 3, "stride": 2} if name == "occlusion" else {}),
    }
    for net, x in (
        (conv_net(), volumes),
        (patch_net(), volumes),
        (six_convolutions(), volumes),
        (conv_net(nn.ELU), volumes),
        (conv_net(), volumes - 0.5),
    ):
        heatmap = None
        with suppress(UsageError):
            heatmap = explain(name, net, x, **options)
        if heatmap is None:
            assert METHODS[name].needs
        else:
            assert heatmap.shape == x.shape
            assert heatmap.isfinite().all()


GRIDS = {
    "graz": (18, 33, 20),
    "boehle": (80, 78, 79),
    "rieke": (80, 78, 79),
    "sixtyfour": (73, 71, 72),
    "vgg-a": (100, 98, 99),
    "vgg-b": (82, 80, 81),
    "vgg-a-pif": (55, 53, 54),
    "vgg-b-pif": (37, 35, 36),
    "gap3": (10, 8, 9),
    "gap6": (66, 64, 65),
    "gap": (10, 8, 9),
    "patch": (70, 80, 68),
}
"""Little more than the smallest volume of each network."""

REFUSED = {
    "cam": [name for name in MODELS if not name.startswith("gap")],
    "lrp-zplus": ["sixtyfour", "vgg-a", "vgg-b", "vgg-a-pif", "vgg-b-pif", "patch"],
}
REFUSED["dtd"] = REFUSED["lrp-zplus"]


@cache
def _of_the_table(network: str) -> tuple[nn.Module, Tensor]:
    """Network and one volume; batch norm with statistics of its own."""
    generator = torch.Generator().manual_seed(1)
    model = build(network, GRIDS[network], seed=3)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm3d):
            norm.running_mean.uniform_(-0.2, 0.2, generator=generator)
            norm.running_var.uniform_(0.5, 2, generator=generator)
    return model, torch.rand(1, 1, *GRIDS[network], generator=generator)


SMALL = [network for network in MODELS if max(GRIDS[network]) < 40]
PAIRS = [(name, network) for network in SMALL for name in METHODS] + [
    (name, network)
    for network in MODELS
    if network not in SMALL
    for name in ("cam", "lrp-zplus", *(["lrp-alphabeta"] if network in ("boehle", "patch") else []))
]
"""All methods for small networks; for the others where a method may not fit, and two in full."""


@pytest.mark.parametrize(("name", "network"), PAIRS)
def test_methods_for_every_network_of_the_table(name: str, network: str) -> None:
    model, volumes = _of_the_table(network)
    model.train()
    options = _options(name, GRIDS[network])
    if name == "area-occlusion":
        options = {"atlas": np.indices(GRIDS[network]).sum(0) // 12 * 300}
    if network in REFUSED.get(name, []):
        with pytest.raises(UsageError) as error:
            explain(name, model, volumes, **options)
        assert error.value.fix
        assert METHODS[name].needs
    else:
        heatmaps = explain(name, model, volumes, **options)
        assert heatmaps.shape == volumes.shape
        assert heatmaps.isfinite().all()
        assert heatmaps.abs().sum() > 0 or "grad-cam" in name  # nothing speaks for the class
    assert all(module.training for module in model.modules())
    _has_no_hooks(model)


@pytest.mark.parametrize("net", [conv_net(nn.ELU), patch_net()])
def test_z_plus_refuses_elu(net: nn.Module) -> None:
    with pytest.raises(UsageError, match=r"no rule for the layer ELU.*Fix:.*lrp-alphabeta"):
        explain("lrp-zplus", net, maps())


def test_z_plus_refuses_negative_inputs() -> None:
    with pytest.raises(UsageError, match=r"inputs >= 0.*lrp-alphabeta"):
        explain("dtd", conv_net(), maps() - 0.1)


def test_unknown_names_options_and_shapes_are_refused() -> None:
    model, volumes = build("graz", SHAPE), _volumes()
    with pytest.raises(UsageError, match=r"'deeplift'.*lrp-zplus"):
        explain("deeplift", model, volumes)
    with pytest.raises(UsageError, match=r"no option epsilon.*start, zero_division"):
        explain("lrp-zplus", model, volumes, epsilon=1)
    with pytest.raises(UsageError, match=r"shape \(16, 18, 21\) cannot be explained"):
        explain("saliency", model, volumes[0, 0])


@pytest.mark.parametrize("name", METHODS)
def test_records_hold_every_option_and_are_json(name: str) -> None:
    record = options_record(name, 0, **_options(name))
    assert json.loads(json.dumps(record)) == record
    assert set(record) == {"method", "target", *method_options(name)}
    assert record["method"] == name
    assert record["target"] == (None if METHODS[name].start == "softmax" else 0)


def test_records_say_what_was_asked_for() -> None:
    record = options_record("lrp-zplus", start="logit")
    assert (record["start"], record["target"], record["zero_division"]) == ("logit", 1, "clamp")
    atlas = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    atlas_record = options_record("area-occlusion", atlas=atlas)["atlas"]
    assert atlas_record["shape"] == [2, 3, 4]
    assert atlas_record["dtype"] == "uint16"
    as_tensor = options_record("area-occlusion", atlas=torch.from_numpy(atlas.astype(int)))
    assert as_tensor["atlas"]["sha256"] != atlas_record["sha256"]
    assert len(atlas_record["sha256"]) == 64
    with pytest.raises(UsageError, match="no option beta"):
        options_record("saliency", beta=1)


@pytest.mark.parametrize(
    ("name", "options", "label"),
    [
        ("lrp-zplus", {}, "lrpzplus"),
        ("lrp-zplus", {"zero_division": "clamp"}, "lrpzplus"),
        ("lrp-zplus", {"zero_division": "zero"}, "lrpzplusZeroDivisionzero"),
        ("lrp-alphabeta", {}, "lrpalphabeta000"),
        ("lrp-alphabeta", {"beta": 0.5}, "lrpalphabeta050"),
        ("lrp-alphabeta", {"beta": 4}, "lrpalphabeta400"),
        ("lrp-alphabeta", {"beta": 0.125}, "lrpalphabeta0125"),
        ("lrp-epsilon", {"epsilon": 0.01}, "lrpepsilonEpsilon0p01"),
        ("lrp-epsilon", {"epsilon": 0.001}, "lrpepsilon"),
        ("lrp-composite-1", {"low": -1}, "lrpcomposite1Lowm1"),
        ("occlusion", {"size": (40, 40, 20)}, "occlusionSize40x40x20"),
    ],
)
def test_labels_are_letters_and_digits(name: str, options: dict[str, Any], label: str) -> None:
    assert method_label(name, **options) == label


def test_labels_tell_atlases_apart() -> None:
    labels = {method_label("area-occlusion", atlas=np.full((2, 2, 2), k)) for k in range(3)}
    assert len(labels) == 3
    assert all(label.isalnum() and label.isascii() for label in labels)


def test_all_labels_differ() -> None:
    labels = [method_label(name) for name in METHODS]
    assert len(set(labels)) == len(METHODS)
    assert all(label.isalnum() for label in labels)


def test_the_page_has_a_row_for_every_method() -> None:
    text = (Path(__file__).parents[3] / "docs" / "attribution.md").read_text()
    rows = [line.split(" | ") for line in text.splitlines() if re.match(r"\| `[a-z]", line)]
    rows_of_methods = {row[0].strip("| `"): row for row in rows}
    assert list(rows_of_methods) == list(METHODS)
    for name, method in METHODS.items():
        assert rows_of_methods[name][2] == method.start
        assert rows_of_methods[name][4].startswith("±") == method.signed
        assert (rows_of_methods[name][6] == "all") == (not method.needs)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", METHODS)
def test_the_graphics_card_gives_the_same(name: str) -> None:
    volumes = _volumes()
    expected = explain(name, _network(name), volumes, **_options(name))
    before = torch.backends.cudnn.allow_tf32
    heatmaps = explain(name, _network(name).cuda(), volumes.cuda(), **_options(name))
    assert heatmaps.is_cuda
    assert torch.backends.cudnn.allow_tf32 == before
    scale = float(expected.abs().max())
    torch.testing.assert_close(heatmaps.cpu(), expected, rtol=1e-3, atol=1e-4 * scale)
