"""Training: objective, plateau, log."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn, optim
from training_cases import SHAPE, Interrupt, Scan, make_recipe, make_scans, weights_of

from bids_xai.attribution.zplus import relevance_zplus
from bids_xai.errors import BadDataError, UsageError
from bids_xai.models.graz import Graz
from bids_xai.training import epoch as epochs
from bids_xai.training.checkpoint import CHECKPOINT, restore, snapshot
from bids_xai.training.loop import LOG, EpochRecord, predict, train
from bids_xai.training.recipe import Recipe


def test_guidance_moves_relevance_into_the_mask(tmp_path: Path) -> None:
    data = make_scans(8, signal=0.0)
    shares = {}
    for guided in (False, True):
        recipe = make_recipe(epochs=8, relevance_guided=guided, learning_rate=3e-3)
        result = train(
            Graz(SHAPE), data, data[:4], recipe, folder=tmp_path / str(guided), device="cpu"
        )
        shares[guided] = [record.inner_mask_share for record in result.history]
        assert all(record.relevance_sum == pytest.approx(1, abs=1e-3) for record in result.history)
    assert shares[True][-1] > shares[True][0] + 0.1
    assert shares[True][-1] > shares[False][-1] + 0.1


def test_guidance_can_set_in_later(tmp_path: Path) -> None:
    """Until then training is that without guidance, to the bit; from then on it is not."""
    ends = {}
    for name, changes in {
        "plain": {},
        "late": {"relevance_guided": True, "guidance_after": 2},
        "early": {"relevance_guided": True},
    }.items():
        result = train(
            Graz(SHAPE),
            make_scans(8),
            make_scans(4, seed=1),
            make_recipe(epochs=4, patience=9, **changes),
            folder=tmp_path / name,
            device="cpu",
        )
        ends[name] = [record.train_ce for record in result.history]
    assert ends["late"][:2] == ends["plain"][:2]
    assert ends["early"][1] != ends["plain"][1]
    assert ends["late"][3] != ends["plain"][3]


def test_it_learns_and_ends_with_its_best_epoch(tmp_path: Path) -> None:
    recipe = make_recipe(epochs=8, learning_rate=1e-2, min_delta=0.0)
    model, validation = Graz(SHAPE), make_scans(6, seed=2)
    result = train(model, make_scans(12), validation, recipe, folder=tmp_path, device="cpu")
    losses = [record.validation_loss for record in result.history]
    assert result.best_epoch == int(np.argmin(losses)) + 1
    assert result.best_validation_loss == min(losses)
    probabilities = predict(model, validation, 4, "cpu")
    truth = np.array([label for _, _, label in validation])
    ce = -np.log(probabilities[np.arange(6), truth]).mean()
    assert ce == pytest.approx(min(losses), rel=1e-4)
    assert (probabilities.argmax(axis=1) == truth).all()


def test_the_log_has_every_number(tmp_path: Path) -> None:
    model, validation = Graz(SHAPE), make_scans(5, seed=2)
    result = train(
        model, make_scans(6), validation, make_recipe(epochs=1), folder=tmp_path, device="cpu"
    )
    header, row = (line.split("\t") for line in (tmp_path / LOG).read_text().splitlines())
    assert header == [field.name for field in fields(EpochRecord)]
    assert header[0] == "epoch"
    assert len(header) == 11
    cells = dict(zip(header, map(float, row), strict=True))
    volumes, masks = (torch.stack([scan[k] for scan in validation]) for k in (0, 1))
    logits, relevance = relevance_zplus(model, volumes)  # one epoch: the best is the last
    labels = torch.tensor([scan[2] for scan in validation])
    ce = nn.functional.cross_entropy(logits, labels).item()
    inner = (masks * relevance).sum().item() / 5
    assert cells["validation_ce"] == pytest.approx(ce, rel=1e-5)
    assert cells["inner_mask_share"] == pytest.approx(inner, rel=1e-5)
    assert cells["validation_loss"] == cells["validation_ce"]
    assert cells["train_loss"] == cells["train_ce"] == result.history[0].train_ce


def test_the_guided_objective_is_ce_minus_the_weighted_share(tmp_path: Path) -> None:
    recipe = make_recipe(epochs=1, relevance_guided=True, guidance_weight=0.5)
    result = train(Graz(SHAPE), make_scans(5), make_scans(4), recipe, folder=tmp_path, device="cpu")
    (record,) = result.history
    expected = record.validation_ce - 0.5 * record.inner_mask_share
    assert record.validation_loss == pytest.approx(expected, rel=1e-5)
    assert record.train_loss < record.train_ce


@pytest.mark.parametrize("guided", [False, True])
def test_accumulated_batches_equal_one_batch(tmp_path: Path, guided: bool) -> None:
    """Seven scans in steps of four: the last step of three counts, split unevenly or not."""
    weights = []
    for batch_size, accumulate in ((4, 1), (2, 2), (1, 4)):
        model = Graz(SHAPE).double()
        data = [(volume.double(), mask.double(), label) for volume, mask, label in make_scans(7)]
        recipe = make_recipe(
            epochs=2, batch_size=batch_size, accumulate=accumulate, relevance_guided=guided
        )
        train(model, data, data, recipe, folder=tmp_path / str(batch_size), device="cpu")
        weights.append(weights_of(model))
    for other in weights[1:]:
        for tensor, two in zip(weights[0], other, strict=True):
            torch.testing.assert_close(tensor, two, rtol=1e-6, atol=1e-9)


def test_every_scan_is_used_once_an_epoch_in_another_order(tmp_path: Path) -> None:
    class Counted(list[Scan]):
        asked: list[int]
        labels: list[int]

        def __getitem__(self, index: int) -> Scan:  # type: ignore[override]
            self.asked.append(index)
            return super().__getitem__(index)

    data = Counted(make_scans(7))
    data.asked, data.labels = [], [label for _, _, label in data]
    train(Graz(SHAPE), data, make_scans(2), make_recipe(epochs=2), folder=tmp_path, device="cpu")
    first, second = data.asked[:7], data.asked[7:]
    assert sorted(first) == sorted(second) == list(range(7))
    assert first != second


def test_biases_never_become_positive(tmp_path: Path) -> None:
    model = Graz(SHAPE)

    def check(record: EpochRecord) -> None:
        biases = [p for name, p in model.named_parameters() if name.endswith("bias")]
        assert all((bias <= 0).all() for bias in biases)
        assert any((bias < 0).any() for bias in biases)

    train(
        model,
        make_scans(6),
        make_scans(4),
        make_recipe(),
        folder=tmp_path,
        device="cpu",
        progress=check,
    )


@pytest.mark.parametrize("reset", [True, False])
def test_a_plateau_lowers_the_rate_and_goes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reset: bool
) -> None:
    """With validation losses told in advance, rates and returns follow from the rule by hand."""
    objectives = [1.0, 0.5, 0.49995, 0.6, 0.6, 0.6, 0.4, 0.5, 0.5]
    rates = [1e-3, 1e-3, 1e-3, 1e-3, 3e-4, 3e-4, 1e-4, 1e-4, 1e-4]
    measure = epochs.validate

    def scripted(model: nn.Module, data: list[Scan], how: Recipe, epoch: int, *rest: Any) -> Any:
        validation = measure(model, data, how, epoch, *rest)
        return replace(validation, validation_loss=objectives[epoch - 1])

    monkeypatch.setattr(epochs, "validate", scripted)
    model, seen = Graz(SHAPE), []
    result = train(
        model,
        make_scans(6),
        make_scans(2),
        make_recipe(epochs=9, min_learning_rate=1e-4, reset_weights=reset),
        folder=tmp_path,
        device="cpu",
        progress=lambda record: seen.append(weights_of(model)),
    )
    np.testing.assert_allclose([record.lr for record in result.history], rates)
    same = [[all(map(torch.equal, seen[i], seen[j])) for j in range(9)] for i in range(9)]
    returns = {(i, j) for i in range(9) for j in range(i) if same[i][j]}
    # after epochs 4 and 6 back to epoch 2, at the lowest rate no more
    assert returns == ({(3, 1), (5, 1), (5, 3)} if reset else set())
    assert (result.best_epoch, result.best_validation_loss) == (7, 0.4)
    assert all(map(torch.equal, weights_of(model), seen[6]))


def test_a_snapshot_is_a_copy_of_weights_and_moments() -> None:
    model = nn.Linear(3, 2)
    optimizer = optim.Adam(model.parameters())

    def step() -> None:
        optimizer.zero_grad()
        model(torch.ones(4, 3)).pow(2).sum().backward()
        optimizer.step()

    step()
    before = snapshot(model, optimizer)
    step()
    expected = snapshot(model, optimizer)
    assert not torch.equal(before["model/weight"], expected["model/weight"])
    for _ in range(2):  # going back must not hand out the kept tensors themselves
        restore(before, model, optimizer)
        step()
        again = snapshot(model, optimizer)
        assert again.keys() == expected.keys()
        assert all(torch.equal(again[name], expected[name]) for name in expected)


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    def stop(record: EpochRecord) -> None:
        raise Interrupt

    data, validation = make_scans(4), make_scans(2)
    with pytest.raises(Interrupt):
        train(
            Graz(SHAPE),
            data,
            validation,
            make_recipe(),
            folder=tmp_path,
            device="cpu",
            progress=stop,
        )
    for model, scans, recipe, differing in (
        (Graz(SHAPE), data, make_recipe(learning_rate=1e-4), "recipe"),
        (Graz(SHAPE, seed=1), data, make_recipe(), "initial_weights"),
        (Graz(SHAPE), data[:3], make_recipe(), "scans"),
    ):
        with pytest.raises(UsageError, match=rf"another run: {differing} differ.*checkpoint"):
            train(model, scans, validation, recipe, folder=tmp_path, device="cpu")
    (tmp_path / CHECKPOINT).write_bytes(b"torn")
    with pytest.raises(BadDataError, match=r"cannot be read.*checkpoint.*delete it"):
        train(Graz(SHAPE), data, validation, make_recipe(), folder=tmp_path, device="cpu")


def test_undefined_input_stops_with_a_clear_error(tmp_path: Path) -> None:
    data, broken = make_scans(4), make_scans(4)
    broken[1][0][0, 3, 2, 1] = math.nan
    with pytest.raises(BadDataError, match="training loss of epoch 1 is not finite"):
        train(Graz(SHAPE), broken, data, make_recipe(), folder=tmp_path, device="cpu")
    with pytest.raises(BadDataError, match="validation loss of epoch 1 is not finite"):
        train(Graz(SHAPE), data, broken, make_recipe(), folder=tmp_path, device="cpu")


def test_inputs_that_z_plus_does_not_cover_train_unguided_only(tmp_path: Path) -> None:
    data = [(volume - 0.2, mask, label) for volume, mask, label in make_scans(4)]
    result = train(Graz(SHAPE), data, data, make_recipe(epochs=1), folder=tmp_path, device="cpu")
    assert result.history[0].inner_mask_share is None
    assert (tmp_path / LOG).read_text().count("n/a") == 2
    guided = make_recipe(relevance_guided=True)
    with pytest.raises(BadDataError, match="needs inputs >= 0"):
        train(Graz(SHAPE), data, data, guided, folder=tmp_path / "g", device="cpu")
    elu = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(SHAPE), 3), nn.ELU(), nn.Linear(3, 2))
    with pytest.raises(UsageError, match=r"no rule for .*ELU"):
        train(elu, data, data, guided, folder=tmp_path / "e", device="cpu")
    result = train(elu, data, data, make_recipe(epochs=1), folder=tmp_path / "e", device="cpu")
    assert result.history[0].relevance_sum is None


def test_masks_on_another_grid_and_empty_sets_are_refused(tmp_path: Path) -> None:
    data = make_scans(4)
    turned = [(volume, mask.transpose(1, 2), label) for volume, mask, label in data]
    with pytest.raises(BadDataError, match="one grid"):
        train(Graz(SHAPE), turned, data, make_recipe(), folder=tmp_path, device="cpu")
    with pytest.raises(BadDataError, match="no validation scans"):
        train(Graz(SHAPE), data, [], make_recipe(), folder=tmp_path, device="cpu")
    with pytest.raises(BadDataError, match="no scans to predict"):
        predict(Graz(SHAPE), [], 2, "cpu")


def test_predict_keeps_order_and_modes() -> None:
    model, data = Graz(SHAPE).train(), make_scans(5)
    probabilities = predict(model, data, 2, "cpu")
    assert model.training
    assert probabilities.shape == (5, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    with torch.no_grad():
        alone = [model(scan[0][None]).softmax(1)[0].numpy() for scan in data]
    np.testing.assert_allclose(probabilities, alone, rtol=1e-4)


def test_consecutive_rates_only_fall(tmp_path: Path) -> None:
    recipe = make_recipe(epochs=6, patience=1, min_delta=10.0, min_learning_rate=2e-4)
    result = train(Graz(SHAPE), make_scans(4), make_scans(2), recipe, folder=tmp_path, device="cpu")
    rates = [record.lr for record in result.history]
    assert all(later <= earlier for earlier, later in pairwise(rates))
    assert rates == pytest.approx([1e-3, 1e-3, 3e-4, 2e-4, 2e-4, 2e-4])
