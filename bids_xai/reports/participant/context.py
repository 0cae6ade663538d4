"""What stands around a prediction: the study of its model, the true class, other test scans."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from bids_xai.bids.names import SCAN_ENTITIES, file_name
from bids_xai.bids.session_times import sessions_file
from bids_xai.reports.participant.text_tables import read_table
from bids_xai.reports.study_files import Study
from bids_xai.tables.numbers import MISSING, plural, read_object

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
class Origin:
    """The study of a model, as it stands in the output folder where it was trained.

    same : that folder is the page's own, so that participants of one label are one person
    trained : labels of those who trained the model or chose its weights
    """

    study: Study
    same: bool
    trained: tuple[str, ...]


def card_of(folder: Path, entities: Mapping[str, str]) -> dict[str, Any]:
    """Return the model's card from the sidecar of a scan's prediction, empty where there is none.

    entities : of any product of that model for that scan
    """
    kept = {key: entities[key] for key in (*SCAN_ENTITIES, "model") if key in entities}
    card = read_object(folder / file_name(kept, "prediction", ".json")).get("Model")
    return dict(card) if isinstance(card, dict) else {}


def origin_of(card: Mapping[str, Any], sources: Sources) -> Origin | None:
    """Return the study a card belongs to, ``None`` where its output folder is not at hand.

    The output folder is found from the model of the run, else it is the page's own. It counts
    where the model of that name in it has the weights that the card names.
    """
    names = [str(card.get(key, "")) for key in ("study", "configuration", "split")]
    weights = card.get("weights_sha256")
    if not all(names) or not weights:
        return None
    own = sources.output_dir.resolve()
    for root in dict.fromkeys((*_root_of(sources.model), own)):
        found = read_object(
            root / "models" / names[0] / names[1] / f"split-{names[2]}" / "model.json"
        )
        if found.get("weights_sha256") == weights:
            trained = tuple(str(name) for name in found.get("training_participants", ()))
            return Origin(Study.at(root, names[0]), root == own, trained)
    return None


def _root_of(model: Path | None) -> list[Path]:
    """The output folder of ``models/<study>/<configuration>/split-k``, from there upwards."""
    if model is None:
        return []
    path = model.resolve()
    parents = [path, *path.parents][1 if path.suffix == ".json" else 0 :]
    return [parents[4]] if len(parents) > 4 and parents[3].name == "models" else []


def cohort_table(study: Study, name: str) -> Any:
    """Return a table of a study's folder; read once for all pages while it stays the same."""
    path = study.folder / name
    return _read(path, path.stat().st_mtime_ns) if path.is_file() else None


@lru_cache(maxsize=4)
def _read(path: Path, changed: int) -> Any:
    return read_table(path)


def true_class(origin: Origin, sources: Sources, session: str) -> tuple[str, str] | None:
    """Return a scan's true class and the table it is from; ``None`` where it is not known.

    Of the study's own dataset from its ``cohort.tsv``, else from the raw dataset's tables, if the
    study's column is there and names one of its classes. session : label, empty without one
    """
    person = f"sub-{sources.participant}"
    visit = f"ses-{session}" if session else MISSING
    cohort = read_table(origin.study.folder / "cohort.tsv") if origin.same else None
    if cohort is not None:
        mine = cohort[(cohort["participant_id"] == person) & (cohort["session_id"] == visit)]
        known = [name for name in mine["class"] if name in origin.study.names]
        if known:
            return str(known[0]), f"cohort.tsv of the study {origin.study.name}"
    target = origin.study.settings.target
    column, of_sessions = target.column, target.table == "sessions"
    if sources.bids_dir is None or not column:
        return None
    path, key, wanted = sources.bids_dir / "participants.tsv", "participant_id", person
    if of_sessions:
        path, key, wanted = sessions_file(sources.bids_dir, person), "session_id", visit
    for row in _rows(path):
        label = row.get(key) or ""
        if label in (wanted, wanted[4:]) and row.get(column) in origin.study.names:
            return str(row[column]), f"{path.name}, column {column}"
    return None


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return list(csv.DictReader(stream, delimiter="\t"))
    except (UnicodeDecodeError, csv.Error):
        return []


def outcome_words(truth: str, said: str, classes: tuple[str, ...], positive: str) -> str:
    """``right``, ``wrong``, of two classes with TP, FP, TN or FN."""
    right = truth == said
    word = "right" if right else "wrong"
    if len(classes) != 2:
        return word
    return f"{word} ({'T' if right else 'F'}{'P' if said == positive else 'N'})"


def calibration_words(origin: Origin, configuration: str, participant: str, p: float) -> str:
    """Say how often test scans with a probability in the same tenth were of the positive class.

    p : probability of the positive class. Scans of a participant of the same label do not count.
    """
    table = cohort_table(origin.study, "predictions.tsv")
    if table is None:
        return (
            f"How often such a probability is right is not known: "
            f"group/{origin.study.name}/predictions.tsv is missing."
        )
    mine = table[
        (table["configuration"] == configuration)
        & (table["participant_id"] != f"sub-{participant}")
    ]
    if "method" in mine.columns and len(mine):  # a scan has a line for each
        mine = mine[mine["method"] == mine["method"].iloc[0]]
    tenth = _tenth(p)
    near = mine[[_tenth(value) == tenth for value in mine["probability"]]]
    positive = origin.study.classes[1]
    place = f"from {tenth / _TENTHS:.1f} to {(tenth + 1) / _TENTHS:.1f}"
    about = (
        f"{plural(len(near), 'test scan')} of other participants with a probability of {positive} "
        f"{place} (configuration {configuration}, networks of all splits)"
    )
    if len(near) < FEWEST:
        return (
            f"The study has only {about}, fewer than {FEWEST}: how often such a probability is "
            "right cannot be said."
        )
    hits, all_hits = (int((part["true_class"] == positive).sum()) for part in (near, mine))
    return (
        f"Of {about}, {hits} were {positive}; of all {len(mine)} test scans, "
        f"{all_hits}. A scan that several splits tested counts each time. In a population where "
        f"{positive} is rarer, {positive} is also rarer among scans with this probability."
    )


def _tenth(p: float) -> int:
    return min(int(p * _TENTHS + _ROUNDING), _TENTHS - 1) if p == p else -1
