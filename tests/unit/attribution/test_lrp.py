"""Every rule of layer-wise relevance propagation against plain loops, and what it conserves."""

from __future__ import annotations

import numpy as np
import pytest
import slow_lrp as slow
import torch
from chains import SHAPE, PatchFilters, conv_net, maps, patch_net, six_convolutions
from torch import Tensor, nn

from bids_xai.attribution import explain, steps
from bids_xai.attribution.chain import build_steps
from bids_xai.attribution.lrp import conservation, recipe_of
from bids_xai.attribution.propagate import assign, propagate, run_forward
from bids_xai.attribution.rules import AlphaBeta, Box, Epsilon, Flat, Gamma
from bids_xai.errors import UsageError
from bids_xai.models.pif import PIF3d

RULES: list[tuple[str, dict[str, object], slow.Share, slow.Share | None]] = [
    # method, options, slow rule, slow rule of the first layer where it is another
    ("lrp-zplus", {}, slow.zplus(1e-7), None),
    ("lrp-zplus", {"zero_division": "zero"}, slow.zplus(0), None),
    ("lrp-zplus", {"zero_division": "zero", "bias": "absorb"}, slow.zplus(0, True), None),
    ("lrp-zplus", {"first": "flat"}, slow.zplus(1e-7), slow.flat()),
    ("lrp-zplus", {"first": "box", "low": 0, "high": 1}, slow.zplus(1e-7), slow.box(0, 1)),
    *[
        ("lrp-alphabeta", {"beta": beta}, slow.alphabeta(beta), None)
        for beta in (0, 0.25, 0.5, 0.75, 1, 4)
    ],
    ("lrp-alphabeta", {"beta": 1, "bias": "absorb"}, slow.alphabeta(1, True), None),
    ("lrp-alphabeta", {"beta": 1, "one_sided": "textbook"}, slow.alphabeta(1, keep=False), None),
    ("lrp-alphabeta", {"beta": 2, "first": "flat"}, slow.alphabeta(2), slow.flat()),
    ("lrp-0", {}, slow.epsilon(0), None),
    ("lrp-0", {"bias": "ignore"}, slow.epsilon(0, False), None),
    ("lrp-epsilon", {}, slow.epsilon(0.001), None),
    ("lrp-epsilon", {"epsilon": 0.3, "bias": "ignore"}, slow.epsilon(0.3, False), None),
    ("lrp-epsilon", {"epsilon": 0.2, "relative": True}, slow.epsilon(0.2, relative=True), None),
    ("lrp-epsilon", {"first": "box", "low": -1, "high": 2}, slow.epsilon(0.001), slow.box(-1, 2)),
    ("lrp-gamma", {}, slow.gamma(0.25), None),
    ("lrp-gamma", {"gamma": 2, "bias": "ignore"}, slow.gamma(2, False), None),
]


def _start(net: nn.Module, volumes: Tensor, start: str, target: int = 1) -> np.ndarray:
    """Relevance of the output (n, classes), by numpy."""
    logits = net(volumes).detach().numpy()
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    if start == "softmax":
        return p
    of_target = np.zeros_like(p)
    of_target[:, target] = (p if start == "probability" else logits)[:, target]
    return of_target


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize(("method", "options", "rule", "first"), RULES)
def test_rules_against_plain_loops(
    method: str,
    options: dict[str, object],
    rule: slow.Share,
    first: slow.Share | None,
    average: bool,
) -> None:
    net, volumes = conv_net(), maps()
    start = recipe_of(method, **options).options.start
    policy = "average" if average else "winner"
    heatmaps = explain(method, net, volumes, max_pool=policy, **options)
    begin = _start(net, volumes, start)
    for volume, relevance, at in zip(volumes, heatmaps, begin, strict=True):
        expected = slow.slow_lrp(net, volume, at, [first or rule, rule, rule, rule], average)
        # z+ raises activations in a pool, too, where the slow version takes them as they are
        atol = 1e-7 if average and method == "lrp-zplus" else 1e-9
        np.testing.assert_allclose(relevance, expected, rtol=1e-6, atol=atol)
        assert np.abs(expected).max() > 1e-3


@pytest.mark.parametrize(
    ("method", "rule"),
    [
        ("lrp-alphabeta", slow.alphabeta(0.5)),
        ("lrp-0", slow.epsilon(0)),
        ("lrp-gamma", slow.gamma(0.25)),
        ("lrp-epsilon", slow.epsilon(0.001)),
    ],
)
def test_negative_inputs_and_elu_against_plain_loops(method: str, rule: slow.Share) -> None:
    net, volumes = conv_net(nn.ELU), maps() - 0.4
    options = {"beta": 0.5} if method == "lrp-alphabeta" else {}
    heatmaps = explain(method, net, volumes, 0, start="logit", **options)
    begin = _start(net, volumes, "logit", 0)
    for volume, relevance, at in zip(volumes, heatmaps, begin, strict=True):
        expected = slow.slow_lrp(net, volume, at, [rule] * 4, average=False)
        np.testing.assert_allclose(relevance, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("number", "lower", "average"),
    [
        (1, [slow.gamma(0.25), slow.epsilon(0.0025), slow.epsilon(0.0025)], False),
        (2, [slow.gamma(0.25), slow.gamma(0.25), slow.epsilon(0.0025)], True),
        (3, [slow.alphabeta(0, True), slow.alphabeta(0, True), slow.epsilon(0.0025)], True),
    ],
)
def test_composites_against_plain_loops(
    number: int, lower: list[slow.Share], average: bool
) -> None:
    net, volumes = six_convolutions(), maps()
    heatmaps = explain(f"lrp-composite-{number}", net, volumes, low=0, high=1)
    upper, pooling = slow.epsilon(0), slow.epsilon(0, False)
    rules = [slow.box(0, 1), *lower, upper, upper, pooling, upper]
    begin = _start(net, volumes, "logit")
    for volume, relevance, at in zip(volumes, heatmaps, begin, strict=True):
        expected = slow.slow_lrp(net, volume, at, list(rules), average)
        np.testing.assert_allclose(relevance, expected, rtol=1e-6, atol=1e-9)
        assert np.abs(expected).max() > 1e-4


def test_bounds_of_the_box_rule_are_each_volume_s_own_unless_given() -> None:
    net, volumes = conv_net(), maps() * torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1, 1)
    heatmaps = explain("lrp-composite-1", net, volumes)
    for i in range(2):
        bounds = {"low": float(volumes[i].min()), "high": float(volumes[i].max())}
        alone = explain("lrp-composite-1", net, volumes[i : i + 1], **bounds)
        torch.testing.assert_close(heatmaps[i : i + 1], alone)


@pytest.mark.parametrize(
    ("n", "expected"),
    [(1, "b"), (2, "b0"), (3, "bm0"), (4, "blm0"), (5, "blmm0"), (6, "blmm00"), (8, "bllmmm00")],
)
def test_composites_keep_the_relative_depth(n: int, expected: str) -> None:
    net = nn.Sequential(*[nn.Conv3d(1, 1, 1) for _ in range(n)], nn.Flatten(), nn.Linear(1, 2))
    rules = assign(build_steps(net, "LRP"), recipe_of("lrp-composite-1"))
    letters = {Box: "b", Gamma: "l", Epsilon: "m"}
    assigned = [
        "0" if isinstance(rule, Epsilon) and rule.epsilon == 0 else letters[type(rule)]
        for rule in rules[:n]
    ]
    assert "".join(assigned) == expected
    assert rules[n:] == [None, Epsilon()]


def test_the_first_layer_may_be_flat() -> None:
    recipe = recipe_of("lrp-alphabeta", first="flat", beta=0.5)
    rules = assign(build_steps(conv_net(), "LRP"), recipe)
    assert rules[0] == Flat()
    assert [rule for rule in rules[1:] if rule] == [AlphaBeta(0.5)] * 3


@pytest.mark.parametrize("method", ["lrp-zplus", "lrp-alphabeta", "lrp-epsilon", "lrp-gamma"])
def test_batch_norm_is_folded(method: str) -> None:
    """The same output and relevance as a network whose convolutions were folded by hand."""
    net, volumes = conv_net(), maps()
    folded = nn.Sequential(*[layer for layer in net if not isinstance(layer, nn.BatchNorm3d)])
    by_hand = []
    for conv, norm in ((net[0], net[1]), (net[4], net[5])):
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        new = nn.Conv3d(
            conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding
        ).double()
        new.weight.data = (conv.weight * scale[:, None, None, None, None]).data
        bias = 0 if conv.bias is None else conv.bias
        new.bias.data = ((bias - norm.running_mean) * scale + norm.bias).data
        by_hand.append(new)
    folded[0], folded[3] = by_hand
    torch.testing.assert_close(folded(volumes), net(volumes), rtol=1e-12, atol=0)
    heatmaps = explain(method, net, volumes)
    torch.testing.assert_close(heatmaps, explain(method, folded, volumes), rtol=1e-10, atol=1e-14)
    as_identity = explain(method, net, volumes, batch_norm="identity")
    assert (as_identity - heatmaps).abs().max() > 1e-4


def test_batch_norm_as_the_identity_passes_relevance_on() -> None:
    net, volumes = conv_net(), maps()
    sums = conservation("lrp-alphabeta", net, volumes, batch_norm="identity")
    named = {row.layer: row.sums for row in sums}
    torch.testing.assert_close(named["input of 1 BatchNorm3d"], named["input of 2 ReLU"])


@pytest.mark.parametrize("beta", [0, 0.25, 0.5, 0.75, 1, 4])
@pytest.mark.parametrize("start", ["softmax", "probability", "logit"])
def test_the_beta_sweep_conserves(beta: float, start: str) -> None:
    net, volumes = conv_net(), maps(n=3)
    expected = torch.from_numpy(_start(net, volumes, start)).sum(1)
    for row in conservation("lrp-alphabeta", net, volumes, beta=beta, start=start):
        torch.testing.assert_close(row.sums, expected, rtol=1e-9, atol=1e-12)


def test_higher_beta_is_more_of_a_difference() -> None:
    net, volumes = conv_net(), maps()
    heatmaps = [explain("lrp-alphabeta", net, volumes, beta=b) for b in (0, 0.25, 0.5, 0.75, 1, 4)]
    assert (heatmaps[0] >= 0).all()
    spread = [float(relevance.abs().sum()) for relevance in heatmaps]
    assert spread == sorted(spread)
    assert (heatmaps[-1] < 0).any()


def test_conservation_names_every_layer_and_shows_the_leak() -> None:
    net, volumes = conv_net(), maps()
    rows = conservation("lrp-epsilon", net, volumes, epsilon=0.5)
    assert rows[0].layer == "output"
    assert rows[-1].layer == "input of 0 Conv3d"
    assert [row.layer.split()[-1] for row in rows[1:]] == [
        type(layer).__name__ for layer in reversed(net) if not isinstance(layer, nn.BatchNorm3d)
    ]
    torch.testing.assert_close(rows[0].sums, net(volumes)[:, 1].detach())
    relevance = explain("lrp-epsilon", net, volumes, epsilon=0.5)
    torch.testing.assert_close(rows[-1].sums, relevance.flatten(1).sum(1))
    assert (rows[-1].sums - rows[0].sums).abs().min() > 1e-3


def test_lrp_0_is_input_times_gradient() -> None:
    net, volumes = conv_net(), maps()
    heatmaps = explain("lrp-0", net, volumes)
    torch.testing.assert_close(heatmaps, explain("input-x-gradient", net, volumes))


def test_gamma_0_is_lrp_0() -> None:
    net, volumes = conv_net(), maps()
    for options in ({}, {"start": "probability", "bias": "ignore"}):
        heatmaps = explain("lrp-gamma", net, volumes, gamma=0, **options)
        torch.testing.assert_close(heatmaps, explain("lrp-0", net, volumes, **options))


def test_a_layer_of_another_kind_by_its_own_weights() -> None:
    """Patch individual filters equal two convolutions on two halves."""
    net, volumes = patch_net(), maps()
    heatmaps = explain("lrp-alphabeta", net, volumes, beta=1)
    steps = build_steps(net, "LRP")
    x = torch.rand(2, 2, *SHAPE, dtype=torch.float64) - 0.5
    s = torch.rand(2, 2, *SHAPE, dtype=torch.float64)
    op = steps[2]
    for change in (None, torch.abs):
        y = op.apply(x, change)
        torch.testing.assert_close((y * s).sum(), (x * op.transpose(s, x, change)).sum())
    torch.testing.assert_close(op.apply(x) + op.bias(x), net[2](x))
    assert heatmaps.isfinite().all()
    expected = net(volumes).softmax(1)[:, 1].detach()
    torch.testing.assert_close(heatmaps.flatten(1).sum(1), expected)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv3d(2, 3, 3, padding=1),
        nn.Conv3d(2, 4, (1, 2, 3), stride=(1, 2, 3), groups=2),
        nn.Conv3d(2, 2, 3, padding="same", dilation=2),
        nn.Conv3d(2, 3, 2, stride=3, padding=1),
        nn.AvgPool3d((1, 2, 3)),
        nn.AvgPool3d(3, 2, 1),
        nn.AdaptiveAvgPool3d(1),
        PatchFilters(),
        PIF3d(2, 3, SHAPE, (2, 2, 3)),
        nn.MaxPool3d((1, 2, 3), padding=(0, 1, 1)),
        nn.MaxPool3d(3, 2, ceil_mode=True),
    ],
)
def test_the_transpose_is_the_transpose(layer: nn.Module) -> None:
    layer = layer.double()
    (op,) = build_steps(nn.Sequential(layer), "LRP", max_pool="average")
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(2, 2, *SHAPE, generator=generator, dtype=torch.float64) - 0.5
    y = op.apply(x)
    s = torch.rand(y.shape, generator=generator, dtype=torch.float64)
    torch.testing.assert_close((y * s).sum(), (x * op.transpose(s, x)).sum())
    assert op.forward(x)[0].shape == y.shape


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv3d(1, 3, 3, padding=1),
        nn.Conv3d(1, 2, (3, 1, 2)),
        nn.Conv3d(1, 2, 3, stride=2),
        nn.Conv3d(1, 2, (1, 4, 3), padding=2),
        nn.Conv3d(1, 2, 2, dilation=2),
    ],
)
@pytest.mark.parametrize("slab", [1, 200, 10**6])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last_3d])
def test_the_transpose_to_one_channel(
    layer: nn.Conv3d, slab: int, memory: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "SLAB", slab)
    (op,) = build_steps(nn.Sequential(layer.double()), "LRP")
    x = torch.rand(2, 1, *SHAPE, dtype=torch.float64)
    y = op.apply(x)
    s = torch.rand(y.shape, dtype=torch.float64).contiguous(memory_format=memory)
    expected = op.transpose(s, x)
    with torch.no_grad():
        torch.testing.assert_close(op.transpose(s, x), expected.detach())


def test_winners_of_either_order_of_memory() -> None:
    """Relevance of pooling does not depend on how the activations lie in memory."""
    x = torch.rand(2, 3, *SHAPE)
    for pool in (nn.MaxPool3d((2, 1, 2)), nn.MaxPool3d(2, stride=1)):
        (step,) = build_steps(nn.Sequential(pool), "LRP")
        results = []
        for memory in (torch.contiguous_format, torch.channels_last_3d):
            y, cache = step.forward(x.contiguous(memory_format=memory))
            results.append(step.to_winner(cache, 2 * y))
        assert torch.equal(results[0], results[1])
        x_again = x.clone().requires_grad_()
        (expected,) = torch.autograd.grad(pool(x_again), x_again, 2 * y)
        torch.testing.assert_close(results[0], expected)


def test_overlapping_max_pooling_adds_up_at_the_winner() -> None:
    net = nn.Sequential(nn.MaxPool3d((1, 1, 2), stride=(1, 1, 1)), nn.Flatten(), nn.Linear(2, 2))
    net[2].weight.data = torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    nn.init.zeros_(net[2].bias)
    heatmaps = explain("lrp-0", net, torch.tensor([1.0, 5.0, 2.0]).reshape(1, 1, 1, 1, 3))
    assert heatmaps.flatten().tolist() == [0.0, 15.0, 0.0]


@pytest.mark.parametrize(
    ("net", "options", "message"),
    [
        (nn.Sequential(nn.Conv3d(1, 1, 1), nn.Softmax(1)), {}, "no rule for the layer Softmax"),
        (nn.Sequential(nn.ReLU(), nn.BatchNorm3d(1)), {}, "does not follow a convolution"),
        (nn.Sequential(nn.Conv3d(1, 1, 3, padding=1, padding_mode="circular")), {}, "circular"),
        (nn.Sequential(nn.Conv3d(1, 1, 2, padding="same")), {}, "one-sided"),
        (
            nn.Sequential(nn.Conv3d(1, 1, 1), nn.BatchNorm3d(1, track_running_stats=False)),
            {},
            "no running statistics",
        ),
        (nn.Sequential(nn.MaxPool3d(2, dilation=2)), {"max_pool": "average"}, "dilated"),
        (conv_net(), {"max_pool": "loser"}, "max-pooling policy 'loser'"),
        (conv_net(), {"batch_norm": "drop"}, "batch norm policy 'drop'"),
        (conv_net(), {"bias": "drop"}, "bias policy 'drop'"),
        (conv_net(), {"first": "last"}, "first layer 'last'"),
        (conv_net(), {"low": 0}, "no effect"),
        (conv_net(), {"first": "box", "low": 1, "high": 1}, "enclose no values"),
        (conv_net(), {"engine": "innvestigate"}, "engine 'innvestigate'"),
        (conv_net(), {"start": "top"}, "start 'top'"),
        (conv_net(), {"epsilon": -1}, "epsilon -1"),
        (conv_net(), {"epsilon": float("nan")}, "epsilon nan"),
    ],
)
def test_what_does_not_fit_is_refused(
    net: nn.Module, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        explain("lrp-epsilon", net.double(), maps(), **options)


@pytest.mark.parametrize("options", [{"beta": -0.5}, {"one_sided": "drop"}, {"stabilizer": -1e-9}])
def test_alpha_beta_options_that_make_no_sense(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        explain("lrp-alphabeta", conv_net(), maps(), **options)


def test_methods_without_propagation_have_no_recipe() -> None:
    with pytest.raises(UsageError, match=r"'saliency' propagates no relevance.*lrp-zplus"):
        recipe_of("saliency")
    with pytest.raises(UsageError, match="no option beta"):
        recipe_of("lrp-0", beta=1)


@pytest.mark.parametrize("method", ["lrp-zplus", "lrp-alphabeta", "lrp-epsilon", "lrp-gamma"])
def test_single_precision_gives_the_same(method: str) -> None:
    """There weights lie in another order of memory, and memory is used again."""
    net, volumes = conv_net(), maps()
    expected = explain(method, net, volumes, start="logit")
    net.float()
    weight = net[0].weight
    heatmaps = explain(method, net, volumes.float(), start="logit")
    scale = float(expected.abs().max())
    torch.testing.assert_close(heatmaps.double(), expected, rtol=1e-4, atol=1e-5 * scale)
    assert weight.is_contiguous()
    logits, relevance = propagate(net, volumes.float(), 1, recipe_of(method), create_graph=True)
    torch.testing.assert_close(logits, net(volumes.float()))
    without = propagate(net, volumes.float(), 1, recipe_of(method))
    torch.testing.assert_close(without[0], logits)
    torch.testing.assert_close(without[1], relevance, rtol=1e-4, atol=1e-5 * scale)


def test_only_what_the_way_back_needs_is_kept() -> None:
    steps = build_steps(conv_net(), "LRP")
    _, caches = run_forward(steps, maps())
    shapes = [None if keep is None else getattr(keep, "shape", type(keep)) for keep in caches]
    assert shapes == [
        (2, 1, 4, 5, 6),
        None,
        tuple,
        (2, 2, 2, 5, 3),
        None,
        torch.Size,
        (2, 36),
        None,
        None,
        (2, 4),
    ]
