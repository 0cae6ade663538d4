"""One epoch: steps over the training scans in a new order, then the validation scans.

Order, dropout and augmentation depend on seed, epoch and step alone. An epoch that was stopped
between two steps therefore goes on as if nothing had happened.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from bids_xai.arrays import Floats64
from bids_xai.attribution.modes import full_precision
from bids_xai.models.size import feature_values, step_bytes
from bids_xai.runtime.memory import give_back
from bids_xai.tables.training import EpochRecord
from bids_xai.training.augmentation import augmentation
from bids_xai.training.batches import Change, Scans, batches
from bids_xai.training.losses import check_finite, losses
from bids_xai.training.parameters import (
    Penalty,
    add_penalty_gradients,
    depends_on_batch,
    set_training_mode,
)
from bids_xai.training.processes import Processes
from bids_xai.training.recipe import Recipe
from bids_xai.training.resume import Learner
from bids_xai.training.schedule import EpochPart, TrainingState, warming_up
from bids_xai.training.signals import StopRequest
from bids_xai.training.validation import Validation, validate

LOG = logging.getLogger("bids_xai")

_SHARE_OF_MEMORY = 0.8  # the rest is for what else the process holds, and for other processes

_FEWEST_ON_CPU = 2
"""Scans in a part: torch convolves a single volume by another way on the CPU, which takes the
memory of two and 2.5 times the time (benchmarks/parts.py)."""


@dataclass(frozen=True)
class Run:
    """What stays the same from step to step.

    parts : in how many a batch is taken, one after the other, to save memory
    """

    learner: Learner
    recipe: Recipe
    class_weights: Tensor | None
    penalised: Sequence[Penalty]
    processes: Processes
    stop: StopRequest
    parts: int = 1

    @property
    def batch(self) -> int:
        """Scans of a batch that fall to one process."""
        share = math.ceil(self.recipe.batch_size * self.recipe.accumulate / self.processes.size)
        return min(self.recipe.batch_size, share)

    @property
    def scans_at_once(self) -> int:
        """Scans that go through the network together, at most."""
        whole = self.parts == 1
        return self.recipe.batch_size if whole else math.ceil(self.batch / self.parts)


def parts_of_batch(run: Run, shape: tuple[int, ...], free: int | None, before: int = 1) -> int:
    """In how many parts a batch must be taken so that a step fits into memory; 1: as a whole.

    shape : (channels, x, y, z) of a scan; free : bytes, None where they are not known
    before : parts that the run has been trained with so far: never fewer, so that a run that goes
        on repeats one that was not interrupted
    Objectives are means over scans, so the sum of the parts' gradients is that of the batch up to
    rounding. Where a layer depends on the batch the batch stays whole, and the log says so.
    """
    model, batch = run.learner.model, run.batch
    try:
        values = feature_values(model, shape)
    except (RuntimeError, TypeError) as error:  # of a network that needs the numbers themselves
        LOG.debug("the memory of a step is not known, the batch stays as it is: %s", error)
        return before
    weights = sum(parameter.numel() for parameter in model.parameters())
    guided = run.recipe.relevance_guided
    needed = [step_bytes(weights, values, scans, guided=guided) for scans in range(batch + 1)]
    limit = math.inf if free is None else _SHARE_OF_MEMORY * free
    on_cpu = next(model.parameters()).device.type == "cpu"
    fewest = min(batch, _FEWEST_ON_CPU if on_cpu else 1)
    sizes = range(fewest, batch + 1)
    fitting = max([scans for scans in sizes if needed[scans] <= limit], default=fewest)
    parts = max(before, math.ceil(batch / fitting))
    if parts == 1:
        return 1
    layer = depends_on_batch(model, run.recipe.freeze)
    what = f"a batch of {batch} scans needs about {needed[batch] / 1e9:.1f} GB"
    if free is not None:
        what += f", and {free / 1e9:.1f} GB may be taken"
    if layer:
        LOG.warning(
            "%s; because of its %s it cannot be taken in parts (where memory runs out, lower "
            "batch_size and raise accumulate)",
            what,
            layer,
        )
        return 1
    LOG.info("%s: it is taken in %d parts, whose gradients add up to the same", what, parts)
    return parts


def run_epoch(
    run: Run, train_data: Scans, validation_data: Scans, state: TrainingState
) -> tuple[EpochRecord, Validation] | None:
    """The next epoch; None where a signal stopped it, with what is done in ``state.part``."""
    epoch = len(state.history) + 1
    part = state.part
    for group in run.learner.optimizer.param_groups:
        group["lr"] = state.lr
    if train_pass(run, train_data, epoch, part) and part.done < len(train_data):
        return None
    start = time.perf_counter()
    validation = validate(
        run.learner.model,
        validation_data,
        replace(run.recipe, batch_size=run.scans_at_once),
        epoch,
        run.class_weights,
        run.processes,
        run.stop,
    )
    if validation is None:
        return None
    loss, ce = (run.processes.total(part.sums) / len(train_data)).tolist()
    record = EpochRecord(
        epoch=epoch,
        lr=state.lr,
        train_loss=loss,
        train_ce=ce,
        validation_loss=validation.validation_loss,
        validation_ce=validation.validation_ce,
        validation_balanced_accuracy=_defined(validation.validation_balanced_accuracy),
        inner_mask_share=_defined(validation.inner_mask_share),
        relevance_sum=_defined(validation.relevance_sum),
        seconds=round(part.seconds + time.perf_counter() - start, 3),
        scans_per_second=round(len(train_data) / max(part.seconds, 1e-9), 3),
    )
    return record, validation


def train_pass(run: Run, data: Scans, epoch: int, part: EpochPart) -> bool:
    """Take the steps that are left of an epoch, or those up to a signal; whether one came."""
    recipe = run.recipe
    if warming_up(recipe, epoch):
        recipe = replace(recipe, relevance_guided=False)
    order = np.random.default_rng((recipe.seed, epoch)).permutation(len(data))
    step_size = recipe.batch_size * recipe.accumulate
    change = augmentation(recipe, epoch)
    device = next(run.learner.model.parameters()).device
    stopped = False
    set_training_mode(run.learner.model, recipe.freeze)
    start, before = time.perf_counter(), part.seconds
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for first in range(part.done, len(order), step_size):
            scans = order[first : first + step_size].tolist()  # the last step may hold fewer
            torch.manual_seed(_dropout_seed(recipe.seed, epoch, first, run.processes.rank))
            sums, stopped = take_step(run, data, scans, recipe, epoch, change)
            part.sums += sums
            part.done = first + len(scans)
            part.seconds = before + time.perf_counter() - start
            if stopped:
                break
    return stopped


def take_step(
    run: Run, data: Scans, scans: Sequence[int], recipe: Recipe, epoch: int, change: Change | None
) -> tuple[Floats64, bool]:
    """One step of the optimizer on the mean objective of ``scans``, batch by batch.

    Returns objective and cross-entropy summed over this process's scans, and whether a signal
    asked one of the processes to stop.
    """
    learner, processes = run.learner, run.processes
    device = next(learner.model.parameters()).device
    sums = np.zeros(2)
    learner.optimizer.zero_grad()
    for volumes, masks, labels in batches(
        data,
        processes.share(scans),
        run.scans_at_once,
        device,
        channels_last=recipe.lies_last(device),
        change=change,
    ):
        values = _backward(run, recipe, (volumes, masks, labels), len(scans))
        check_finite(values[0], f"training loss of epoch {epoch}")
        sums += len(volumes) * np.array(values)
        if run.parts > 1:
            give_back()
    model = learner.model
    stopped = processes.sum_gradients(model.parameters(), model.buffers(), bool(run.stop))
    learner.scaler.unscale_(learner.optimizer)
    add_penalty_gradients(run.penalised)
    learner.scaler.step(learner.optimizer)
    learner.scaler.update()
    project = getattr(model, "project_biases", None)
    if project is not None:
        project()
    return sums, stopped


def _backward(
    run: Run, recipe: Recipe, scans: tuple[Tensor, Tensor, Tensor], n_scans: int
) -> list[float]:
    """Add a part's gradients of the mean over ``n_scans``; its objective and cross-entropy.

    scans : volumes, masks, labels. Their graph is gone on return, before that of the next part
        begins.
    """
    volumes = scans[0]
    part = losses(run.learner.model, *scans, recipe, training=True, class_weights=run.class_weights)
    share = part.objective * (len(volumes) / n_scans)
    with full_precision(volumes) if recipe.relevance_guided else nullcontext():
        run.learner.scaler.scale(share).backward()  # type: ignore[no-untyped-call]
    values: list[float] = torch.stack([part.objective, part.ce]).tolist()  # the one wait
    return values


def _defined(value: float) -> float | None:
    """The value as a table has it."""
    return None if math.isnan(value) else value


def _dropout_seed(seed: int, epoch: int, first: int, rank: int) -> int:
    """Of the step that begins with scan ``first`` of the epoch, in one process."""
    return int(np.random.SeedSequence((seed, epoch, first, rank)).generate_state(1)[0])
