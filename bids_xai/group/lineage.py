"""Whose a model or a heatmap is: nobody is tested by a network that has seen them.

A run may ask for later steps alone (``--steps explain``) after the cohort, its splits or the study
have changed. What earlier steps left is then another cohort's, and is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bids_xai.bids.integrity import check_intact
from bids_xai.bids.stamps import read_stamp, stamped_digest
from bids_xai.core.cohort.splits import split_hash
from bids_xai.errors import BadDataError
from bids_xai.group.scans import Scan
from bids_xai.models.card import CARD, WEIGHTS, ModelCard, model_files
from bids_xai.runtime.digests import sha256_of
from bids_xai.studies.tables import Target
from bids_xai.tables.predictions import Prediction

MODEL_KEY = "weights_sha256"
"""Under which the stamp of heatmaps names the weights that made them."""

_RETRAIN = "run --steps train, which trains again what has changed"


def check_model(
    folder: Path, members: Mapping[str, str], tested: Iterable[Scan], target: Target
) -> None:
    """Raise :class:`BadDataError` for a model that is damaged or not of this split.

    So it does for one that has seen who is tested.
    folder : of the model; members : participant label → set, of its split as it is now
    tested : the scans it is to be asked about; target : the classes of the study
    """
    file = folder / CARD
    check_intact(model_files(folder))
    card = ModelCard.from_json(file.read_text(encoding="utf-8"), file)
    seen = sorted({scan.participant for scan in tested} & set(card.training_participants))
    if seen:
        raise BadDataError(
            f"sub-{seen[0]}{_and_others(seen)} would be tested by a model that has seen them in "
            "training or validation: the splits have changed since",
            file=file,
            fix=_RETRAIN,
        )
    if card.classes != target.names or card.positive != target.positive_name:
        raise BadDataError(
            f"the model was trained on the classes {', '.join(card.classes)} "
            f"(positive: {card.positive}), the study has {', '.join(target.names)} "
            f"(positive: {target.positive_name})",
            file=file,
            fix=_RETRAIN,
        )
    if card.split_hash != split_hash(members):
        raise BadDataError(
            "the model was trained on another split of the cohort", file=file, fix=_RETRAIN
        )


def check_stamp(title: str, stamp: Path, digest: str) -> None:
    """Raise :class:`BadDataError` where a training is of other data or settings than the study's.

    title, stamp, digest : of the training as it would be done now
    One without a stamp, such as a model that was copied without it, is not refused.
    """
    stamped = stamped_digest(stamp)
    if stamped is not None and stamped != digest:
        raise BadDataError(
            f"{title}: the maps, the settings of the study, the random seed or the version of "
            "the program have changed since",
            file=stamp.parent,
            fix=_RETRAIN,
        )


def check_heatmaps(title: str, stamp: Path, model_folder: Path) -> None:
    """Raise :class:`BadDataError` where heatmaps were made by another model than the one there.

    title : of configuration and split; stamp : of the heatmaps; model_folder : of the network now
    Heatmaps without a stamp, and those whose model was removed, are not refused.
    """
    weights = model_folder / WEIGHTS
    stamped = read_stamp(stamp).get(MODEL_KEY)
    if stamped and weights.is_file() and sha256_of(weights) != stamped:
        raise BadDataError(
            f"the heatmaps of {title} were made by another model than the one in {model_folder}: "
            "it was trained again since",
            file=stamp.parent,
            fix="run --steps explain, which explains again what has changed",
        )


def check_predictions(
    rows: Sequence[Prediction],
    splits: Sequence[Mapping[str, str]],
    scans: Iterable[Scan],
    file: Path,
) -> None:
    """Raise :class:`BadDataError` for a prediction that is not of this cohort and its splits.

    splits : participant label → set, of each split; scans : of the cohort; file : of the rows
    A scan that is not in the cohort any more is not looked at here.
    """
    classes = {(scan.participant_id, scan.session_id): scan.class_name for scan in scans}
    for row in rows:
        label = row.participant_id.removeprefix("sub-")
        now = splits[row.split].get(label) if row.split < len(splits) else None
        if now != row.set_name:
            raise BadDataError(
                f"{row.participant_id} is among the predictions of split {row.split}, but is "
                f"{f'in its {now} set' if now else 'not in it'} now: the splits have changed since",
                file=file,
                fix="run --steps train explain again",
            )
        class_now = classes.get((row.participant_id, row.session_id), row.true_class)
        if class_now != row.true_class:
            raise BadDataError(
                f"the class of {row.participant_id} is {class_now} now, and was "
                f"{row.true_class} at the time of the prediction",
                file=file,
                fix="run --steps train explain again",
            )


def _and_others(labels: Sequence[str]) -> str:
    return f" and {len(labels) - 1} more" if len(labels) > 1 else ""
