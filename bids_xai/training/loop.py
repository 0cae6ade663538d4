"""Training with and without relevance guidance, resumable to the bit (on one processor).

The objective is that of :mod:`bids_xai.training.losses`; without guidance, and in a guided run's
first ``guidance_after`` epochs, training minimises cross-entropy alone. What happens between
epochs is told in :mod:`bids_xai.training.schedule`.

Source: Tinauer et al. 2022, 2025; the project's method sheet, sections 4 and 5.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from bids_xai.runtime.device import saying_memory_is_short
from bids_xai.runtime.free_memory import free_bytes
from bids_xai.runtime.memory import keep_memory
from bids_xai.tables.training import EpochRecord
from bids_xai.training.batches import Scans
from bids_xai.training.checkpoint import CHECKPOINT, restore
from bids_xai.training.checks import check_training, n_classes
from bids_xai.training.epoch import Run, parts_of_batch, run_epoch
from bids_xai.training.losses import balanced_weights
from bids_xai.training.parameters import build_optimizer, frozen, penalties
from bids_xai.training.predict import predict
from bids_xai.training.processes import Processes, current_processes, n_on_device
from bids_xai.training.recipe import Recipe
from bids_xai.training.records import LOG, TrainingResult, write_log
from bids_xai.training.resume import Learner, load_progress, run_id, save_progress
from bids_xai.training.schedule import (
    EpochPart,
    TrainingState,
    after_epoch,
    finished,
    stopped_early,
)
from bids_xai.training.signals import StopRequest, TrainingInterrupted, stop_requests
from bids_xai.training.validation import Validation

__all__ = [
    "LOG",
    "EpochRecord",
    "Scans",
    "TrainingInterrupted",
    "TrainingResult",
    "predict",
    "train",
]


def train(
    model: nn.Module,
    train_data: Scans,
    validation_data: Scans,
    recipe: Recipe,
    *,
    folder: str | os.PathLike[str],
    device: str | torch.device,
    progress: Callable[[EpochRecord], None] | None = None,
    memory_bytes: int | None = None,
) -> TrainingResult:
    """Train ``model`` in place; it ends in evaluation mode with the weights of its best epoch.

    model : on the initial weights; a network with ``project_biases`` has it called every step,
        one with ``l2`` (name of a layer -> factor) has those weights penalised
    train_data, validation_data : see :class:`Scans`
    folder : receives ``training.tsv`` and, until training is complete, a checkpoint after every
        epoch. A run that finds its checkpoint there goes on from it and ends, on the CPU, with
        bit for bit what an uninterrupted run gives; the model must again come with its initial
        weights.
    progress : called after every epoch, once the epoch is safely on disk
    memory_bytes : what a step may take, by default what is free. Where a batch needs more it is
        taken in parts, which changes rounding alone; not where batch norm or dropout would make
        another step of it
    In the processes of a :func:`~bids_xai.training.processes.process_group` the run is one, and
    the first process alone writes and calls ``progress``.
    Raises ``BadDataError`` for empty or unusable data, for a loss that is not finite and for too
    little memory; ``UsageError`` for a network that cannot be guided, a layer that does not
    exist or a checkpoint of another run; ``TrainingInterrupted`` after SIGTERM, SIGUSR1 or
    SIGINT, once the step under way is done and in the checkpoint.
    """
    folder = Path(folder)
    keep_memory()
    processes = current_processes()
    labels = check_training(model, train_data, validation_data, recipe)
    identity = run_id(model, train_data, validation_data, recipe)
    if processes.leads:
        folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(saying_memory_is_short(recipe.batch_size, device))
        stack.enter_context(frozen(model, recipe.freeze))
        stop = stack.enter_context(stop_requests())
        run = _prepare(model, labels, recipe, device, processes, stop)
        state = load_progress(folder, identity, run.learner, recipe, processes)
        resumed_after = len(state.history)
        shape = tuple(validation_data[0][0].shape)
        free = free_bytes(device) if memory_bytes is None else memory_bytes
        free = free if free is None else free // n_on_device(device)
        state.parts = parts_of_batch(run, shape, free, state.parts)
        run = replace(run, parts=state.parts)
        while not finished(state, recipe):
            measured = run_epoch(run, train_data, validation_data, state)
            if measured is not None:
                _take_in(run, state, *measured)
            save_progress(folder, identity, run.learner, state, processes)
            if measured is not None and progress is not None and processes.leads:
                progress(state.history[-1])
            if measured is None or processes.anywhere(bool(stop)):
                raise stop.error(folder / CHECKPOINT)
        _end(model, run.learner, state, recipe)
        processes.wait()  # nobody removes what another may still have to read
        if processes.leads:
            write_log(folder, state.history)
            (folder / CHECKPOINT).unlink(missing_ok=True)
    return _result(state, recipe, resumed_after)


def _take_in(run: Run, state: TrainingState, record: EpochRecord, validation: Validation) -> None:
    """Add an epoch that is over to the state, and let it decide what follows."""
    state.history.append(record)
    state.part = EpochPart()
    learner = run.learner
    after_epoch(state, validation.constant, learner.model, learner.optimizer, run.recipe)


def _result(state: TrainingState, recipe: Recipe, resumed_after: int) -> TrainingResult:
    best = state.best(recipe).epoch
    return TrainingResult(
        history=tuple(state.history),
        best_epoch=best,
        best_validation_loss=state.history[best - 1].validation_loss if best else math.nan,
        resumed_after=resumed_after,
        stopped_early=stopped_early(state, recipe),
        constant=state.constant,
        parts=state.parts,
    )


def _prepare(
    model: nn.Module,
    labels: list[int],
    recipe: Recipe,
    device: str | torch.device,
    processes: Processes,
    stop: StopRequest,
) -> Run:
    """Put the model on its device and build what trains it."""
    model.to(device)
    if recipe.lies_last(device):
        _lay_out(model, torch.channels_last_3d)
    processes.same_start(model)
    scaled = recipe.mixed_precision == "fp16" and torch.device(device).type == "cuda"
    weights: Tensor | None = None
    if recipe.class_weights == "balanced":
        weights = torch.tensor(balanced_weights(labels, n_classes(model, labels)), device=device)
    return Run(
        learner=Learner(
            model=model,
            optimizer=build_optimizer(model, recipe),
            scaler=GradScaler("cuda", enabled=scaled),
        ),
        recipe=recipe,
        class_weights=weights,
        penalised=penalties(model),
        processes=processes,
        stop=stop,
    )


def _end(model: nn.Module, learner: Learner, state: TrainingState, recipe: Recipe) -> None:
    """Leave the weights that the recipe asks for, in the usual layout and evaluation mode."""
    best = state.best(recipe)
    if recipe.end_with == "best" and best.epoch:
        restore(best.state, model, learner.optimizer)
    _lay_out(model, torch.contiguous_format)
    model.eval()


def _lay_out(model: nn.Module, layout: torch.memory_format) -> None:
    """Give the weights of convolutions a memory layout, in place."""
    for parameter in model.parameters():
        if parameter.dim() == 5:
            parameter.data = parameter.data.to(memory_format=layout)
