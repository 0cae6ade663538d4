"""What a training starts from: the study as its configuration sees it, a split, and its scans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bids_xai.bids.stamps import STAMP
from bids_xai.core.cohort.splits import split_hash
from bids_xai.group.scans import Scan
from bids_xai.group.train.transfer import start_folder
from bids_xai.group.units import Unit
from bids_xai.models.card import WEIGHTS
from bids_xai.runtime.free_memory import free_bytes
from bids_xai.studies.tables import Configuration, Study

if TYPE_CHECKING:
    import torch

_TABLES = ("input", "model", "training", "target", "search")
"""Tables of a study that decide on what a network learns."""


@dataclass(frozen=True)
class Resources:
    """What trainings run on.

    cache : folder of the study's volumes; device : where the networks run
    n_threads : of each process; tensorboard : whether curves are written for it
    memory_bytes : what a step may take; None: what is free
    """

    cache: Path
    device: torch.device
    n_threads: int
    tensorboard: bool
    memory_bytes: int | None = None

    @property
    def free_bytes(self) -> int | None:
        """What a step may take: as the user says, else what is free; None where nobody knows."""
        return free_bytes(self.device) if self.memory_bytes is None else self.memory_bytes


@dataclass(frozen=True)
class SplitTraining:
    """A network to be trained: of a configuration, on a split.

    study : as the configuration sees it; template : empty where there is none
    members : participant label → set; scans : all of the study, with the configuration's files
    shape : of the network's input, in voxels
    folder : where the model goes; models_folder : where those of all studies lie
    seed : of the run
    """

    study: Study
    template: str
    configuration: Configuration
    split: int
    members: Mapping[str, str]
    scans: tuple[Scan, ...]
    shape: tuple[int, int, int]
    folder: Path
    models_folder: Path
    seed: int

    @property
    def title(self) -> str:
        """``A, split 0``."""
        return f"{self.configuration.id}, split {self.split}"

    @property
    def card_file(self) -> Path:
        """The card of the model."""
        return self.folder / "model.json"

    def of_set(self, name: str) -> list[Scan]:
        """Return the scans of a set."""
        return [scan for scan in self.scans if self.members[scan.participant] == name]

    @property
    def weight_seed(self) -> int:
        """Initial weights differ between splits and are shared by the configurations of a split."""
        return 1000 * self.seed + self.split

    @property
    def start_folder(self) -> Path | None:
        """Folder of the model that training starts from; see :func:`start_folder`."""
        return start_folder(self.study.training.transfer, self.models_folder, self.split)

    def unit(self) -> Unit:
        """Return the training as a unit of work: with everything that a trained model depends on.

        Raises :class:`NoInputError` where there is no model that it can start from.
        """
        study = self.study.as_plain()
        files = [file for scan in self.scans for file in (scan.map_file, scan.mask_file)]
        start = self.start_folder
        if start is not None:
            files.append(start / WEIGHTS)
        guided = self.configuration.relevance_guided
        return Unit(
            f"training {self.title}",
            self.folder / STAMP,
            tuple(files),
            {
                **{key: study[key] for key in _TABLES},
                "configuration": [self.configuration.skull_strip, guided],
                "split": self.split,
                "members": split_hash(self.members),
                "classes": {scan.name: scan.class_name for scan in self.scans},
                "shape": self.shape,
                "seed": self.seed,
            },
            root=self.folder,
            keeps_checkpoint=True,
            step="train",
        )
