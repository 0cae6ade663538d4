"""A trained model on disk: ``model.safetensors`` (weights) beside ``model.json`` (its card)."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from bids_xai.errors import BadDataError, NoInputError
from bids_xai.models import MODELS, build_model

WEIGHTS = "model.safetensors"
CARD = "model.json"
_RETRAIN = "train the model again, or copy both files from where it was trained"


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What one must know to use a trained model.

    architecture : a key of ``MODELS``
    input_shape : (x, y, z) voxels; ``voxel_mm`` : their size in mm, None where it varies
    suffix, space : BIDS suffix and space of the input maps (``R2starmap``, ``T1w``)
    scale : input = map / scale (40 per second for R2*)
    maximum : higher values of the map are set to this one first, None keeps them
    skull_strip : whether the map was multiplied by its brain mask
    classes : names of the (negative, positive) class, in the order of the outputs
    seed : the seed of the run; weights and shuffling use 1000 * seed + split
    study, configuration, split : which training this was; ``split_hash`` identifies who was where
    relevance_guided : whether the mask term was part of the loss
    metrics : name -> number, None where not defined
    versions : package -> version
    """

    architecture: str
    input_shape: tuple[int, int, int]
    voxel_mm: tuple[float, float, float] | None
    suffix: str
    space: str
    scale: float
    maximum: float | None
    skull_strip: bool
    classes: tuple[str, str]
    seed: int
    study: str
    configuration: str
    split: int
    split_hash: str
    relevance_guided: bool
    metrics: dict[str, float | None]
    versions: dict[str, str]

    def to_json(self) -> str:
        """The card as JSON text."""
        return json.dumps(asdict(self), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, file: str | os.PathLike[str] | None = None) -> ModelCard:
        """Read a card; ``BadDataError`` names ``file`` and the key at fault."""
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise BadDataError(
                f"The model card is not valid JSON ({error})", file=file, fix=_RETRAIN
            ) from error
        problem = _problem_of(values)
        if problem:
            raise BadDataError(f"The model card {problem}", file=file, fix=_RETRAIN)
        voxel_mm = values["voxel_mm"]
        return cls(
            **values
            | {
                "input_shape": tuple(values["input_shape"]),
                "voxel_mm": None if voxel_mm is None else tuple(voxel_mm),
                "classes": tuple(values["classes"]),
            }
        )


def save_model(folder: str | os.PathLike[str], model: nn.Module, card: ModelCard) -> Path:
    """Write weights, then card, each atomically; returns the path of the card.

    The card comes last: where there is a card, its weights are complete.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
    temporary = folder / f".{WEIGHTS}.tmp"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)
    os.replace(temporary, folder / WEIGHTS)
    temporary = folder / f".{CARD}.tmp"
    temporary.write_text(card.to_json(), encoding="utf-8")
    os.replace(temporary, folder / CARD)
    return folder / CARD


def load_model(path: str | os.PathLike[str]) -> tuple[nn.Module, ModelCard]:
    """Load a model in evaluation mode, on the CPU, and its card.

    path : the model's folder, or its ``model.json``
    Raises ``NoInputError`` for a missing file, ``BadDataError`` for one that is damaged or does
    not fit its card.
    """
    path = Path(path)
    card_file = path if path.suffix == ".json" else path / CARD
    if not card_file.is_file():
        raise NoInputError(
            "There is no model card", file=card_file, fix=f"give a folder that holds {CARD}"
        )
    card = ModelCard.from_json(card_file.read_text(encoding="utf-8"), card_file)
    model = build_model(card.architecture, card.input_shape, len(card.classes), card.seed)
    _load_weights(model, card_file.with_name(WEIGHTS))
    return model.eval(), card


def model_files(path: str | os.PathLike[str]) -> list[Path]:
    """Return those files of a saved model that exist; ``path`` as in :func:`load_model`."""
    path = Path(path)
    folder = path.parent if path.suffix == ".json" else path
    return [file for file in (folder / CARD, folder / WEIGHTS) if file.is_file()]


def _load_weights(model: nn.Module, file: Path) -> None:
    """Fill ``model`` from a safetensors file that must hold exactly its tensors."""
    if not file.is_file():
        raise NoInputError("The weights of the model are missing", file=file, fix=_RETRAIN)
    try:
        tensors = load_file(file)
    except SafetensorError as error:
        raise BadDataError(
            f"The weights of the model cannot be read ({error})", file=file, fix=_RETRAIN
        ) from error
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise BadDataError(
                f"The weights do not fit the model card: '{name}' has shape "
                f"{found.get(name, 'none')}, the card asks for {expected.get(name, 'none')}",
                file=file,
                fix=_RETRAIN,
            )
    model.load_state_dict(tensors)


def _problem_of(values: Any) -> str | None:
    """The first thing wrong with the content of a card, as the end of a sentence."""
    if not isinstance(values, Mapping):
        return "is not a JSON object"
    names = [field.name for field in fields(ModelCard)]
    missing = [name for name in names if name not in values]
    unknown = [name for name in values if name not in names]
    if missing or unknown:
        words = [f"lacks {', '.join(missing)}"] if missing else []
        return " and ".join(words + ([f"has unknown {', '.join(unknown)}"] if unknown else []))
    wrong = [name for name in names if not _valid(name, values[name])]
    return f"has a wrong value for {', '.join(wrong)}" if wrong else None


def _valid(name: str, value: Any) -> bool:
    """Whether ``value`` can stand under the key ``name`` of a card."""
    match name:
        case "architecture":
            return isinstance(value, str) and value in MODELS
        case "input_shape":
            return _list_of(value, 3, _is_integer) and min(value) > 0
        case "voxel_mm":
            return value is None or (_list_of(value, 3, _is_number) and min(value) > 0)
        case "classes":
            return _list_of(value, 2, lambda item: isinstance(item, str))
        case "scale":
            return _is_number(value) and value > 0
        case "maximum":
            return value is None or (_is_number(value) and value > 0)
        case "seed" | "split":
            return _is_integer(value)
        case "skull_strip" | "relevance_guided":
            return isinstance(value, bool)
        case "metrics":
            return _dict_of(value, lambda item: item is None or _is_number(item))
        case "versions":
            return _dict_of(value, lambda item: isinstance(item, str))
        case _:
            return isinstance(value, str)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _list_of(value: Any, length: int, valid: Any) -> bool:
    return isinstance(value, list) and len(value) == length and all(map(valid, value))


def _dict_of(value: Any, valid: Any) -> bool:
    return isinstance(value, dict) and all(map(valid, value.values()))
