"""A batch in parts: the same step in less memory, or not at all."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler
from training_cases import SHAPE, Interrupt, Tiny, make_recipe, make_scans, weights_of

from bids_xai.models.graz import Graz
from bids_xai.models.size import feature_values, step_bytes
from bids_xai.tables.training import EpochRecord
from bids_xai.training.epoch import Run, parts_of_batch, take_step
from bids_xai.training.loop import train
from bids_xai.training.parameters import build_optimizer
from bids_xai.training.processes import Processes, n_on_device
from bids_xai.training.recipe import Recipe
from bids_xai.training.resume import Learner
from bids_xai.training.signals import StopRequest

ONE = (1, *SHAPE)


def run_of(model: nn.Module, recipe: Recipe, parts: int = 1, processes: int = 1) -> Run:
    return Run(
        learner=Learner(model, build_optimizer(model, recipe), GradScaler("cuda", enabled=False)),
        recipe=recipe,
        class_weights=torch.tensor([0.5, 2.0]),
        penalised=(),
        processes=Processes(size=processes),
        stop=StopRequest(),
        parts=parts,
    )


def memory_for(model: nn.Module, recipe: Recipe, scans: int) -> int:
    """Free memory in which so many scans just fit: a fifth stays free."""
    weights = sum(parameter.numel() for parameter in model.parameters())
    values = feature_values(model, ONE)
    needed = step_bytes(weights, values, scans, guided=recipe.relevance_guided)
    return int(needed / 0.8) + 1


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("n_scans", [6, 5])  # the last step of an epoch may hold fewer
def test_gradients_of_the_parts_add_up_to_those_of_the_batch(guided: bool, n_scans: int) -> None:
    """To a millionth of their size, weighted classes and objective included."""
    recipe = make_recipe(batch_size=6, relevance_guided=guided, optimizer="sgd")
    data = make_scans(n_scans)
    gradients, sums = [], []
    for parts in (1, 2, 3, 6):
        model = Graz(SHAPE, seed=3).double()
        scans = [(volume.double(), mask.double(), label) for volume, mask, label in data]
        of_step, _ = take_step(run_of(model, recipe, parts), scans, range(n_scans), recipe, 1, None)
        sums.append(of_step)
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    for gradient, of_step in zip(gradients[1:], sums[1:], strict=True):
        size = gradients[0].abs().max()
        assert size > 0
        assert (gradient - gradients[0]).abs().max() <= 1e-6 * size
        assert of_step == pytest.approx(sums[0], rel=1e-6)


def test_a_part_holds_no_more_scans_than_it_may() -> None:
    seen: list[int] = []
    model = Graz(SHAPE)
    model.layers[0].register_forward_hook(lambda _, inputs, output: seen.append(len(output)))
    recipe = make_recipe(batch_size=5)
    for parts, expected in ((1, [5]), (2, [3, 2]), (3, [2, 2, 1]), (5, [1] * 5)):
        seen.clear()
        take_step(run_of(model, recipe, parts), make_scans(5), range(5), recipe, 1, None)
        assert seen == expected


@pytest.mark.parametrize("guided", [False, True])
def test_as_few_parts_as_memory_allows(guided: bool) -> None:
    recipe = make_recipe(batch_size=6, relevance_guided=guided)
    model = Graz(SHAPE)
    run = run_of(model, recipe)
    for fitting, parts in ((6, 1), (5, 2), (3, 2), (2, 3), (1, 3)):
        free = memory_for(model, recipe, fitting)
        assert parts_of_batch(run, ONE, free) == parts
    assert parts_of_batch(run, ONE, 1) == 3  # two scans may still fit: they are tried
    assert parts_of_batch(run, ONE, None) == 1
    plenty = memory_for(model, recipe, 60)
    assert parts_of_batch(run, ONE, plenty, before=3) == 3
    assert parts_of_batch(run, ONE, memory_for(model, recipe, 3), before=3) == 3


def test_processes_share_a_batch_before_it_is_taken_in_parts() -> None:
    recipe = make_recipe(batch_size=6)
    model = Graz(SHAPE)
    run = run_of(model, recipe, processes=2)
    assert parts_of_batch(run, ONE, memory_for(model, recipe, 3)) == 1
    assert parts_of_batch(run, ONE, memory_for(model, recipe, 1)) == 2
    assert replace(run, parts=3).scans_at_once == 1
    assert replace(run, parts=1).scans_at_once == 6


@pytest.mark.parametrize(
    ("changes", "layer"), [({"dropout": 0.0}, "batch norm"), ({"norm": False}, "dropout")]
)
def test_a_batch_on_which_a_layer_depends_stays_whole(
    changes: dict[str, float], layer: str, caplog: pytest.LogCaptureFixture
) -> None:
    """And the log says so: parts would be another step."""
    run = run_of(Tiny(**changes), make_recipe(batch_size=6))  # type: ignore[arg-type]
    assert parts_of_batch(run, ONE, 1) == 1
    assert f"because of its {layer} it cannot be taken in parts" in caplog.text


def test_batch_norm_that_is_frozen_does_not_depend_on_the_batch() -> None:
    recipe = make_recipe(batch_size=6, freeze=("layers.1",))
    assert parts_of_batch(run_of(Tiny(dropout=0.0), recipe), ONE, 1) == 3


def test_a_network_that_cannot_be_measured_is_taken_whole() -> None:
    class Asking(Tiny):
        def forward(self, volumes: torch.Tensor) -> torch.Tensor:
            return super().forward(volumes * float(volumes.max().item()))

    assert parts_of_batch(run_of(Asking(), make_recipe()), ONE, 1) == 1


def test_a_training_in_little_memory_ends_with_the_same_network(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bids_xai")
    recipe = make_recipe(batch_size=6, epochs=2, relevance_guided=True)
    models = [Graz(SHAPE, seed=1), Graz(SHAPE, seed=1)]
    memory = (None, memory_for(models[0], recipe, 2))
    results = [
        train(
            model,
            make_scans(8),
            make_scans(4),
            recipe,
            folder=tmp_path / str(number),
            device="cpu",
            memory_bytes=limit,
        )
        for number, (model, limit) in enumerate(zip(models, memory, strict=True))
    ]
    assert [result.parts for result in results] == [1, 3]
    assert "it is taken in 3 parts" in caplog.text
    for whole, parts in zip(*map(weights_of, models), strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5)


def test_a_run_that_goes_on_keeps_its_parts(tmp_path: Path) -> None:
    """On a machine with more memory it repeats, bit for bit, what was not interrupted."""

    def stop(record: EpochRecord) -> None:
        raise Interrupt

    recipe = make_recipe(batch_size=6, epochs=3)
    little = memory_for(Graz(SHAPE), recipe, 2)
    weights = []
    for number, stops in enumerate((False, True)):
        folder, model = tmp_path / str(number), Graz(SHAPE, seed=1)
        data = make_scans(8), make_scans(4)
        if stops:
            with pytest.raises(Interrupt):
                train(
                    model,
                    *data,
                    recipe,
                    folder=folder,
                    device="cpu",
                    progress=stop,
                    memory_bytes=little,
                )
            model, little = Graz(SHAPE, seed=1), 10**12
        result = train(model, *data, recipe, folder=folder, device="cpu", memory_bytes=little)
        assert result.parts == 3
        weights.append(weights_of(model))
    assert all(map(torch.equal, *weights))


def test_processes_of_a_machine_share_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert n_on_device("cpu") == 1
    names = {"RANK": "0", "WORLD_SIZE": "4", "MASTER_ADDR": "x", "MASTER_PORT": "1"}
    for name, value in {**names, "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert n_on_device("cpu") == 2
    assert n_on_device("cuda:0") == 1
