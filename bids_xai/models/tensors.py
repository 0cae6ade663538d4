"""The file of a model's weights: compared with the network before memory is taken."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bids_xai.errors import BadDataError, NoInputError
from bids_xai.runtime.digests import sha256_of

if TYPE_CHECKING:
    from torch import nn

RETRAIN = "train the model again, or copy both files from where it was trained"

Shapes = Mapping[str, tuple[int, ...]]


def shapes_of(model: nn.Module) -> Shapes:
    """Return the shape of every tensor of a network, by name."""
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def check_weights(file: Path, sha256: str, expected: Shapes) -> None:
    """Raise for weights that are missing, not those of the card, or of another network.

    sha256 : what the card says of the file; expected : :func:`shapes_of` the card's network
    Only the header and, if that fits, the bytes of the file are read: no tensor is made.
    """
    if not file.is_file():
        raise NoInputError("The weights of the model are missing", file=file, fix=RETRAIN)
    digest = sha256_of(file)
    if digest != sha256:
        raise BadDataError(
            f"The weights are not those of the model card: their SHA-256 is {digest[:12]}..., the "
            f"card says {sha256[:12]}...",
            file=file,
            fix=RETRAIN,
        )
    shapes = _shapes_in(file)
    for name in sorted(expected.keys() | shapes.keys()):
        if expected.get(name) != shapes.get(name):
            raise BadDataError(
                f"The weights do not fit the model card: '{name}' has shape "
                f"{shapes.get(name, 'none')}, the card asks for {expected.get(name, 'none')}",
                file=file,
                fix=RETRAIN,
            )


def load_weights(model: nn.Module, file: Path) -> None:
    """Fill a network from a file that :func:`check_weights` let pass.

    Raises :class:`BadDataError` for a weight that is no finite number.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(file)
    except SafetensorError as error:
        raise _unreadable(file, error) from error
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise BadDataError(
                f"The weights of the model are no finite numbers in '{name}': its training failed",
                file=file,
                fix="train the model again, with a lower learning rate",
            )
    model.load_state_dict(tensors)


def _shapes_in(file: Path) -> Shapes:
    """What the header of a file says of its tensors."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as content:
            names = content.keys()
            return {name: tuple(content.get_slice(name).get_shape()) for name in names}
    except SafetensorError as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> BadDataError:
    return BadDataError(
        f"The weights of the model cannot be read ({error})", file=file, fix=RETRAIN
    )
