"""The state of a training run between two steps, in one safetensors file and without pickle.

Tensors (weights, the optimizer's moments; now and at the best epochs) are entries of the file;
numbers are JSON text in its header. One file, replaced at once, cannot be half of one state and
half of another. No state of a random generator is kept: chance depends on seed, epoch and step.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn, optim

from bids_xai.errors import BadDataError

CHECKPOINT = "checkpoint.safetensors"

Tensors = dict[str, Tensor]


def snapshot(model: nn.Module, optimizer: optim.Optimizer) -> Tensors:
    """Copies (on the CPU) of all weights, ``model/<name>``, and moments, ``moment/<i>/<name>``."""
    tensors = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {
            f"moment/{index}/{name}": tensor
            for name, tensor in moments.items()
            if isinstance(tensor, Tensor)  # SGD without momentum keeps None
        }
    return {name: _copy(tensor) for name, tensor in tensors.items()}


def restore(tensors: Tensors, model: nn.Module, optimizer: optim.Optimizer) -> None:
    """Put copies of a snapshot back; the learning rate and memory layouts stay what they are."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    weights = {}
    for key, tensor in tensors.items():
        kind, _, name = key.partition("/")
        if kind == "model":
            weights[name] = tensor
        else:
            number, _, moment = name.partition("/")
            index = int(number)
            state.setdefault(index, {})[moment] = _laid_out_as(tensor, parameters[index])
    model.load_state_dict(weights)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def weights_hash(model: nn.Module) -> str:
    """Hexadecimal digest of all weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_checkpoint(folder: Path, states: Mapping[str, Tensors], scalars: dict[str, Any]) -> None:
    """Replace the checkpoint of ``folder`` in one step.

    states : name -> snapshot; one that stands under two names is written once
    """
    first = {id(state): name for name, state in reversed(list(states.items()))}
    places = {name: first[id(state)] for name, state in states.items()}
    tensors = {
        f"{name}/{key}": tensor
        for name in dict.fromkeys(places.values())
        for key, tensor in states[name].items()
    }
    temporary = folder / f".{CHECKPOINT}.tmp"
    text = json.dumps({"places": places, "scalars": scalars})
    save_file(tensors, temporary, metadata={"scalars": text})
    os.replace(temporary, folder / CHECKPOINT)


def load_checkpoint(folder: Path) -> tuple[dict[str, Tensors], dict[str, Any]] | None:
    """States and scalars as they were saved, or None where there is no checkpoint."""
    file = folder / CHECKPOINT
    if not file.is_file():
        return None
    try:
        with safe_open(file, framework="pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            text = json.loads(stored.metadata()["scalars"])
            places, scalars = dict(text["places"]), dict(text["scalars"])
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise BadDataError(
            f"The checkpoint cannot be read ({error})", file=file, fix="delete it to start anew"
        ) from error
    states: dict[str, Tensors] = {place: {} for place in places.values()}
    for key, tensor in tensors.items():
        place, _, name = key.partition("/")
        states[place][name] = tensor
    return {name: states[place] for name, place in places.items()}, scalars


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True).contiguous()


def _laid_out_as(tensor: Tensor, parameter: Tensor) -> Tensor:
    """A copy on the CPU, in the memory layout of ``parameter`` where it has its shape.

    Sums are then taken in the same order as in a run that was never stored.
    """
    if tensor.shape != parameter.shape:
        return tensor.clone()
    return torch.empty_like(parameter, dtype=tensor.dtype, device="cpu").copy_(tensor)
