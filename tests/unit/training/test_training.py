"""Recipes through the whole loop."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from training_cases import (
    SHAPE,
    Interrupt,
    Scan,
    Tiny,
    make_recipe,
    make_scans,
    train_in_pieces,
    weights_of,
)

from bids_xai.errors import BadDataError, UsageError
from bids_xai.models.graz import Graz
from bids_xai.training.loop import LOG, EpochRecord, predict, train

LAST = torch.channels_last_3d


def test_three_classes_are_learnt(tmp_path: Path) -> None:
    data, validation = make_scans(12, classes=3), make_scans(6, seed=2, classes=3)
    recipe = make_recipe(epochs=12, learning_rate=2e-2, class_weights="balanced")
    model = Tiny(3, dropout=0.0, norm=False)
    result = train(model, data, validation, recipe, folder=tmp_path, device="cpu")
    probabilities = predict(model, validation, 4, "cpu")
    assert probabilities.shape == (6, 3)
    assert probabilities.argmax(axis=1).tolist() == [label for _, _, label in validation]
    assert result.history[result.best_epoch - 1].validation_balanced_accuracy == 1
    assert not result.constant


def test_guidance_takes_three_classes(tmp_path: Path) -> None:
    data = make_scans(6, classes=3)
    recipe = make_recipe(epochs=1, relevance_guided=True)
    result = train(Graz(SHAPE, 3), data, data, recipe, folder=tmp_path, device="cpu")
    assert result.history[0].relevance_sum == pytest.approx(1, abs=1e-3)
    assert math.isfinite(result.history[0].validation_balanced_accuracy)


def test_class_weights_are_those_of_the_training_scans(tmp_path: Path) -> None:
    """One epoch at no rate to speak of: the losses are those of the initial weights."""
    model = Tiny(dropout=0.0, norm=False).double()
    scans = [
        (volume.double(), mask.double(), label)
        for i, (volume, mask, label) in enumerate(make_scans(12))
        if label == 0 or i < 4  # six and two
    ]
    recipe = make_recipe(epochs=1, learning_rate=1e-12, class_weights="balanced")
    (record,) = train(model, scans, scans[:4], recipe, folder=tmp_path, device="cpu").history
    weight = {0: 8 / (2 * 6), 1: 8 / (2 * 2)}

    def loss(scans: list[Scan]) -> float:
        logits = model(torch.stack([volume for volume, _, _ in scans])).log_softmax(dim=1)
        return float(np.mean([-weight[s[2]] * logits[i, s[2]].item() for i, s in enumerate(scans)]))

    assert record.train_loss == pytest.approx(loss(scans), rel=1e-6)
    assert record.validation_ce == pytest.approx(loss(scans[:4]), rel=1e-6)


@pytest.mark.parametrize(("name", "n"), [("training", 0), ("validation", 1)])
def test_a_class_without_scans_is_refused(tmp_path: Path, name: str, n: int) -> None:
    one_class = [scan for scan in make_scans(6) if scan[2] == 0]
    recipe = make_recipe(stop_patience=n, stop_metric="validation_balanced_accuracy")
    pair = (one_class, make_scans(4)) if name == "training" else (make_scans(4), one_class)
    with pytest.raises(BadDataError, match=f"No {name} scan belongs to class 1"):
        train(Tiny(), *pair, recipe, folder=tmp_path, device="cpu")


def test_a_class_the_network_does_not_have_is_refused(tmp_path: Path) -> None:
    data = make_scans(6, classes=3)
    chain = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(SHAPE), 2))
    for model in (Tiny(2), chain):
        with pytest.raises(BadDataError, match="belongs to class 2, the network has 2"):
            train(model, data, data, make_recipe(), folder=tmp_path, device="cpu")


def test_early_stopping_ends_with_its_best_epoch(tmp_path: Path) -> None:
    seen: list[list[torch.Tensor]] = []
    model = Tiny()
    recipe = make_recipe(
        epochs=30,
        patience=0,
        stop_patience=2,
        learning_rate=1e-5,
        stop_metric="validation_balanced_accuracy",
    )
    result = train(
        model,
        make_scans(6),
        make_scans(4),
        recipe,
        folder=tmp_path,
        device="cpu",
        progress=lambda record: seen.append(weights_of(model)),
    )
    assert result.stopped_early
    assert len(result.history) == result.best_epoch + 2 < 30
    best = result.history[result.best_epoch - 1]
    assert best.validation_balanced_accuracy == max(
        record.validation_balanced_accuracy for record in result.history
    )
    assert result.best_validation_loss == best.validation_loss
    assert all(map(torch.equal, weights_of(model), seen[result.best_epoch - 1]))


def test_training_may_end_with_the_last_epoch(tmp_path: Path) -> None:
    seen: list[list[torch.Tensor]] = []
    model = Tiny()
    result = train(
        model,
        make_scans(6),
        make_scans(4),
        make_recipe(epochs=3, min_delta=9, end_with="last"),
        folder=tmp_path,
        device="cpu",
        progress=lambda record: seen.append(weights_of(model)),
    )
    assert result.best_epoch == 1
    assert all(map(torch.equal, weights_of(model), seen[2]))
    assert not all(map(torch.equal, seen[2], seen[0]))  # the plateau it ends on changes nothing


def test_no_epochs_leave_the_network_as_it_comes(tmp_path: Path) -> None:
    model, initial = Tiny().train(), weights_of(Tiny())
    result = train(
        model, make_scans(4), make_scans(2), make_recipe(epochs=0), folder=tmp_path, device="cpu"
    )
    assert all(map(torch.equal, weights_of(model), initial))
    assert not model.training
    assert (result.history, result.best_epoch) == ((), 0)
    assert math.isnan(result.best_validation_loss)
    assert [path.name for path in tmp_path.iterdir()] == [LOG]


def test_one_answer_to_everything_is_reported(tmp_path: Path) -> None:
    """After an interruption, too."""

    def blind() -> nn.Module:
        model = Graz(SHAPE)
        with torch.no_grad():
            model.layers[-1].weight.zero_()
        return model

    def stop(record: EpochRecord) -> None:
        raise Interrupt

    recipe, data = make_recipe(epochs=1, learning_rate=1e-9), make_scans(4)
    with pytest.raises(Interrupt):
        train(blind(), data, data, recipe, folder=tmp_path, device="cpu", progress=stop)
    result = train(blind(), data, data, recipe, folder=tmp_path, device="cpu")
    assert result.resumed_after == 1
    assert result.constant


def test_frozen_layers_stay_through_a_training(tmp_path: Path) -> None:
    model, initial = Tiny(), Tiny().state_dict()
    recipe = make_recipe(freeze=("layers.0", "layers.1"), epochs=2)
    train(model, make_scans(6), make_scans(4), recipe, folder=tmp_path, device="cpu")
    changed = {n for n, t in model.state_dict().items() if not torch.equal(t, initial[n])}
    assert changed == {"layers.6.weight", "layers.6.bias"}
    assert all(parameter.requires_grad for parameter in model.parameters())
    with pytest.raises(UsageError, match="no layer 'conv1'"):
        train(
            model,
            make_scans(6),
            make_scans(4),
            make_recipe(freeze=("conv1",)),
            folder=tmp_path,
            device="cpu",
        )


@pytest.mark.parametrize("guided", [False, True])
def test_memory_layout_changes_rounding_alone(tmp_path: Path, guided: bool) -> None:
    ends = []
    for channels_last in (False, True):
        model = Graz(SHAPE).double()
        data = [(v.double(), m.double(), label) for v, m, label in make_scans(6)]
        recipe = make_recipe(epochs=2, channels_last=channels_last, relevance_guided=guided)
        train(model, data, data, recipe, folder=tmp_path / str(channels_last), device="cpu")
        assert all(parameter.is_contiguous() for parameter in model.parameters())
        ends.append(weights_of(model))
    for tensor, two in zip(*ends, strict=True):
        torch.testing.assert_close(tensor, two, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("guided", [False, True])
def test_on_a_cpu_channels_lie_last_until_the_end(tmp_path: Path, guided: bool) -> None:
    """By default; and the weights that are saved lie as ever."""
    ends, layouts = [], []
    for channels_last in (None, True, False):
        model = Graz(SHAPE)

        def look(record: EpochRecord, model: nn.Module = model) -> None:
            layouts.append(model.layers[2].weight.is_contiguous(memory_format=LAST))

        recipe = make_recipe(epochs=1, channels_last=channels_last, relevance_guided=guided)
        folder = tmp_path / str(channels_last)
        train(
            model, make_scans(6), make_scans(4), recipe, folder=folder, device="cpu", progress=look
        )
        assert all(parameter.is_contiguous() for parameter in model.parameters())
        ends.append(weights_of(model))
    assert layouts == [True, True, False]
    assert all(map(torch.equal, ends[0], ends[1]))


def test_the_penalty_pulls_at_its_layer_alone(tmp_path: Path) -> None:
    """A step of SGD: the difference that the penalty makes is -rate * 2 * factor * weight."""
    ends = []
    for l2 in ({}, {"layers.0": 0.3}):
        model = Tiny(dropout=0.0, norm=False).double()
        model.l2 = l2
        data = [(v.double(), m.double(), label) for v, m, label in make_scans(4)]
        recipe = make_recipe(
            epochs=1, batch_size=2, accumulate=2, optimizer="sgd", learning_rate=0.1
        )
        train(model, data, data, recipe, folder=tmp_path / str(len(l2)), device="cpu")
        ends.append(model.state_dict())
    initial = Tiny(dropout=0.0, norm=False).double().state_dict()
    for name in initial:
        pull = -0.1 * 2 * 0.3 * initial[name] if name == "layers.0.weight" else 0 * initial[name]
        torch.testing.assert_close(ends[1][name] - ends[0][name], pull, rtol=1e-7, atol=1e-12)


def test_dropout_differs_from_step_to_step(tmp_path: Path) -> None:
    masks: list[torch.Tensor] = []
    model = Tiny(dropout=0.5)
    model.layers[4].register_forward_hook(lambda _, inputs, output: masks.append(output == 0))
    train(
        model,
        make_scans(4),
        make_scans(2),
        make_recipe(epochs=2, batch_size=2),
        folder=tmp_path,
        device="cpu",
    )
    steps = [mask for mask in masks if mask.float().mean() > 0.2]
    assert len(steps) == 4
    assert not any(torch.equal(steps[i], steps[j]) for i in range(4) for j in range(i))


def test_seconds_go_on_after_an_interruption(tmp_path: Path) -> None:
    _, result = train_in_pieces(
        Tiny(), make_scans(6), make_scans(2), make_recipe(epochs=1), tmp_path, at=4
    )
    assert result.history[0].seconds > 0
    assert result.history[0].scans_per_second > 0


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    def stop(record: EpochRecord) -> None:
        raise Interrupt

    data = make_scans(4)
    first = make_recipe(flip_axes=(0,), freeze=("layers.0",))
    with pytest.raises(Interrupt):
        train(Tiny(), data, data, first, folder=tmp_path, device="cpu", progress=stop)
    for change in ({"channels_last": True}, {"mixed_precision": "bf16"}, {"flip_axes": (1,)}):
        other = make_recipe(**{"flip_axes": (0,), "freeze": ("layers.0",), **change})
        with pytest.raises(UsageError, match="another run: recipe differ"):
            train(Tiny(), data, data, other, folder=tmp_path, device="cpu")
    assert train(Tiny(), data, data, first, folder=tmp_path, device="cpu").resumed_after == 1
