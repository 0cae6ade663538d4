"""A run that was stopped anywhere ends, to the bit, like one that was not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from training_cases import (
    SHAPE,
    Interrupt,
    Tiny,
    make_recipe,
    make_scans,
    train_in_pieces,
    weights_of,
)

from bids_xai.errors import UsageError
from bids_xai.models.graz import Graz
from bids_xai.training.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint
from bids_xai.training.loop import LOG, EpochRecord, TrainingResult, train
from bids_xai.training.resume import ARITHMETIC

EPOCHS = 5
RECIPES: dict[str, dict[str, object]] = {
    "plateau": {"patience": 1, "min_delta": 0.2, "learning_rate": 3e-3},
    "guided": {
        "relevance_guided": True,
        "guidance_after": 2,
        "patience": 1,
        "min_delta": 0.2,
        "learning_rate": 3e-3,
    },
    "augmented": {"flip_axes": (0, 2), "shift_voxels": 1, "accumulate": 2, "batch_size": 2},
    "stopping": {
        "stop_patience": 2,
        "stop_metric": "validation_balanced_accuracy",
        "patience": 0,
        "learning_rate": 1e-5,
    },
    "two watches": {
        "stop_patience": 3,
        "stop_metric": "validation_balanced_accuracy",
        "patience": 1,
        "min_delta": 0.2,
        "end_with": "last",
    },
    "sgd": {
        "optimizer": "sgd",
        "momentum": 0.9,
        "weight_decay": 1e-3,
        "patience": 1,
        "min_delta": 0.2,
    },
    "sgd without momentum": {"optimizer": "sgd", "momentum": 0.0, "patience": 1, "min_delta": 0.2},
    "adamw": {
        "optimizer": "adamw",
        "weight_decay": 0.1,
        "class_weights": "balanced",
        "freeze": ("layers.0",),
    },
    "layout": {"channels_last": False, "mixed_precision": "bf16"},
}


def _network(name: str) -> nn.Module:
    return Graz(SHAPE) if name in ("plateau", "guided") else Tiny()


def _same(run: tuple[nn.Module, TrainingResult], two: tuple[nn.Module, TrainingResult]) -> None:
    for tensor, other in zip(weights_of(run[0]), weights_of(two[0]), strict=True):
        assert torch.equal(tensor, other)
    timeless = [
        [replace(record, seconds=0.0, scans_per_second=0.0) for record in result.history]
        for _, result in (run, two)
    ]
    assert repr(timeless[0]) == repr(timeless[1])  # NaN is not equal to itself
    for name in ("best_epoch", "best_validation_loss", "stopped_early", "constant"):
        assert getattr(run[1], name) == getattr(two[1], name)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple]:  # type: ignore[type-arg]
    """Uninterrupted runs, each made once."""
    runs: dict[str, tuple[nn.Module, TrainingResult]] = {}

    def run(name: str) -> tuple[nn.Module, TrainingResult]:
        if name not in runs:
            model, folder = _network(name), tmp_path_factory.mktemp("straight")
            recipe = make_recipe(epochs=EPOCHS, **RECIPES[name])
            data, validation = make_scans(8), make_scans(4, seed=1)
            runs[name] = model, train(model, data, validation, recipe, folder=folder, device="cpu")
        return runs[name]

    return run


@pytest.mark.parametrize(
    ("name", "after"), [*((name, 3) for name in RECIPES), ("guided", 1), ("plateau", EPOCHS)]
)
def test_stopped_between_epochs(
    tmp_path: Path,
    straight: Callable[..., tuple],
    name: str,
    after: int,  # type: ignore[type-arg]
) -> None:
    expected = straight(name)
    after = min(after, len(expected[1].history))

    def stop(record: EpochRecord) -> None:
        if record.epoch == after:
            raise Interrupt

    recipe = make_recipe(epochs=EPOCHS, **RECIPES[name])
    data, validation = make_scans(8), make_scans(4, seed=1)
    with pytest.raises(Interrupt):
        train(
            _network(name), data, validation, recipe, folder=tmp_path, device="cpu", progress=stop
        )
    assert (tmp_path / CHECKPOINT).is_file()
    torch.manual_seed(123)  # the global generator must not matter
    model = _network(name)
    result = train(model, data, validation, recipe, folder=tmp_path, device="cpu")
    assert result.resumed_after == after
    _same((model, result), expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == [LOG]


@pytest.mark.parametrize(
    ("name", "at"), [*((name, 13) for name in RECIPES), ("augmented", 1), ("sgd", 24)]
)
def test_stopped_within_an_epoch(
    tmp_path: Path,
    straight: Callable[..., tuple],
    name: str,
    at: int,  # type: ignore[type-arg]
) -> None:
    recipe = make_recipe(epochs=EPOCHS, **RECIPES[name])
    data, validation = make_scans(8), make_scans(4, seed=1)
    run = train_in_pieces(_network(name), data, validation, recipe, tmp_path, at=at)
    assert run[1].resumed_after == (at - 1) // 8
    _same(run, straight(name))


@pytest.mark.parametrize("arithmetic", [None, 1, ARITHMETIC + 1])
def test_a_checkpoint_of_another_arithmetic_is_refused(
    tmp_path: Path, arithmetic: int | None
) -> None:
    """Else one half of a training would be computed in one way, the other half in another."""

    def stop(record: EpochRecord) -> None:
        raise Interrupt

    recipe, data = make_recipe(epochs=2), make_scans(4)
    with pytest.raises(Interrupt):
        train(Graz(SHAPE), data, data, recipe, folder=tmp_path, device="cpu", progress=stop)
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint is not None
    run = checkpoint.scalars["run"]
    assert run.pop("arithmetic") == ARITHMETIC
    if arithmetic is not None:  # older ones do not say
        run["arithmetic"] = arithmetic
    save_checkpoint(tmp_path, checkpoint)
    with pytest.raises(UsageError, match="another run: arithmetic differ"):
        train(Graz(SHAPE), data, data, recipe, folder=tmp_path, device="cpu")


@pytest.mark.parametrize("at", [2, 4 + 4])  # within the first validation, at the end of the second
def test_stopped_in_validation(
    tmp_path: Path,
    straight: Callable[..., tuple],
    at: int,  # type: ignore[type-arg]
) -> None:
    recipe = make_recipe(epochs=EPOCHS, **RECIPES["sgd"])
    data, validation = make_scans(8), make_scans(4, seed=1)
    run = train_in_pieces(
        _network("sgd"), data, validation, recipe, tmp_path, at=at, in_validation=True
    )
    _same(run, straight("sgd"))


def test_the_recipes_do_what_their_names_say(straight: Callable[..., tuple]) -> None:  # type: ignore[type-arg]
    """Else the comparisons above would be of less than they seem."""
    for name in ("plateau", "guided", "sgd", "two watches"):
        assert len({record.lr for record in straight(name)[1].history}) > 1
    assert straight("stopping")[1].stopped_early
    assert not straight("augmented")[1].stopped_early
    ends = [weights_of(straight(name)[0]) for name in ("augmented", "sgd", "adamw", "layout")]
    for i, run in enumerate(ends):
        assert not any(torch.equal(run[0], other[0]) for other in ends[:i])


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("n_cpus", "goes_on_with"), [(4, 3), (2, 1)])
def test_a_run_goes_on_with_the_threads_it_began_with_where_it_may(
    n_cpus: int,
    goes_on_with: int,
    tmp_path: Path,
    threads: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("bids_xai.training.resume.available_cpus", lambda: n_cpus)
    data, recipe = make_scans(4), make_recipe(epochs=2)

    def stop(record: EpochRecord) -> None:
        raise Interrupt

    torch.set_num_threads(3)
    with pytest.raises(Interrupt):
        train(Tiny(), data, data, recipe, folder=tmp_path, device="cpu", progress=stop)
    torch.set_num_threads(1)
    with caplog.at_level("INFO", logger="bids_xai"):
        train(Tiny(), data, data, recipe, folder=tmp_path, device="cpu")
    assert torch.get_num_threads() == goes_on_with
    assert ("last digits" in caplog.text) == (goes_on_with == 1)
