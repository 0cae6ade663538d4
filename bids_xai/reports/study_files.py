"""One study on disk: where its tables are, and what to say about those that are missing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids_xai.bids import problems
from bids_xai.bids.names import label_of
from bids_xai.reports.blocks import Block, Section, Text
from bids_xai.reports.bounds import bounded
from bids_xai.reports.study_description import ConfigurationDescription, StudyDescription
from bids_xai.studies import tables
from bids_xai.tables.predictions import PERFORMANCE_SUMMARY, PREDICTIONS
from bids_xai.tables.table import Row, Table
from bids_xai.tables.training import TRAINING, EpochRecord

_NO_SETTINGS = tables.Study(name="", target=tables.Target(""), configurations=())
_SCHEMES = {"random": "random splits", "kfold": "folds"}


@dataclass(frozen=True)
class StudyFiles:
    """The files of a study, and what its ``study.json`` says (empty where there is none)."""

    output_dir: Path
    name: str
    description: StudyDescription

    @classmethod
    def at(cls, output_dir: Path, name: str) -> StudyFiles:
        """Open the study of an output folder. Raises as :meth:`StudyDescription.read`."""
        file = output_dir / "group" / name / "study.json"
        return cls(output_dir, name, StudyDescription.read(file))

    @property
    def folder(self) -> Path:
        """Where the group steps write."""
        return self.output_dir / "group" / self.name

    @property
    def models(self) -> Path:
        """Where the training writes."""
        return self.output_dir / "models" / self.name

    @property
    def has_classes(self) -> bool:
        """Whether ``study.json`` names the classes."""
        return len(self.description.classes) >= 2

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all classes, in the order of the network's outputs."""
        return self.description.classes if self.has_classes else ("negative", "positive")

    @property
    def classes(self) -> tuple[str, str]:
        """Names of the negative class (``others`` where there are several) and the positive one."""
        positive = self.description.positive or self.names[-1]
        others = [name for name in self.names if name != positive]
        return (others[0] if len(others) == 1 else "others", positive)

    @property
    def settings(self) -> tables.Study:
        """All settings of the study, their defaults where they are not recorded."""
        return self.description.settings or _NO_SETTINGS

    @property
    def configurations(self) -> Sequence[ConfigurationDescription]:
        """The configurations in the order of the study.

        Without a study file: those trained, else those that made predictions.
        """
        if self.description.configurations:
            return self.description.configurations
        names = sorted(path.name for path in self.models.glob("*") if path.is_dir())
        if not names:
            names = sorted({row.configuration for row in self.rows(PREDICTIONS)})
        return [ConfigurationDescription(id=name) for name in names]

    @property
    def identifiers(self) -> list[str]:
        """The ids of the configurations."""
        return [configuration.id for configuration in self.configurations]

    def rows(self, table: Table[Row], folder: str = "") -> list[Row]:
        """Return the lines of a table, none where it is missing; folder : of the study's folder.

        Raises as :meth:`Table.read`.
        """
        return table.read_if_written(self.folder / folder / table.file)

    def training(self) -> dict[str, list[list[EpochRecord]]]:
        """Return the trainings: configuration → epochs of each split, in the splits' order."""
        runs = {}
        for identifier in self.identifiers:
            files = self.training_files(identifier, TRAINING)
            runs[identifier] = [epochs for file in files if (epochs := TRAINING.read(file))]
        return {identifier: splits for identifier, splits in runs.items() if splits}

    def training_files(self, identifier: str, table: Table[Any]) -> list[Path]:
        """Return the files of a table that trainings of a configuration wrote, by split."""
        files = (self.models / identifier).glob(f"split-*/{table.file}")
        return sorted(files, key=lambda file: natural(file.parent.name))

    def missing(self, table: Table[Any], folder: str = "") -> Text:
        """Return the remark that a table is not there, and how to get it."""
        return self.missing_file("/".join(filter(None, (folder, table.file))), table.step)

    def missing_file(self, name: str, step: str) -> Text:
        """Return the remark that a file of the study's folder is not there, and how to get it."""
        text = (
            f"Not available: group/{self.name}/{name} does not exist or is empty. "
            f"The step “{step}” writes it (--steps {step})."
        )
        return Text(text, "note")

    def is_positive(self, group: str) -> bool:
        """Whether a name is that of the positive class, as such or as a BIDS label."""
        return group in (self.classes[1], label_of(self.classes[1]))


@dataclass(frozen=True)
class SectionMaker:
    """A section of the group page: its title stands before, and without, what it shows.

    folder : of the study's folder, where the files lie that it shows
    """

    title: str
    folder: str
    blocks: Callable[[StudyFiles], Iterable[Block]]

    @property
    def anchor(self) -> str:
        """The id that links lead to."""
        return Section(self.title, ()).anchor

    def __call__(self, study: StudyFiles) -> Section:
        """Return the section of a study, bounded; raises what the reading of its files raises."""
        where = "/".join(part for part in ("group", study.name, self.folder) if part)
        return Section(self.title, tuple(bounded(self.blocks(study), where)))


def section(
    title: str, folder: str = ""
) -> Callable[[Callable[[StudyFiles], Iterable[Block]]], SectionMaker]:
    """Make a function that returns blocks a :class:`SectionMaker`; a decorator."""
    return lambda blocks: SectionMaker(title, folder, blocks)


def problems_file(output_dir: Path, study: str) -> Path:
    """Where the steps of a study keep what failed."""
    return output_dir / "group" / study / problems.NAME


def natural(text: str) -> tuple[tuple[int, str], ...]:
    """Return a sort key that puts ``split-2`` before ``split-10``."""
    parts = re.findall(r"\d+|\D+", text)
    return tuple((int(p), "") if p.isdigit() else (-1, p) for p in parts)


def baselines(study: StudyFiles) -> dict[str, tables.Baseline | None]:
    """Return what is compared with the configurations without being one: id → its settings.

    Those of the study file, then those that only the tables have (None).
    """
    listed = {baseline.id: baseline for baseline in study.settings.baselines}
    named = dict.fromkeys(row.configuration for row in study.rows(PERFORMANCE_SUMMARY))
    others = {name: None for name in named if name not in (*listed, *study.identifiers)}
    return {**listed, **others}


def split_words(study: StudyFiles, n: int) -> str:
    """``10 random splits``, ``5 folds``, ``50 trainings on random splits, 5 on each``."""
    splits = study.settings.splits
    kind, each = _SCHEMES.get(splits.scheme, "splits"), splits.repetitions
    return f"{n} trainings on {kind}, {each} on each" if each > 1 else f"{n} {kind}"


def titles_of(study: StudyFiles) -> dict[str, str]:
    """Id → ``Configuration A`` or ``Baseline svm``, in the order of the page."""
    titles = {name: f"Configuration {name}" for name in study.identifiers}
    return titles | {name: f"Baseline {name}" for name in baselines(study)}
