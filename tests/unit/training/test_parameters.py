"""Optimizers, frozen layers, penalties."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn
from training_cases import SHAPE, Tiny, make_recipe

from bids_xai.errors import UsageError
from bids_xai.models import build
from bids_xai.training.parameters import (
    add_penalty_gradients,
    below,
    build_optimizer,
    frozen,
    penalties,
    set_training_mode,
)


def _stepped(recipe_changes: dict[str, object], n: int = 4) -> list[list[float]]:
    """Weights after each step on the loss 1.5 w0^2 - 2 w1 from (1, -3)."""
    model = nn.Linear(2, 1, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, -3.0]]))
    optimizer = build_optimizer(model, make_recipe(learning_rate=0.1, **recipe_changes))
    seen = []
    for _ in range(n):
        optimizer.zero_grad()
        (1.5 * model.weight[0, 0] ** 2 - 2 * model.weight[0, 1]).backward()
        optimizer.step()
        seen.append(model.weight[0].tolist())
    return seen


def _by_hand(kind: str, decay: float, momentum: float = 0.0, n: int = 4) -> list[list[float]]:
    """The update rules written out for one weight at a time."""
    columns = []
    for w, gradient in ((1.0, lambda w: 3 * w), (-3.0, lambda w: -2.0)):
        m = v = 0.0
        column = []
        for t in range(1, n + 1):
            g = gradient(w) + (0 if kind == "adamw" else decay * w)
            if kind == "sgd":
                m = g if t == 1 else momentum * m + g
                w -= 0.1 * m
            else:
                w -= 0.1 * decay * w if kind == "adamw" else 0
                m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
                w -= 0.1 * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)) ** 0.5 + 1e-8)
            column.append(w)
        columns.append(column)
    return [list(row) for row in zip(*columns, strict=True)]


@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("decay", [0.0, 0.2])
def test_optimizers_follow_their_rules(kind: str, decay: float) -> None:
    stepped = _stepped({"optimizer": kind, "weight_decay": decay, "momentum": 0.8})
    expected = _by_hand(kind, decay, 0.8 if kind == "sgd" else 0.0)
    torch.testing.assert_close(torch.tensor(stepped), torch.tensor(expected), rtol=1e-6, atol=1e-8)


def test_names_end_at_dots() -> None:
    names = ["layers.1.weight", "layers.1.bias", "layers.10.weight", "head.weight"]
    assert below(names, ["layers.1"]) == names[:2]
    assert below(names, ["head.weight", "layers"]) == names
    assert below(names, []) == []
    with pytest.raises(UsageError, match=re.escape("no layer 'layer.1' with weights")):
        below(names, ["layer.1"])


def test_frozen_layers_keep_weights_and_statistics() -> None:
    model = Tiny()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    layers = ["layers.0", "layers.1"]
    with frozen(model, layers):
        optimizer = build_optimizer(model, make_recipe(weight_decay=0.1))
        set_training_mode(model, layers)
        assert not model.layers[1].training
        assert model.layers[4].training
        model(torch.rand(2, 1, *SHAPE)).sum().backward()
        optimizer.step()
    changed = {n for n, t in model.state_dict().items() if not torch.equal(t, before[n])}
    assert changed == {"layers.6.weight", "layers.6.bias"}
    assert all(parameter.requires_grad for parameter in model.parameters())
    set_training_mode(model, [])
    assert model.layers[1].training


def test_freezing_all_or_nothing_that_exists_is_refused() -> None:
    model = Tiny()
    with frozen(model, ["layers"]), pytest.raises(UsageError, match="nothing is left to train"):
        build_optimizer(model, make_recipe())
    with pytest.raises(UsageError, match=r"no layer 'layers.2'"), frozen(model, ["layers.2"]):
        pass


def test_what_the_caller_froze_stays_frozen() -> None:
    model = Tiny()
    model.layers[0].weight.requires_grad_(False)
    with frozen(model, ["layers.0"]):
        pass
    assert not model.layers[0].weight.requires_grad
    assert model.layers[0].bias is not None
    assert model.layers[0].bias.requires_grad


def test_the_penalty_gradient_is_that_of_the_written_out_penalty() -> None:
    model, volumes = Tiny(dropout=0.0), torch.rand(2, 1, *SHAPE)
    model.l2 = {"layers.0": 0.01, "6": 0.3}  # from the network, or from its chain

    def gradients(penalty: Tensor | float) -> list[Tensor]:
        model.zero_grad()
        (model(volumes).pow(2).sum() + penalty).backward()
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    written_out = gradients(
        0.01 * model.layers[0].weight.pow(2).sum() + 0.3 * model.layers[6].weight.pow(2).sum()
    )
    gradients(0.0)
    add_penalty_gradients(penalties(model))
    added = [p.grad for p in model.parameters()]
    torch.testing.assert_close(added, written_out)


def test_penalties_of_the_networks() -> None:
    assert penalties(nn.Linear(2, 2)) == []
    model = build("sixtyfour", (71, 72, 73))
    assert {tuple(weight.shape) for weight, _ in penalties(model)} == {(64, 64, 3, 3, 3)}
    assert [factor for _, factor in penalties(model)] == [0.01, 0.01]
    wrong = Tiny()
    wrong.l2 = {"layers.2": 0.1}
    with pytest.raises(UsageError, match=r"'layers.2', which is not a layer"):
        penalties(wrong)


def test_frozen_weights_take_no_penalty() -> None:
    model = Tiny()
    with frozen(model, ["layers.0"]):
        model(torch.rand(2, 1, *SHAPE)).sum().backward()
        add_penalty_gradients(penalties(model))
    assert model.layers[0].weight.grad is None
