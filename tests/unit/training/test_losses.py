"""The objective of a batch: class weights, precision."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from training_cases import SHAPE, Tiny, make_recipe

from bids_xai.attribution.guided import covers
from bids_xai.attribution.zplus import NegativeInputError
from bids_xai.errors import BadDataError
from bids_xai.models.graz import Graz
from bids_xai.training import losses as module
from bids_xai.training.losses import balanced_weights, check_finite, cross_entropy, losses


def test_balanced_weights_are_inverse_frequencies() -> None:
    labels = [0, 0, 0, 0, 0, 1, 2, 2]
    weights = balanced_weights(labels, 3)
    assert weights == pytest.approx([8 / 15, 8 / 3, 8 / 6])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=np.array(labels))
    np.testing.assert_allclose(weights, expected)
    assert np.mean([weights[label] for label in labels]) == pytest.approx(1)


def test_weighted_cross_entropy_equals_a_sum_by_hand() -> None:
    logits = torch.tensor([[1.0, 0.0, -1.0], [0.5, 2.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    labels, weights = torch.tensor([0, 2, 1]), torch.tensor([0.5, 2.0, 1.5])
    by_hand = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        p = math.exp(row[label]) / sum(map(math.exp, row))
        by_hand -= float(weights[label]) * math.log(p) / 3
    assert cross_entropy(logits, labels, weights).item() == pytest.approx(by_hand, rel=1e-9)
    parts = [cross_entropy(logits[i : i + 1], labels[i : i + 1], weights) for i in range(3)]
    assert torch.stack(parts).mean().item() == pytest.approx(by_hand, rel=1e-9)
    ones = cross_entropy(logits, labels, torch.ones(3))
    assert ones.item() == pytest.approx(cross_entropy(logits, labels, None).item())


@pytest.mark.parametrize("guided", [False, True])
def test_half_precision_is_for_steps_without_guidance(guided: bool) -> None:
    model = Graz(SHAPE)
    volumes, masks = torch.rand(4, 1, *SHAPE), torch.ones(4, 1, *SHAPE)
    labels = torch.tensor([0, 1, 1, 0])

    def logits_of(mixed_precision: str, training: bool) -> torch.Tensor:
        recipe = make_recipe(mixed_precision=mixed_precision, relevance_guided=guided)
        return losses(model, volumes, masks, labels, recipe, training=training).logits

    full, half = logits_of("off", True), logits_of("bf16", True)
    assert half.dtype == torch.float32
    assert torch.equal(full, half) == guided
    torch.testing.assert_close(full, half, rtol=0.03, atol=0.03)
    assert torch.equal(logits_of("off", False), logits_of("bf16", False))


def test_validation_is_in_full_precision_without_relevance_too() -> None:
    model, volumes = Tiny().eval(), torch.rand(4, 1, *SHAPE)
    heads = [
        losses(
            model,
            volumes,
            volumes,
            torch.tensor([0, 1, 1, 0]),
            make_recipe(mixed_precision=precision),
            training=training,
        ).logits
        for precision, training in (("off", False), ("bf16", False), ("bf16", True))
    ]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_masks_cover_every_channel() -> None:
    model = Graz(SHAPE, channels=2)
    volumes, masks = torch.rand(3, 2, *SHAPE), torch.zeros(3, 1, *SHAPE)
    masks[..., :4] = 1
    recipe = make_recipe(relevance_guided=True)
    batch_losses = losses(model, volumes, masks, torch.tensor([0, 1, 0]), recipe, training=True)
    empty = losses(model, volumes, 1 - masks, torch.tensor([0, 1, 0]), recipe, training=True)
    assert batch_losses.total.item() == pytest.approx(1, abs=1e-4)
    assert (batch_losses.inner + empty.inner).item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("weight", [1.0, 0.3, 0.0])
def test_a_guided_step_is_that_of_the_map(weight: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objective, sums and gradients, in training and in validation; class weights included."""
    volumes, masks = torch.rand(3, 1, *SHAPE), torch.zeros(3, 1, *SHAPE)
    masks[..., 2:5] = 1
    recipe = make_recipe(relevance_guided=True, guidance_weight=weight)
    results: dict[bool, tuple[list[torch.Tensor], list[torch.Tensor]]] = {}
    for covered in (True, False):
        model = Graz(SHAPE, seed=3)
        monkeypatch.setattr(module, "covers", lambda *_, answer=covered: answer)
        sums = []
        for training in (True, False):
            batch_losses = losses(
                model,
                volumes,
                masks,
                torch.tensor([0, 1, 0]),
                recipe,
                training=training,
                class_weights=torch.tensor([0.75, 1.5]),
            )
            assert batch_losses.objective.requires_grad is training
            sums += [value.detach() for value in vars(batch_losses).values()]
            if training:
                (batch_losses.objective * 0.5).backward()  # type: ignore[no-untyped-call]
        results[covered] = sums, [p.grad for p in model.parameters() if p.grad is not None]
    torch.testing.assert_close(results[True][0], results[False][0], rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(results[True][1], results[False][1], strict=True):
        assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()


def test_a_network_that_is_not_covered_is_guided_by_the_map() -> None:
    """With a max-pooling; relevance is kept, and gradients reach the convolution."""
    model = nn.Sequential(
        nn.Conv3d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2), nn.Flatten(), nn.Linear(72, 2)
    )
    volumes, masks = torch.rand(2, 1, *SHAPE), torch.ones(2, 1, *SHAPE)
    recipe = make_recipe(relevance_guided=True)
    assert not covers(model, volumes)
    batch_losses = losses(model, volumes, masks, torch.tensor([0, 1]), recipe, training=True)
    assert batch_losses.inner.item() == pytest.approx(1, abs=1e-5)
    batch_losses.objective.backward()  # type: ignore[no-untyped-call]
    assert model[0].weight.grad.abs().max() > 0  # type: ignore[union-attr]


@pytest.mark.parametrize("value", [-0.1, math.nan])
def test_maps_that_z_plus_cannot_take_are_refused_in_guided_steps(value: float) -> None:
    volumes = torch.rand(2, 1, *SHAPE)
    volumes[0, 0, 1, 1, 1] = value
    for guided, training in ((True, True), (True, False)):
        recipe = make_recipe(relevance_guided=guided)
        with pytest.raises(NegativeInputError, match="inputs >= 0"):
            losses(Graz(SHAPE), volumes, volumes, torch.tensor([0, 1]), recipe, training=training)
    plain = losses(
        Graz(SHAPE), volumes, volumes, torch.tensor([0, 1]), make_recipe(), training=False
    )
    assert math.isnan(plain.total.item())


def test_three_classes_have_a_loss() -> None:
    volumes, labels = torch.rand(3, 1, *SHAPE), torch.tensor([0, 1, 2])
    recipe = make_recipe()
    batch_losses = losses(Tiny(3).eval(), volumes, volumes, labels, recipe, training=False)
    expected = -batch_losses.logits.log_softmax(1)[torch.arange(3), labels].mean()
    assert batch_losses.objective.item() == pytest.approx(expected.item(), rel=1e-5)
    assert math.isnan(batch_losses.total.item())


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_named(loss: float) -> None:
    with pytest.raises(BadDataError, match=r"The loss is not finite.*learning rate"):
        check_finite(loss, "loss")
    check_finite(0.3, "loss")
