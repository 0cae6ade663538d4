"""From the state of a run to its checkpoint and back."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn, optim
from torch.amp.grad_scaler import GradScaler

from bids_xai.errors import UsageError
from bids_xai.training.batches import Scans
from bids_xai.training.checkpoint import (
    CHECKPOINT,
    load_checkpoint,
    restore,
    save_checkpoint,
    snapshot,
    weights_hash,
)
from bids_xai.training.processes import Processes
from bids_xai.training.recipe import Recipe
from bids_xai.training.records import EpochRecord, write_log
from bids_xai.training.schedule import Part, Progress, Watch


@dataclass(frozen=True)
class Learner:
    """What learns: network, optimizer, and the scale of half-precision gradients."""

    model: nn.Module
    optimizer: optim.Optimizer
    scaler: GradScaler


def run_id(
    model: nn.Module, train_data: Scans, validation_data: Scans, recipe: Recipe
) -> dict[str, Any]:
    """What a checkpoint must agree with to be gone on from, as JSON has it."""
    found: dict[str, Any] = json.loads(
        json.dumps(
            {
                "recipe": asdict(recipe),
                "initial_weights": weights_hash(model),
                "scans": [len(train_data), len(validation_data)],
            }
        )
    )
    return found


def load_progress(
    folder: Path, run: dict[str, Any], learner: Learner, recipe: Recipe, processes: Processes
) -> Progress:
    """The state of the checkpoint, put into the learner, or that of a fresh start.

    The first process reads for all; the sums of an epoch under way stay with it alone.
    """
    found = processes.from_leader(load_checkpoint(folder) if processes.leads else None)
    if found is None:
        return Progress(lr=recipe.learning_rate)
    states, scalars = found
    different = [key for key in run if scalars.get("run", {}).get(key) != run[key]]
    if different:
        raise UsageError(
            f"The checkpoint belongs to another run: {', '.join(different)} differ",
            file=folder / CHECKPOINT,
            fix="delete it to start anew, or train into another folder",
        )
    restore(states["now"], learner.model, learner.optimizer)
    learner.scaler.load_state_dict(scalars["scaler"])
    part = Part(**scalars["part"])
    part.sums = np.array(part.sums) if processes.leads else np.zeros(2)
    return Progress(
        lr=scalars["lr"],
        history=[EpochRecord(**values) for values in scalars["history"]],
        low=Watch(**scalars["low"], state=states["low"]),
        stopping=Watch(**scalars["stopping"], state=states["stopping"]),
        constant=scalars["constant"],
        part=part,
    )


def save_progress(
    folder: Path, run: dict[str, Any], learner: Learner, state: Progress, processes: Processes
) -> None:
    """Checkpoint and log of the epochs so far, each replaced at once, by the first process."""
    sums = processes.total(state.part.sums)
    if not processes.leads:
        return
    scalars = {
        "run": run,
        "scaler": learner.scaler.state_dict(),
        "lr": state.lr,
        "history": [asdict(record) for record in state.history],
        "low": _numbers(state.low),
        "stopping": _numbers(state.stopping),
        "constant": state.constant,
        "part": {"done": state.part.done, "sums": sums.tolist(), "seconds": state.part.seconds},
    }
    states = {
        "now": snapshot(learner.model, learner.optimizer),
        "low": state.low.state,
        "stopping": state.stopping.state,
    }
    save_checkpoint(folder, states, scalars)
    write_log(folder, state.history)


def _numbers(watch: Watch) -> dict[str, float]:
    return {"score": watch.score, "epoch": watch.epoch, "waited": watch.waited}
