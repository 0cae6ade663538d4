"""The state of a training run between two epochs, in one safetensors file and without pickle.

Tensors (weights, Adam's moments; now and at the best epoch) are entries of the file; numbers are
JSON text in its header. One file, replaced at once, cannot be half of one epoch and half of
another.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn, optim

from bids_xai.errors import BadDataError

CHECKPOINT = "checkpoint.safetensors"

Tensors = dict[str, Tensor]


def snapshot(model: nn.Module, optimizer: optim.Optimizer) -> Tensors:
    """Copies (on the CPU) of all weights, ``model/<name>``, and moments, ``adam/<i>/<name>``."""
    tensors = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"adam/{index}/{name}": tensor for name, tensor in moments.items()}
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}


def restore(tensors: Tensors, model: nn.Module, optimizer: optim.Optimizer) -> None:
    """Put copies of a snapshot back; the learning rate stays what it is."""
    state: dict[int, dict[str, Tensor]] = {}
    weights = {}
    for key, tensor in tensors.items():
        kind, _, name = key.partition("/")
        if kind == "model":
            weights[name] = tensor
        else:
            index, _, moment = name.partition("/")
            state.setdefault(int(index), {})[moment] = tensor.clone()
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


def save_checkpoint(folder: Path, now: Tensors, best: Tensors, scalars: dict[str, Any]) -> None:
    """Replace the checkpoint of ``folder`` in one step."""
    tensors = {f"now/{name}": tensor for name, tensor in now.items()}
    tensors |= {f"best/{name}": tensor for name, tensor in best.items()}
    temporary = folder / f".{CHECKPOINT}.tmp"
    save_file(tensors, temporary, metadata={"scalars": json.dumps(scalars)})
    os.replace(temporary, folder / CHECKPOINT)


def load_checkpoint(folder: Path) -> tuple[Tensors, Tensors, dict[str, Any]] | None:
    """Now, best and scalars, or None where there is no checkpoint."""
    file = folder / CHECKPOINT
    if not file.is_file():
        return None
    try:
        with safe_open(file, framework="pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            scalars = json.loads(stored.metadata()["scalars"])
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise BadDataError(
            f"The checkpoint cannot be read ({error})", file=file, fix="delete it to start anew"
        ) from error
    now, best = (
        {name.removeprefix(kind): t for name, t in tensors.items() if name.startswith(kind)}
        for kind in ("now/", "best/")
    )
    return now, best, scalars
