"""What stands around a prediction: the study of its model, the true class, other test scans."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bids_xai.bids.names import RAW_ENTITIES, file_name
from bids_xai.bids.session_times import sessions_file
from bids_xai.bids.user_tables import read_user_table
from bids_xai.errors import BadDataError
from bids_xai.reports.participant.model import UsedModel
from bids_xai.reports.study_files import StudyFiles
from bids_xai.tables.cohort import COHORT
from bids_xai.tables.numbers import plural, read_object
from bids_xai.tables.predictions import PREDICTIONS, Prediction
from bids_xai.tables.table import Row, Table

LOG = logging.getLogger("bids_xai")

FEWEST = 5  # test scans from which their outcomes are told
_TENTHS = 10
_ROUNDING = 1e-9  # 0.3 * 10 is a little less than 3 in binary numbers


@dataclass(frozen=True)
class Sources:
    """Where a page may look: derivatives, and what the run was given.

    bids_dir : raw dataset; model : folder or card of a model; both ``None`` where not known
    """

    output_dir: Path
    participant: str
    bids_dir: Path | None = None
    model: Path | None = None


@dataclass(frozen=True)
class ModelStudy:
    """The study of a model, as it stands in the output folder where it was trained.

    same : that folder is the page's own, so that participants of one label are one person
    trained : labels of those who trained the model or chose its weights
    """

    study: StudyFiles
    same: bool
    trained: tuple[str, ...]


@dataclass(frozen=True)
class TrueClass:
    """The true class of a scan; source : the table that says so, in words."""

    name: str
    source: str


def used_model(folder: Path, entities: Mapping[str, str]) -> UsedModel | None:
    """Return the model named beside a scan's prediction, ``None`` where there is none.

    folder : the session's ``anat`` folder; entities : of any product of that model for that scan
    """
    names = {key: entities[key] for key in (*RAW_ENTITIES, "model") if key in entities}
    sidecar = read_object(folder / file_name(names, "prediction", ".json"))
    return UsedModel.from_card(sidecar.get("Model"))


def study_of(model: UsedModel | None, sources: Sources) -> ModelStudy | None:
    """Return the study of a model, ``None`` where its output folder is not at hand.

    The output folder is found from the model of the run, else it is the page's own. It counts
    where the model of that name in it has the same weights.
    """
    if model is None or not (model.study and model.configuration and model.split is not None):
        return None
    own_root = sources.output_dir.resolve()
    for root in dict.fromkeys((*_root_of(sources.model), own_root)):
        folder = root / "models" / model.study / model.configuration / f"split-{model.split}"
        trained = UsedModel.from_card(read_object(folder / "model.json"))
        if trained and trained.weights_sha256 and trained.weights_sha256 == model.weights_sha256:
            study = StudyFiles.at(root, model.study)
            return ModelStudy(study, root == own_root, trained.training_participants)
    return None


def _root_of(model: Path | None) -> list[Path]:
    """The output folder of ``models/<study>/<configuration>/split-k``, from there upwards."""
    if model is None:
        return []
    path = model.resolve()
    parents = [path, *path.parents][1 if path.suffix == ".json" else 0 :]
    return [parents[4]] if len(parents) > 4 and parents[3].name == "models" else []


def study_rows(study: StudyFiles, table: Table[Row], folder: str = "") -> tuple[Row, ...]:
    """Return the lines of a study's table, none where there is no file.

    folder : of the study's folder. Read once for all pages while the file stays the same.
    """
    path = study.folder / folder / table.file
    return _read(table, path, path.stat().st_mtime_ns) if path.is_file() else ()


@lru_cache(maxsize=4)
def _read(table: Table[Row], path: Path, changed: int) -> tuple[Row, ...]:
    return tuple(table.read(path))


def true_class(origin: ModelStudy, sources: Sources, session: str) -> TrueClass | None:
    """Return a scan's true class and the table it is from; ``None`` where there is none.

    Of the study's own dataset from its ``cohort.tsv``, else from the raw dataset's tables, if the
    study's column is there and names one of its classes. session : label, empty without one
    """
    study, person = origin.study, f"sub-{sources.participant}"
    visit = f"ses-{session}" if session else None
    for scan in study_rows(study, COHORT) if origin.same else ():
        same = (scan.participant_id, scan.session_id) == (person, visit)
        if same and scan.class_name in study.names:
            return TrueClass(scan.class_name, f"cohort.tsv of the study {study.name}")
    target = study.settings.target
    column, of_sessions = target.column, target.table == "sessions"
    if sources.bids_dir is None or not column:
        return None
    path, key, label = sources.bids_dir / "participants.tsv", "participant_id", person
    if of_sessions:
        path, key, label = sessions_file(sources.bids_dir, person), "session_id", visit or "n/a"
    for row in _user_rows(path):
        name = row.get(column) or ""
        if (row.get(key) or "") in (label, label[4:]) and name in study.names:
            return TrueClass(name, f"{path.name}, column {column}")
    return None


def _user_rows(path: Path) -> list[dict[str, str]]:
    """The lines of a table of the user's, none where there is none or it cannot be read."""
    if not path.is_file():
        return []
    try:
        return [row for _, row in read_user_table(path).rows]
    except BadDataError as error:
        LOG.warning("the true class is not shown: %s", error)
        return []


def outcome_words(truth: str, predicted: str, classes: tuple[str, ...], positive: str) -> str:
    """``right``, ``wrong``, of two classes with TP, FP, TN or FN."""
    right = truth == predicted
    word = "right" if right else "wrong"
    if len(classes) != 2:
        return word
    return f"{word} ({'T' if right else 'F'}{'P' if predicted == positive else 'N'})"


def calibration_words(origin: ModelStudy, configuration: str, participant: str, p: float) -> str:
    """Say how often test scans with a probability in the same tenth were of the positive class.

    p : probability of the positive class. Scans of a participant of the same label do not count.
    """
    predictions = study_rows(origin.study, PREDICTIONS)
    if not predictions:
        return (
            f"How often such a probability is right is not known: "
            f"group/{origin.study.name}/predictions.tsv is missing."
        )
    others = _other_scans(predictions, configuration, participant)
    tenth = _tenth(p)
    near = [row for row in others if _tenth(row.probability) == tenth]
    positive = origin.study.classes[1]
    interval = f"from {tenth / _TENTHS:.1f} to {(tenth + 1) / _TENTHS:.1f}"
    scans = (
        f"{plural(len(near), 'test scan')} of other participants with a probability of {positive} "
        f"{interval} (configuration {configuration}, networks of all splits)"
    )
    if len(near) < FEWEST:
        return (
            f"The study has only {scans}, fewer than {FEWEST}: how often such a probability "
            "is right cannot be estimated."
        )
    hits, all_hits = (sum(row.true_class == positive for row in rows) for rows in (near, others))
    return (
        f"Of {scans}, {hits} were {positive}; of all {len(others)} test scans, "
        f"{all_hits}. A scan tested in several splits counts each time. In a population where "
        f"{positive} is rarer, {positive} is also rarer among scans with this probability."
    )


def _other_scans(
    predictions: Sequence[Prediction], configuration: str, participant: str
) -> list[Prediction]:
    """The test scans of other participants, each once a split: a scan has a line a method."""
    rows = [
        row
        for row in predictions
        if row.configuration == configuration and row.participant_id != f"sub-{participant}"
    ]
    return [row for row in rows if row.method == rows[0].method]


def _tenth(p: float) -> int:
    return min(int(p * _TENTHS + _ROUNDING), _TENTHS - 1) if p == p else -1
