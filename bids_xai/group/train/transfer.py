"""Where a training takes its first weights from, and whose scans these have seen."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from bids_xai.errors import NoInputError
from bids_xai.group.context import LOG
from bids_xai.studies.tables import Transfer

if TYPE_CHECKING:
    from torch import nn


def start_folder(transfer: Transfer | None, models_folder: Path, split: int) -> Path | None:
    """Return the folder of the model that a training starts from, ``None`` for random weights.

    models_folder : ``models``, with a folder a study in it
    Of a study with several splits the model of the same split counts, else that of the first.
    Raises :class:`NoInputError` where there is no such model.
    """
    if transfer is None:
        return None
    trained = models_folder / transfer.model
    candidates = (trained / f"split-{split}", trained / "split-0", trained, Path(transfer.model))
    for folder in candidates:
        if (folder / "model.json").is_file():
            return folder
    raise NoInputError(
        f"no trained model '{transfer.model}' to start from",
        file=trained,
        fix="train that study first, or give the folder of a model as training.transfer.model",
    )


def take_over(
    model: nn.Module, folder: Path, layers: tuple[str, ...], tested: Iterable[str], title: str
) -> tuple[str, ...]:
    """Put in the weights to start from; return the participants that these have seen.

    model : changed in place; folder : of the model to start from; layers : none for all
    tested : labels of the participants who will be tested; title : of the training, for the log
    Raises :class:`BadDataError` where one of them is to be tested.
    """
    from bids_xai.training.transfer import check_disjoint, load_pretrained

    pretrained = load_pretrained(model, folder, layers=layers)
    participants = pretrained.card.training_participants
    check_disjoint(participants, set(tested))
    LOG.info("training %s: starts from %s (%d tensors)", title, folder, len(pretrained.copied))
    return participants
