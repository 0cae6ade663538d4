"""Training with and without relevance guidance, resumable to the bit.

The objective of a batch is ``CE - guidance_weight * mean over scans of sum(M * R)``, with the
z+ relevance R of the softmax vector and the brain mask M; without guidance, and in a guided
run's first ``guidance_after`` epochs, training minimises CE alone.
A plateau is one of the same objective on the validation scans. On a plateau the learning rate
falls by ``factor`` and the run goes back to its best epoch: weights *and* Adam's moments, which
belong to those weights. At the lowest learning rate nothing more happens on a plateau. An epoch
is a new best only where the loss fell by more than ``min_delta``; that epoch is also the model
that training ends with.

Source: Tinauer et al. 2022, 2025; the project's method sheet, section 4.
"""

from __future__ import annotations

import csv
import io
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn, optim
from torch.nn import functional

from bids_xai.attribution.zplus import relevance_zplus, zplus_chain
from bids_xai.core.scores import classification_scores
from bids_xai.errors import BadDataError, UsageError
from bids_xai.training.checkpoint import (
    CHECKPOINT,
    Tensors,
    load_checkpoint,
    restore,
    save_checkpoint,
    snapshot,
    weights_hash,
)
from bids_xai.training.recipe import Recipe

LOG = "training.tsv"


class Scans(Protocol):
    """A sequence of (volume (1, x, y, z) float32, mask (1, x, y, z) float32, class number)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[Tensor, Tensor, int]: ...


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One line of ``training.tsv``; NaN (``n/a`` in the file) where a number is not defined.

    epoch : from 1
    lr : learning rate of this epoch
    train_loss, train_ce : objective and cross-entropy, mean over scans while training
    validation_loss, validation_ce, validation_balanced_accuracy : after the epoch
    inner_mask_share : mean over validation scans of sum(M * R), for every configuration
    relevance_sum : mean over validation scans of sum(R), 1 by construction
    seconds : duration of the epoch
    """

    epoch: int
    lr: float
    train_loss: float
    train_ce: float
    validation_loss: float
    validation_ce: float
    validation_balanced_accuracy: float
    inner_mask_share: float
    relevance_sum: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """What came out; the model itself holds the weights of ``best_epoch``.

    history : one record an epoch, those before an interruption included
    best_epoch : from 1; best_validation_loss : its objective on the validation scans
    resumed_after : epochs taken from a checkpoint, 0 for an uninterrupted run
    """

    history: tuple[EpochRecord, ...]
    best_epoch: int
    best_validation_loss: float
    resumed_after: int


@dataclass
class _Progress:
    """Everything that changes from epoch to epoch besides model and optimizer."""

    lr: float
    best: Tensors
    history: list[EpochRecord]
    best_epoch: int = 0
    best_loss: float = math.inf
    waited: int = 0


@dataclass(frozen=True)
class _Losses:
    """Objective, cross-entropy and sums of relevance of one batch, means over its scans."""

    objective: Tensor
    ce: Tensor
    inner: Tensor
    total: Tensor
    logits: Tensor


def train(
    model: nn.Module,
    train_data: Scans,
    validation_data: Scans,
    recipe: Recipe,
    *,
    folder: str | os.PathLike[str],
    device: str | torch.device,
    progress: Callable[[EpochRecord], None] | None = None,
) -> TrainingResult:
    """Train ``model`` in place; it ends in evaluation mode with the weights of its best epoch.

    model : on the initial weights; a network with ``project_biases`` has it called every step
    train_data, validation_data : see :class:`Scans`
    folder : receives ``training.tsv`` and, until training is complete, a checkpoint after every
        epoch. A run that finds its checkpoint there goes on from it and ends, on the CPU, with
        bit for bit what an uninterrupted run gives; the model must again come with its initial
        weights.
    progress : called after every epoch, once the epoch is safely on disk
    Raises ``BadDataError`` for empty or unusable data and for a loss that is not finite,
    ``UsageError`` for a network that cannot be guided or a checkpoint of another run.
    """
    folder = Path(folder)
    _check(model, train_data, validation_data, recipe)
    folder.mkdir(parents=True, exist_ok=True)
    run = _run_id(model, train_data, validation_data, recipe)
    model.to(device)
    optimizer = optim.Adam(model.parameters(), lr=recipe.learning_rate)
    state = _resume(folder, run, model, optimizer, recipe)
    resumed_after = len(state.history)
    for epoch in range(resumed_after + 1, recipe.epochs + 1):
        record = _epoch(model, optimizer, train_data, validation_data, recipe, epoch, state.lr)
        state.history.append(record)
        _after_epoch(state, record, model, optimizer, recipe)
        _save(folder, run, state, model, optimizer)
        if progress is not None:
            progress(record)
    restore(state.best, model, optimizer)
    model.eval()
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return TrainingResult(
        history=tuple(state.history),
        best_epoch=state.best_epoch,
        best_validation_loss=state.best_loss,
        resumed_after=resumed_after,
    )


@torch.no_grad()
def predict(
    model: nn.Module, data: Scans, batch_size: int, device: str | torch.device
) -> npt.NDArray[np.float32]:
    """Probabilities (n, classes) of scans, in their order; the model keeps its modes."""
    modes = {module: module.training for module in model.modules()}
    try:
        model.to(device).eval()
        parts = [
            model(volumes).softmax(dim=1).cpu().numpy()
            for volumes, _, _ in _batches(data, range(len(data)), batch_size, device)
        ]
    finally:
        for module, training in modes.items():
            module.training = training
    if not parts:
        raise BadDataError("There are no scans to predict", fix="check the selection of scans")
    probabilities: npt.NDArray[np.float32] = np.concatenate(parts).astype(np.float32)
    return probabilities


def _check(model: nn.Module, train_data: Scans, validation_data: Scans, recipe: Recipe) -> None:
    for name, data in (("training", train_data), ("validation", validation_data)):
        if not len(data):
            raise BadDataError(f"There are no {name} scans", fix="check the split of participants")
    if recipe.relevance_guided:
        zplus_chain(model)


def _epoch(
    model: nn.Module,
    optimizer: optim.Optimizer,
    train_data: Scans,
    validation_data: Scans,
    recipe: Recipe,
    epoch: int,
    lr: float,
) -> EpochRecord:
    """One pass over the training scans, then one over the validation scans."""
    start = time.perf_counter()
    for group in optimizer.param_groups:
        group["lr"] = lr
    now = replace(recipe, relevance_guided=False) if _warming_up(recipe, epoch) else recipe
    train_loss, train_ce = _train_pass(model, optimizer, train_data, now, epoch)
    measured = _validate(model, validation_data, recipe, epoch)
    return EpochRecord(
        epoch=epoch,
        lr=lr,
        train_loss=train_loss,
        train_ce=train_ce,
        **measured,
        seconds=round(time.perf_counter() - start, 3),
    )


def _train_pass(
    model: nn.Module, optimizer: optim.Optimizer, data: Scans, recipe: Recipe, epoch: int
) -> tuple[float, float]:
    """Mean objective and cross-entropy over scans. Chance depends on seed and epoch only."""
    device = _device(model)
    order = np.random.default_rng((recipe.seed, epoch)).permutation(len(data))
    dropout_seed = int(np.random.SeedSequence((recipe.seed, epoch)).generate_state(1)[0])
    project = getattr(model, "project_biases", None)
    sums = np.zeros(2)
    step_size = recipe.batch_size * recipe.accumulate
    model.train()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(dropout_seed)
        for first in range(0, len(order), step_size):
            scans = order[first : first + step_size].tolist()  # the last step may hold fewer
            optimizer.zero_grad()
            for volumes, masks, labels in _batches(data, scans, recipe.batch_size, device):
                losses = _losses(model, volumes, masks, labels, recipe, training=True)
                _check_finite(losses, f"training loss of epoch {epoch}")
                share = losses.objective * (len(volumes) / len(scans))
                share.backward()  # type: ignore[no-untyped-call]
                sums += len(volumes) * np.array([losses.objective.item(), losses.ce.item()])
            optimizer.step()
            if project is not None:
                project()
    loss, ce = sums / len(data)
    return float(loss), float(ce)


@torch.no_grad()
def _validate(model: nn.Module, data: Scans, recipe: Recipe, epoch: int) -> dict[str, float]:
    """The validation columns of a record: means over scans."""
    truth: list[bool] = []
    p_positive: list[float] = []
    sums = np.zeros(4)
    device = _device(model)
    model.eval()
    for volumes, masks, labels in _batches(data, range(len(data)), recipe.batch_size, device):
        losses = _losses(model, volumes, masks, labels, recipe, training=False)
        _check_finite(losses, f"validation loss of epoch {epoch}")
        values = [losses.objective, losses.ce, losses.inner, losses.total]
        sums += len(volumes) * np.array([value.item() for value in values])
        truth += (labels == 1).tolist()
        p_positive += losses.logits.softmax(dim=1)[:, 1].tolist()
    loss, ce, inner, total = (sums / len(data)).tolist()
    accuracy = classification_scores(truth, p_positive).balanced_accuracy
    return {
        "validation_loss": loss,
        "validation_ce": ce,
        "validation_balanced_accuracy": math.nan if accuracy is None else accuracy,
        "inner_mask_share": inner,
        "relevance_sum": total,
    }


def _losses(
    model: nn.Module,
    volumes: Tensor,
    masks: Tensor,
    labels: Tensor,
    recipe: Recipe,
    *,
    training: bool,
) -> _Losses:
    """The objective of a batch. Relevance is measured in validation for every configuration."""
    guided = recipe.relevance_guided
    if guided or (not training and _explainable(model, volumes)):
        logits, relevance = relevance_zplus(model, volumes, create_graph=training)
        inner = (masks * relevance).flatten(1).sum(dim=1).mean()
        total = relevance.detach().flatten(1).sum(dim=1).mean()
    else:
        logits = model(volumes)
        inner = total = logits.new_tensor(math.nan)
    ce = functional.cross_entropy(logits, labels)
    objective = ce - recipe.guidance_weight * inner if guided else ce
    return _Losses(objective=objective, ce=ce, inner=inner, total=total, logits=logits)


def _explainable(model: nn.Module, volumes: Tensor) -> bool:
    """Whether z+ holds for this network and input."""
    try:
        zplus_chain(model)
    except UsageError:
        return False
    return bool((volumes >= 0).all())


def _check_finite(losses: _Losses, what: str) -> None:
    if not math.isfinite(losses.objective.item()):
        raise BadDataError(
            f"The {what} is not finite",
            fix="check the maps for undefined values, or lower the learning rate",
        )


def _batches(
    data: Scans, scans: Sequence[int], size: int, device: str | torch.device
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Volumes and masks (n, 1, x, y, z) and labels (n,) of the scans, at most ``size`` at once."""
    for first in range(0, len(scans), size):
        items = [data[index] for index in scans[first : first + size]]
        shapes = {tuple(tensor.shape) for volume, mask, _ in items for tensor in (volume, mask)}
        if len(shapes) > 1:
            raise BadDataError(
                f"Volumes and masks of different shapes meet in a batch: {sorted(shapes)}",
                fix="bring all maps and masks onto one grid",
            )
        volumes = torch.stack([volume for volume, _, _ in items]).to(device)
        masks = torch.stack([mask for _, mask, _ in items]).to(device)
        yield volumes, masks, torch.tensor([label for _, _, label in items], device=device)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _after_epoch(
    state: _Progress,
    record: EpochRecord,
    model: nn.Module,
    optimizer: optim.Optimizer,
    recipe: Recipe,
) -> None:
    """Keep a new best epoch; on a plateau lower the learning rate and go back to the best.

    Before guidance sets in, every epoch replaces the one before: there is no plateau of a loss
    that is not yet trained on.
    """
    if (
        _warming_up(recipe, record.epoch)
        or record.validation_loss < state.best_loss - recipe.min_delta
    ):
        state.best = snapshot(model, optimizer)
        state.best_loss, state.best_epoch = record.validation_loss, record.epoch
        state.waited = 0
        return
    state.waited += 1
    if state.waited < recipe.patience:
        return
    state.waited = 0
    if state.lr > recipe.min_learning_rate:
        state.lr = max(state.lr * recipe.factor, recipe.min_learning_rate)
        if recipe.reset_weights:
            restore(state.best, model, optimizer)


def _warming_up(recipe: Recipe, epoch: int) -> bool:
    """Whether guidance is still to come."""
    return recipe.relevance_guided and epoch <= recipe.guidance_after


def _run_id(
    model: nn.Module, train_data: Scans, validation_data: Scans, recipe: Recipe
) -> dict[str, Any]:
    """What a checkpoint must agree with to be gone on from."""
    return {
        "recipe": asdict(recipe),
        "initial_weights": weights_hash(model),
        "scans": [len(train_data), len(validation_data)],
    }


def _resume(
    folder: Path, run: dict[str, Any], model: nn.Module, optimizer: optim.Optimizer, recipe: Recipe
) -> _Progress:
    """The state of the checkpoint, put into model and optimizer, or that of a fresh start."""
    found = load_checkpoint(folder)
    if found is None:
        return _Progress(lr=recipe.learning_rate, best={}, history=[])
    now, best, scalars = found
    different = [key for key in run if scalars.get("run", {}).get(key) != run[key]]
    if different:
        raise UsageError(
            f"The checkpoint belongs to another run: {', '.join(different)} differ",
            file=folder / CHECKPOINT,
            fix="delete it to start anew, or train into another folder",
        )
    restore(now, model, optimizer)
    history = [EpochRecord(**values) for values in scalars["history"]]
    return _Progress(best=best, history=history, **scalars["plateau"])


def _save(
    folder: Path,
    run: dict[str, Any],
    state: _Progress,
    model: nn.Module,
    optimizer: optim.Optimizer,
) -> None:
    """Checkpoint and log of the epochs so far, each replaced at once."""
    plateau = {name: getattr(state, name) for name in ("lr", "best_epoch", "best_loss", "waited")}
    history = [asdict(record) for record in state.history]
    scalars = {"run": run, "plateau": plateau, "history": history}
    save_checkpoint(folder, snapshot(model, optimizer), state.best, scalars)
    text = io.StringIO()
    names = [field.name for field in fields(EpochRecord)]
    writer = csv.DictWriter(text, names, delimiter="\t", lineterminator="\n")
    writer.writeheader()
    for row in history:
        writer.writerow({k: "n/a" if math.isnan(v) else v for k, v in row.items()})
    temporary = folder / f".{LOG}.tmp"
    temporary.write_text(text.getvalue(), encoding="utf-8")
    os.replace(temporary, folder / LOG)
