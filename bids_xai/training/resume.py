"""From the state of a run to its checkpoint and back."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import nn, optim
from torch.amp.grad_scaler import GradScaler

from bids_xai.errors import BadDataError, UsageError
from bids_xai.settings import available_cpus
from bids_xai.tables.training import EpochRecord
from bids_xai.training.batches import Scans
from bids_xai.training.checkpoint import (
    CHECKPOINT,
    Checkpoint,
    Tensors,
    load_checkpoint,
    restore,
    save_checkpoint,
    snapshot,
    weights_hash,
)
from bids_xai.training.processes import Processes
from bids_xai.training.recipe import Recipe
from bids_xai.training.records import write_log
from bids_xai.training.schedule import EpochPart, TrainingState, Watch

LOG = logging.getLogger("bids_xai")

ARITHMETIC = 2
"""Counts the ways in which steps were computed: runs of two ways differ in their last digits."""


@dataclass(frozen=True)
class Learner:
    """What learns: network, optimizer, and the scale of half-precision gradients."""

    model: nn.Module
    optimizer: optim.Optimizer
    scaler: GradScaler


@dataclass(frozen=True, kw_only=True)
class RunIdentity:
    """What a checkpoint must agree with to be gone on from.

    recipe : fields of the :class:`Recipe` as JSON has them
    initial_weights : digest; scans : numbers of training and validation scans
    arithmetic : ``ARITHMETIC`` of the program; checkpoints that do not say are of the first one
    """

    recipe: dict[str, Any]
    initial_weights: str
    scans: list[int]
    arithmetic: int = 1

    def differences(self, other: RunIdentity) -> list[str]:
        """Names of the fields that differ."""
        names = [field.name for field in fields(self)]
        return [name for name in names if getattr(self, name) != getattr(other, name)]


@dataclass(frozen=True, kw_only=True)
class SavedWatch:
    """The numbers of a :class:`~bids_xai.training.schedule.Watch`."""

    score: float
    epoch: int
    waited: int

    @classmethod
    def of(cls, watch: Watch) -> Self:
        """The numbers of a watch."""
        return cls(score=watch.score, epoch=watch.epoch, waited=watch.waited)

    def watch(self, state: Tensors) -> Watch:
        """The watch with the weights and moments of its epoch."""
        return Watch(self.score, self.epoch, self.waited, state)


@dataclass(frozen=True, kw_only=True)
class SavedPart:
    """The epoch under way; sums are those of all processes."""

    done: int
    sums: list[float]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class SavedNumbers:
    """What a checkpoint holds besides tensors: whose run, and its state.

    n_threads : with which it was made; the last digits of sums depend on it
    scaler : the state of the scale of half-precision gradients, as torch has it
    parts : in how many a batch is taken; checkpoints that do not say know of one alone
    """

    run: RunIdentity
    n_threads: int
    scaler: dict[str, Any]
    lr: float
    history: tuple[EpochRecord, ...]
    low: SavedWatch
    stopping: SavedWatch
    constant: bool
    part: SavedPart
    parts: int = 1

    @classmethod
    def parsed(
        cls,
        *,
        run: dict[str, Any],
        history: list[dict[str, Any]],
        low: dict[str, Any],
        stopping: dict[str, Any],
        part: dict[str, Any],
        **plain: Any,
    ) -> Self:
        """From JSON; ``TypeError`` for another content."""
        return cls(
            run=RunIdentity(**run),
            history=tuple(EpochRecord(**values) for values in history),
            low=SavedWatch(**low),
            stopping=SavedWatch(**stopping),
            part=SavedPart(**part),
            **plain,
        )


@dataclass(frozen=True, kw_only=True)
class SavedStates:
    """The snapshots in a checkpoint: of the last step, and of the epochs of the two watches."""

    now: Tensors
    low: Tensors
    stopping: Tensors


def run_id(
    model: nn.Module, train_data: Scans, validation_data: Scans, recipe: Recipe
) -> RunIdentity:
    """The identity of a run, equal to the one that its checkpoint is read back with."""
    return RunIdentity(
        recipe=json.loads(json.dumps(asdict(recipe))),
        initial_weights=weights_hash(model),
        scans=[len(train_data), len(validation_data)],
        arithmetic=ARITHMETIC,
    )


def load_progress(
    folder: Path, run: RunIdentity, learner: Learner, recipe: Recipe, processes: Processes
) -> TrainingState:
    """The state of the checkpoint, put into the learner, or that of a fresh start.

    The first process reads for all; the sums of an epoch under way stay with it alone.
    Raises ``UsageError`` for the checkpoint of another run, ``BadDataError`` for one that cannot
    be read.
    """
    checkpoint = processes.from_leader(load_checkpoint(folder) if processes.leads else None)
    if checkpoint is None:
        return TrainingState(lr=recipe.learning_rate)
    numbers, states = _parsed(checkpoint, folder / CHECKPOINT)
    different = run.differences(numbers.run)
    if different:
        raise UsageError(
            f"The checkpoint belongs to another run: {', '.join(different)} differ",
            file=folder / CHECKPOINT,
            fix="delete it to start from scratch, or train into another folder",
        )
    _go_on_with(numbers.n_threads)
    restore(states.now, learner.model, learner.optimizer)
    learner.scaler.load_state_dict(numbers.scaler)
    part = numbers.part
    sums = np.array(part.sums) if processes.leads else np.zeros(2)
    return TrainingState(
        lr=numbers.lr,
        history=list(numbers.history),
        low=numbers.low.watch(states.low),
        stopping=numbers.stopping.watch(states.stopping),
        constant=numbers.constant,
        part=EpochPart(part.done, sums, part.seconds),
        parts=numbers.parts,
    )


def save_progress(
    folder: Path, run: RunIdentity, learner: Learner, state: TrainingState, processes: Processes
) -> None:
    """Checkpoint and log of the epochs so far, each replaced at once, by the first process."""
    sums = processes.total(state.part.sums)
    if not processes.leads:
        return
    numbers = SavedNumbers(
        run=run,
        n_threads=torch.get_num_threads(),
        scaler=learner.scaler.state_dict(),
        lr=state.lr,
        history=tuple(state.history),
        low=SavedWatch.of(state.low),
        stopping=SavedWatch.of(state.stopping),
        constant=state.constant,
        part=SavedPart(done=state.part.done, sums=sums.tolist(), seconds=state.part.seconds),
        parts=state.parts,
    )
    states = SavedStates(
        now=snapshot(learner.model, learner.optimizer),
        low=state.low.state,
        stopping=state.stopping.state,
    )
    save_checkpoint(folder, Checkpoint(vars(states), asdict(numbers)))
    write_log(folder, state.history)


def _go_on_with(n_threads: int) -> None:
    """Use the threads that a run began with: it then ends as an undisturbed one, to the bit."""
    if n_threads == torch.get_num_threads():
        return
    if n_threads > available_cpus():
        LOG.warning(
            "this training began with %d threads and goes on with %d: the last digits of its "
            "weights will differ from those of an undisturbed run",
            *(n_threads, torch.get_num_threads()),
        )
        return
    LOG.info("this training goes on with the %d thread(s) that it began with", n_threads)
    torch.set_num_threads(n_threads)


def _parsed(checkpoint: Checkpoint, file: Path) -> tuple[SavedNumbers, SavedStates]:
    try:
        return SavedNumbers.parsed(**checkpoint.scalars), SavedStates(**checkpoint.states)
    except TypeError as error:
        raise BadDataError(
            f"The checkpoint cannot be read ({error})",
            file=file,
            fix="delete it to start from scratch",
        ) from error
