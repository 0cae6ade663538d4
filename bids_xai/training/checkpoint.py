"""The state of a training run between two steps, in one safetensors file and without pickle.

Tensors (weights, the optimizer's moments; now and at the best epochs) are entries of the file;
numbers are JSON text in its header. One file, replaced at once, cannot be half of one state and
half of another. No state of a random generator is kept: chance depends on seed, epoch and step.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn, optim

from bids_xai.errors import BadDataError
from bids_xai.runtime.atomic import replacing

CHECKPOINT = "checkpoint.safetensors"

_HEADER = "scalars"

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    states : name -> snapshot; one that stands under two names is written once
    scalars : everything else, as JSON can hold it
    """

    states: Mapping[str, Tensors]
    scalars: Mapping[str, Any]


@dataclass(frozen=True)
class Header:
    """The JSON text in the header of the file.

    places : name of a snapshot -> the name under which its tensors are written
    sha256 : of all tensors; empty in files of earlier versions
    """

    places: Mapping[str, str]
    scalars: Mapping[str, Any]
    sha256: str = ""


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


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint of ``folder`` in one step.

    Raises ``CannotCreateError`` where the disk is full; the former checkpoint stays.
    """
    states = checkpoint.states
    first = {id(state): name for name, state in reversed(list(states.items()))}
    places = {name: first[id(state)] for name, state in states.items()}
    tensors = {
        f"{name}/{key}": tensor
        for name in dict.fromkeys(places.values())
        for key, tensor in states[name].items()
    }
    header = Header(places, checkpoint.scalars, _digest(tensors))
    content = save(tensors, metadata={_HEADER: json.dumps(vars(header))})
    with replacing(folder / CHECKPOINT) as temporary:
        temporary.write_bytes(content)  # by the umask; save_file leaves others no permission


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """States and numbers as they were saved, or None where there is no checkpoint.

    Raises ``BadDataError`` for a file that is no checkpoint.
    """
    file = folder / CHECKPOINT
    if not file.is_file():
        return None
    try:
        with safe_open(file, framework="pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            header = Header(**json.loads(stored.metadata()[_HEADER]))
        if header.sha256 and header.sha256 != _digest(tensors):
            raise ValueError("its content is not what was written")
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise BadDataError(
            f"The checkpoint cannot be read ({error})",
            file=file,
            fix="delete it to start from scratch",
        ) from error
    written: dict[str, Tensors] = {entry: {} for entry in header.places.values()}
    for key, tensor in tensors.items():
        entry, _, name = key.partition("/")
        written[entry][name] = tensor
    states = {name: written[entry] for name, entry in header.places.items()}
    return Checkpoint(states, header.scalars)


def _digest(tensors: Tensors) -> str:
    """SHA-256 of names and bytes: numbers that a disk changed look like any others."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True).contiguous()


def _laid_out_as(tensor: Tensor, parameter: Tensor) -> Tensor:
    """A copy on the CPU, in the memory layout of ``parameter`` where it has its shape.

    Sums are then taken in the same order as in a run that was never stored.
    """
    if tensor.shape != parameter.shape:
        return tensor.clone()
    return torch.empty_like(parameter, dtype=tensor.dtype, device="cpu").copy_(tensor)
