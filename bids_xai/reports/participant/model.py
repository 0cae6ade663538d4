"""The model behind a prediction, from its card beside the prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bids_xai.reports.blocks import TableBlock
from bids_xai.tables.numbers import number


@dataclass(frozen=True)
class UsedModel:
    """What a page says of a model; ``None`` and empty where the card does not say it.

    The fields are those of :class:`bids_xai.models.card.ModelCard`.
    """

    study: str | None = None
    configuration: str | None = None
    split: int | None = None
    architecture: str | None = None
    seed: int | None = None
    suffix: str | None = None
    space: str | None = None
    input_shape: tuple[int, ...] = ()
    voxel_mm: tuple[float, ...] | None = None
    skull_strip: bool = False
    relevance_guided: bool = False
    versions: tuple[tuple[str, str], ...] = ()
    weights_sha256: str = ""
    training_participants: tuple[str, ...] = ()

    @classmethod
    def from_card(cls, card: Any) -> UsedModel | None:
        """Read a card as JSON has it; ``None`` for what is no card."""
        if not isinstance(card, Mapping) or not card:
            return None
        voxel_mm, versions = card.get("voxel_mm"), card.get("versions", {})
        return cls(
            **{key: card.get(key) for key in _AS_THEY_ARE},
            input_shape=tuple(card.get("input_shape", ())),
            voxel_mm=None if voxel_mm is None else tuple(voxel_mm),
            skull_strip=bool(card.get("skull_strip")),
            relevance_guided=bool(card.get("relevance_guided")),
            versions=tuple((str(name), str(version)) for name, version in versions.items()),
            weights_sha256=str(card.get("weights_sha256", "")),
            training_participants=tuple(map(str, card.get("training_participants", ()))),
        )

    @property
    def training(self) -> str:
        """Which training it is from, in words."""
        return f"{self.study}, configuration {self.configuration}, split {self.split}"


_AS_THEY_ARE = ("study", "configuration", "split", "architecture", "seed", "suffix", "space")


def model_table(model: UsedModel) -> TableBlock:
    """Return which training this was, and what the network was given."""
    grid = " × ".join(str(n) for n in model.input_shape)
    size = "as the map" if model.voxel_mm is None else f"{number(list(model.voxel_mm))} mm"
    versions = ", ".join(f"{name} {version}" for name, version in model.versions)
    rows = {
        "Study, configuration, split": ", ".join(
            number(value) for value in (model.study, model.configuration, model.split)
        ),
        "Network": f"{model.architecture}, seed {number(model.seed)}",
        "Input": f"{model.suffix} in {model.space} space, {grid} voxels, {size}"
        + (", inside the brain mask only" if model.skull_strip else ""),
        "Trained with relevance guidance": number(model.relevance_guided),
        "Versions of the training": versions or "n/a",
        "SHA-256 of the weights": model.weights_sha256[:16] or "n/a",
    }
    return TableBlock("The model", ("What", "Value"), tuple(rows.items()))
