"""What models say of a session: prediction, what is known of the truth, the model itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids_xai.bids.names import parse_name
from bids_xai.reports.blocks import Block, Table, Text
from bids_xai.reports.participant.context import (
    Origin,
    Sources,
    calibration_words,
    card_of,
    origin_of,
    outcome_words,
    true_class,
)
from bids_xai.reports.participant.text_tables import read_table
from bids_xai.tables.numbers import number, percent

_COLUMNS = ("model", "target", "class", "probability", "predicted")
OPINION = "A prediction is the opinion of a research model about a picture. It is no diagnosis."


@dataclass(frozen=True)
class Said:
    """What the models say of a session.

    blocks : for the summary; cards : of the models, as far as they are known
    problems : sentences for the top of the page
    """

    blocks: tuple[Block, ...] = ()
    cards: tuple[Mapping[str, Any], ...] = ()
    problems: tuple[str, ...] = ()


def predictions(path: Path, sources: Sources, session: str) -> Said:
    """Return what models say of a session, and what is known of the truth.

    path : the session's ``anat`` folder; session : label, empty where there is none
    """
    blocks: list[Block] = []
    cards: list[Mapping[str, Any]] = []
    problems: list[str] = []
    for file in sorted(path.glob("*_prediction.tsv")):
        frame = read_table(file, "prediction.tsv")
        if frame is None:
            continue
        card = card_of(path, parse_name(file.name)[0])
        context, found = _context(card, frame, sources, session) if card else ([], [])
        blocks += [*_sentence(frame), *context, _table(frame)]
        cards += [card] if card else []
        problems += found
    return Said(tuple(blocks), tuple(cards), tuple(problems))


def _sentence(frame: Any) -> list[Block]:
    said = _predicted(frame)
    if said is None:
        return []
    return [
        Text(
            f"Predicted: {said['class']}, "
            f"with a probability of {percent(float(said['probability']))} "
            f"(model {said['model']})."
        )
    ]


def _predicted(frame: Any) -> Any:
    """The line of the predicted class, ``None`` where there is not exactly one."""
    if "predicted" not in frame.columns:
        return None
    lines = frame[frame["predicted"] == "true"]
    return lines.iloc[0] if len(lines) == 1 else None


def _table(frame: Any) -> Table:
    columns = [c for c in _COLUMNS if c in frame.columns]
    rows = tuple(tuple(_cell(c, row[c]) for c in columns) for _, row in frame.iterrows())
    return Table("Probability of each class", tuple(c.capitalize() for c in columns), rows)


def _cell(column: str, value: Any) -> str:
    if column == "predicted":
        return number(value == "true")
    return percent(float(value)) if column == "probability" else str(value)


def _context(
    card: Mapping[str, Any], frame: Any, sources: Sources, session: str
) -> tuple[list[Block], list[str]]:
    origin = origin_of(card, sources)
    if origin is None:
        text = (
            "How often such a probability is right is not known here: the output folder of the "
            "study that trained this model is not at hand. It is found from --model, as long as "
            "the model lies in the folder models/ of that study."
        )
        return [Text(text, "note")], []
    sentences = [
        *_outcome(origin, frame, sources, session),
        *_calibration(origin, card, frame, sources),
    ]
    return [Text(text) for text in sentences], _trained(origin, card, sources, session)


def _outcome(origin: Origin, frame: Any, sources: Sources, session: str) -> list[str]:
    known, said = true_class(origin, sources, session), _predicted(frame)
    if known is None or said is None:
        return []
    truth, source = known
    classes, positive = origin.study.names, origin.study.classes[1]
    words = outcome_words(truth, str(said["class"]), classes, positive)
    return [f"The true class is {truth} ({source}): the prediction is {words}."]


def _calibration(
    origin: Origin, card: Mapping[str, Any], frame: Any, sources: Sources
) -> list[str]:
    own = frame[frame["class"] == origin.study.classes[1]]["probability"]
    if len(own) != 1:
        return []
    configuration = str(card["configuration"])
    return [calibration_words(origin, configuration, sources.participant, float(own.iloc[0]))]


def _trained(origin: Origin, card: Mapping[str, Any], sources: Sources, session: str) -> list[str]:
    """The remark that this participant is not new to the model."""
    if sources.participant not in origin.trained:
        return []
    name = f"sub-{sources.participant}"
    model = (
        f"the model {card['study']}, configuration {card['configuration']}, split {card['split']}"
    )
    place = f"Session {session}: " if session else ""
    if origin.same:
        return [
            f"{place}{name} is one of those who trained {model}, or chose its weights. Prediction "
            "and relevance are not those of a new case."
        ]
    return [
        f"{place}a participant called {name} trained {model}, or chose its weights. If that is "
        "the same person, prediction and relevance are not those of a new case."
    ]


def model_table(card: Mapping[str, Any]) -> Table:
    """Return which training this was, and what the network was given."""
    voxel = card.get("voxel_mm")
    grid = " × ".join(str(n) for n in card.get("input_shape", ()))
    size = "as the map" if voxel is None else f"{number(list(voxel))} mm"
    versions = card.get("versions", {})
    rows = {
        "Study, configuration, split": ", ".join(
            number(card.get(key)) for key in ("study", "configuration", "split")
        ),
        "Network": f"{card.get('architecture')}, seed {number(card.get('seed'))}",
        "Input": f"{card.get('suffix')} in {card.get('space')} space, {grid} voxels, {size}"
        + (", inside the brain mask only" if card.get("skull_strip") else ""),
        "Trained with relevance guidance": number(bool(card.get("relevance_guided"))),
        "Versions of the training": ", ".join(f"{k} {v}" for k, v in versions.items()) or "n/a",
        "SHA-256 of the weights": str(card.get("weights_sha256", ""))[:16] or "n/a",
    }
    return Table("The model", ("What", "Value"), tuple(rows.items()))
