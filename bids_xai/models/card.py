"""A trained model on disk: ``model.safetensors`` (weights) beside ``model.json`` (its card)."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_xai.errors import BadDataError, NoInputError, UsageError
from bids_xai.models import MODELS, build
from bids_xai.models.tensors import RETRAIN, check_weights, load_weights, shapes_of
from bids_xai.models.training_scans import is_summary
from bids_xai.runtime.atomic import replacing

if TYPE_CHECKING:
    from torch import nn

WEIGHTS = "model.safetensors"
CARD = "model.json"
SCALINGS = ("fixed", "minmax", "zscore")
"""How a map becomes an input: by ``scale``, by its own range, by mean and sd over training."""

_NOT_OPTIONS = {"name", "input_shape", "n_classes", "channels", "seed"}
_LATER = ("training_scans", "machine")
"""Keys that cards of earlier versions lack."""


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What one must know to use a trained model.

    architecture : a key of ``MODELS``
    options : of the network, name -> value; what is not named has its default
    input_shape : (x, y, z) voxels; ``voxel_mm`` : their size in mm, None where it varies
    channels : number of maps an input has
    suffix, space : BIDS suffix and space of the input maps (``R2starmap``, ``T1w``)
    scaling : one of ``SCALINGS``
    scale : input = map / scale (40 per second for R2*), where ``scaling`` is ``fixed``
    maximum : higher values of the map are set to this one first, None keeps them
    skull_strip : whether the map was multiplied by its brain mask
    classes : names of the classes, two or more, in the order of the outputs
    positive : the one of ``classes`` that scores and heatmaps are about
    seed : the seed of the run; weights and shuffling use 1000 * seed + split
    study, configuration, split : which training this was; ``split_hash`` identifies who was where
    training_participants : labels of everybody the weights or their choice depend on (training
        and validation): no scan of theirs can test this model, or one that starts from it
    relevance_guided : whether the mask term was part of the loss
    metrics : name -> number, None where not defined
    versions : package -> version
    weights_sha256 : SHA-256 of the file of weights; :func:`save_model` fills it in
    training_scans : what the training scans were like (``models.training_scans.summary_of``);
        empty where it is not known, as in cards of earlier versions
    machine : of the training (``runtime.device.machine_of``): on another the last bits of the
        weights may differ
    """

    architecture: str
    options: dict[str, Any] = field(default_factory=dict)
    input_shape: tuple[int, int, int]
    voxel_mm: tuple[float, float, float] | None
    channels: int = 1
    suffix: str
    space: str
    scaling: str = "fixed"
    scale: float
    maximum: float | None
    skull_strip: bool
    classes: tuple[str, ...]
    positive: str
    seed: int
    study: str
    configuration: str
    split: int
    split_hash: str
    training_participants: tuple[str, ...]
    relevance_guided: bool
    metrics: dict[str, float | None]
    versions: dict[str, str]
    weights_sha256: str = ""
    training_scans: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)

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
                f"The model card is not valid JSON ({error})", file=file, fix=RETRAIN
            ) from error
        problem = _problem_of(values)
        if problem:
            raise BadDataError(f"The model card {problem}", file=file, fix=RETRAIN)
        return cls(
            **{key: _listed_as_tuple(value) for key, value in values.items()}
            | {"options": {k: _listed_as_tuple(v) for k, v in values["options"].items()}}
        )


def save_model(folder: str | os.PathLike[str], model: nn.Module, card: ModelCard) -> Path:
    """Write weights and card, both or neither; returns the path of the card.

    The card gets the SHA-256 of the weights. Both files are complete before either takes its
    place; a run that dies between the two leaves files that :func:`load_model` refuses.
    Raises ``CannotCreateError`` where the folder or disk refuses.
    """
    from safetensors.torch import save

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: t.detach().cpu().clone() for name, t in model.state_dict().items()}
    content = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    card = replace(card, weights_sha256=hashlib.sha256(content).hexdigest())
    with replacing(folder / CARD) as text, replacing(folder / WEIGHTS) as weights:
        weights.write_bytes(content)  # by the umask; save_file leaves others no permission
        text.write_text(card.to_json(), encoding="utf-8")
    return folder / CARD


def load_model(path: str | os.PathLike[str]) -> tuple[nn.Module, ModelCard]:
    """Load a model in evaluation mode, on the CPU, and its card.

    path : the model's folder, or its ``model.json``
    Raises ``NoInputError`` for a missing file, ``BadDataError`` for a card that is damaged, asks
    for a network that cannot be, or belongs to other weights than those beside it; for weights
    that are no finite numbers.
    """
    import torch

    path = Path(path)
    card_file = path if path.suffix == ".json" else path / CARD
    if not card_file.is_file():
        raise NoInputError(
            "There is no model card", file=card_file, fix=f"give a folder that contains {CARD}"
        )
    card = ModelCard.from_json(card_file.read_text(encoding="utf-8"), card_file)
    weights = card_file.with_name(WEIGHTS)
    with torch.device("meta"):  # without memory, which a damaged card could use up
        expected = shapes_of(_network_of(card, card_file))
    check_weights(weights, card.weights_sha256, expected)
    model = _network_of(card, card_file)
    load_weights(model, weights)
    return model.eval(), card


def model_files(path: str | os.PathLike[str]) -> list[Path]:
    """Return those files of a saved model that exist; ``path`` as in :func:`load_model`."""
    path = Path(path)
    folder = path.parent if path.suffix == ".json" else path
    return [file for file in (folder / CARD, folder / WEIGHTS) if file.is_file()]


def _network_of(card: ModelCard, file: Path) -> nn.Module:
    """The network a card describes, with any weights."""
    try:
        return build(
            card.architecture,
            card.input_shape,
            len(card.classes),
            channels=card.channels,
            seed=card.seed,
            **card.options,
        )
    except UsageError as error:
        raise BadDataError(
            f"The model card asks for a network that cannot be built: {error.problem}",
            file=file,
            fix=RETRAIN,
        ) from error


def _problem_of(values: Any) -> str | None:
    """The first thing wrong with the content of a card, as the end of a sentence."""
    if not isinstance(values, Mapping):
        return "is not a JSON object"
    names = [field.name for field in fields(ModelCard)]
    missing = [name for name in names if name not in values and name not in _LATER]
    unknown = [name for name in values if name not in names]
    if missing or unknown:
        words = [f"lacks {', '.join(missing)}"] if missing else []
        return " and ".join(words + ([f"has unknown {', '.join(unknown)}"] if unknown else []))
    wrong = [name for name in names if name in values and not _valid(name, values[name])]
    if not wrong and values["positive"] not in values["classes"]:
        wrong = ["positive"]
    return f"has a wrong value for {', '.join(wrong)}" if wrong else None


def _valid(name: str, value: Any) -> bool:
    """Whether ``value`` can stand under the key ``name`` of a card."""
    match name:
        case "architecture":
            return isinstance(value, str) and value in MODELS
        case "options":
            return isinstance(value, dict) and not value.keys() & _NOT_OPTIONS
        case "input_shape":
            return _list_of(value, _is_integer, 3) and min(value) > 0
        case "channels":
            return _is_integer(value) and value > 0
        case "voxel_mm":
            return value is None or (_list_of(value, _is_number, 3) and min(value) > 0)
        case "classes":
            return _list_of(value, _is_text) and len(set(value)) == len(value) >= 2
        case "training_participants":
            return _list_of(value, _is_text)
        case "scaling":
            return value in SCALINGS
        case "weights_sha256":
            return _is_text(value) and re.fullmatch("[0-9a-f]{64}", value) is not None
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
            return _dict_of(value, _is_text)
        case "training_scans":
            return isinstance(value, dict) and (not value or is_summary(value))
        case "machine":
            return isinstance(value, dict)
        case _:
            return _is_text(value)


def _listed_as_tuple(value: Any) -> Any:
    """JSON has lists where a card has tuples."""
    return tuple(value) if isinstance(value, list) else value


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    """A finite one: Python's JSON also knows NaN and Infinity."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _list_of(value: Any, valid: Any, length: int | None = None) -> bool:
    if not isinstance(value, list) or not all(map(valid, value)):
        return False
    return length is None or len(value) == length


def _dict_of(value: Any, valid: Any) -> bool:
    return isinstance(value, dict) and all(map(valid, value.values()))
