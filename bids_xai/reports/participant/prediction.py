"""What models say of a session: prediction, the truth where it is known, who trained the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bids_xai.bids.names import parse_name
from bids_xai.reports.blocks import Block, TableBlock, Text
from bids_xai.reports.participant.context import (
    ModelStudy,
    Sources,
    calibration_words,
    outcome_words,
    study_of,
    true_class,
    used_model,
)
from bids_xai.reports.participant.model import UsedModel
from bids_xai.tables.numbers import number, percent, read_object
from bids_xai.tables.participant import CLASS_PROBABILITIES, ClassProbability

OPINION = "A prediction is the output of a research model for one image. It is not a diagnosis."


@dataclass(frozen=True)
class SessionPredictions:
    """What the models say of a session.

    blocks : for the summary; models : those that say what they are
    problems : sentences for the top of the page
    """

    blocks: tuple[Block, ...] = ()
    models: tuple[UsedModel, ...] = ()
    problems: tuple[str, ...] = ()


def predictions(path: Path, sources: Sources, session: str) -> SessionPredictions:
    """Return what models say of a session, beside what the study of each says.

    path : the session's ``anat`` folder; session : label, empty where there is none
    Raises :class:`BadDataError` for a table that is damaged.
    """
    blocks: list[Block] = []
    models: list[UsedModel] = []
    problems: list[str] = []
    for file in sorted(path.glob("*_prediction.tsv")):
        rows = CLASS_PROBABILITIES.read(file)
        if not rows:
            continue
        remarks, is_unlike = _remarks(file)
        blocks += _sentence(rows)
        problems += _unlike(rows, session) if is_unlike else []
        blocks += [Text(f"Unlike the training: {remark}.", "note") for remark in remarks]
        if model := used_model(path, parse_name(file.name)[0]):
            models.append(model)
            origin = study_of(model, sources)
            blocks += _context(origin, model, rows, sources, session)
            problems += _trained(origin, model, sources, session)
        blocks.append(_table(rows))
    return SessionPredictions(tuple(blocks), tuple(models), tuple(problems))


def _remarks(table: Path) -> tuple[list[str], bool]:
    """How the scan differs from those of the training, and whether too much for a prediction."""
    sidecar = read_object(table.with_suffix(".json"))
    remarks = sidecar.get("Remarks")
    texts = [*map(str, remarks)] if isinstance(remarks, list) else []
    return texts, bool(sidecar.get("UnlikeTraining"))


def _unlike(rows: Sequence[ClassProbability], session: str) -> list[str]:
    visit = f"Session {session}: " if session else ""
    return [
        f"{visit}the values of the map are far outside those that the model {rows[0].model} was "
        "trained on. There is no prediction (n/a), and its relevance says nothing of this scan."
    ]


def _sentence(rows: Sequence[ClassProbability]) -> list[Block]:
    predicted = _predicted(rows)
    if predicted is None or predicted.probability is None:
        return []
    return [
        Text(
            f"Predicted: {predicted.class_name}, "
            f"with a probability of {percent(predicted.probability)} "
            f"(model {predicted.model})."
        )
    ]


def _predicted(rows: Sequence[ClassProbability]) -> ClassProbability | None:
    """The line of the predicted class, ``None`` where there is not exactly one."""
    lines = [row for row in rows if row.predicted]
    return lines[0] if len(lines) == 1 else None


def _table(rows: Sequence[ClassProbability]) -> TableBlock:
    header = ("Model", "Class", "Probability", "Predicted")
    cells = tuple(
        (row.model, row.class_name, percent(row.probability), number(row.predicted)) for row in rows
    )
    return TableBlock("Probability of each class", header, cells)


def _context(
    origin: ModelStudy | None,
    model: UsedModel,
    rows: Sequence[ClassProbability],
    sources: Sources,
    session: str,
) -> list[Block]:
    if origin is None:
        text = (
            "How often such a probability is right is not known here: the output folder "
            "of the study that trained this model is not available. It is located through --model, "
            "as long as the model is in the folder models/ of that study."
        )
        return [Text(text, "note")]
    sentences = [
        *_outcome(origin, rows, sources, session),
        *_calibration(origin, model, rows, sources),
    ]
    return [Text(text) for text in sentences]


def _outcome(
    origin: ModelStudy, rows: Sequence[ClassProbability], sources: Sources, session: str
) -> list[str]:
    truth, predicted = true_class(origin, sources, session), _predicted(rows)
    if truth is None or predicted is None:
        return []
    classes, positive = origin.study.names, origin.study.classes[1]
    words = outcome_words(truth.name, predicted.class_name, classes, positive)
    return [f"The true class is {truth.name} ({truth.source}): the prediction is {words}."]


def _calibration(
    origin: ModelStudy, model: UsedModel, rows: Sequence[ClassProbability], sources: Sources
) -> list[str]:
    positive = [
        row.probability
        for row in rows
        if row.class_name == origin.study.classes[1] and row.probability is not None
    ]
    if len(positive) != 1:
        return []
    configuration, participant = str(model.configuration), sources.participant
    return [calibration_words(origin, configuration, participant, positive[0])]


def _trained(
    origin: ModelStudy | None, model: UsedModel, sources: Sources, session: str
) -> list[str]:
    """The remark that this participant is not new to the model."""
    if origin is None or sources.participant not in origin.trained:
        return []
    name = f"sub-{sources.participant}"
    training = f"the model {model.training}"
    visit = f"Session {session}: " if session else ""
    if origin.same:
        return [
            f"{visit}{name} was used to train {training}, or to select its weights. "
            "Prediction and relevance are not those of a new case."
        ]
    return [
        f"{visit}a participant called {name} was used to train {training}, or to select its "
        "weights. If that is the same person, prediction and relevance are not those of a new case."
    ]
