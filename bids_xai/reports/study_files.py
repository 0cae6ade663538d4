"""One study on disk: where its tables are, and what to say about those that are missing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids_xai.bids import problems
from bids_xai.bids.names import label_of
from bids_xai.reports.blocks import Block, Section, Text
from bids_xai.reports.bounds import bounded
from bids_xai.tables.numbers import KINDS, read_object, read_table

SETS = ("train", "validation", "test")
_TRUE = {"true", "1", "yes"}


@dataclass(frozen=True)
class Study:
    """The files of a study, and what its ``study.json`` says (empty where there is none)."""

    output_dir: Path
    name: str
    description: dict[str, Any]

    @classmethod
    def at(cls, output_dir: Path, name: str) -> Study:
        """Open the study of an output folder."""
        return cls(output_dir, name, read_object(output_dir / "group" / name / "study.json"))

    @property
    def folder(self) -> Path:
        """Where the group steps write."""
        return self.output_dir / "group" / self.name

    @property
    def models(self) -> Path:
        """Where the training writes."""
        return self.output_dir / "models" / self.name

    @property
    def knows_classes(self) -> bool:
        """Whether ``study.json`` names the classes."""
        return len(self.description.get("classes", [])) >= 2

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all classes, in the order of the network's outputs."""
        names = tuple(str(c) for c in self.description.get("classes", []))
        return names if self.knows_classes else ("negative", "positive")

    @property
    def classes(self) -> tuple[str, str]:
        """Names of the negative class (``others`` where there are several) and the positive one."""
        positive = str(self.description.get("positive") or self.names[-1])
        others = [name for name in self.names if name != positive]
        return (others[0] if len(others) == 1 else "others", positive)

    def settings(self, table: str) -> dict[str, Any]:
        """A table of the study's settings, empty where they are not recorded."""
        found = self.description.get("settings", {}).get(table)
        return dict(found) if isinstance(found, dict) else {}

    @property
    def configurations(self) -> list[dict[str, Any]]:
        """The configurations with their ``id``, in the order of the study.

        Without a study file: those trained, else those that made predictions.
        """
        listed = self.description.get("configurations", [])
        if listed:
            return [dict(c) for c in listed]
        found = sorted(p.name for p in self.models.glob("*") if p.is_dir())
        if not found:
            table = self.table("predictions.tsv")
            found = [] if table is None else sorted(table["configuration"].unique())
        return [{"id": name} for name in found]

    @property
    def identifiers(self) -> list[str]:
        """The ids of the configurations."""
        return [str(c.get("id", "")) for c in self.configurations]

    def table(self, name: str) -> Any:
        """Return a table of the study's folder, ``None`` where it is missing or empty."""
        return read_table(self.folder / name)

    def included(self) -> Any:
        """Return the cohort's scans that were used; ``None`` without a cohort."""
        cohort = self.table("cohort.tsv")
        return None if cohort is None else cohort[cohort["included"].str.lower().isin(_TRUE)]

    def excluded(self) -> Any:
        """Return the cohort's scans that were not used; ``None`` without a cohort."""
        cohort = self.table("cohort.tsv")
        return None if cohort is None else cohort[~cohort["included"].str.lower().isin(_TRUE)]

    def training(self) -> dict[str, list[Any]]:
        """Return the training tables: configuration → one a split, in the splits' order."""
        runs: dict[str, list[Any]] = {}
        for identifier in self.identifiers:
            files = (self.models / identifier).glob("split-*/training.tsv")
            tables = [read_table(f) for f in sorted(files, key=lambda f: natural(f.parent.name))]
            if any(t is not None for t in tables):
                runs[identifier] = [t for t in tables if t is not None]
        return runs

    def missing(self, name: str, step: str | None = None) -> Text:
        """Return the remark that a file of the study's folder is not there, and how to get it."""
        step = step or KINDS[name.rpartition("/")[2]].step
        text = (
            f"Not available: group/{self.name}/{name} does not exist or has no lines. "
            f"The step “{step}” makes it (--steps {step})."
        )
        return Text(text, "note")

    def is_positive(self, group: str) -> bool:
        """Whether a name is that of the positive class, as such or as a BIDS label."""
        return group in (self.classes[1], label_of(self.classes[1]))


@dataclass(frozen=True)
class SectionMaker:
    """A section of the group page: its title is known before, and without, what it shows.

    folder : of the study's folder, where the files lie that it shows
    """

    title: str
    folder: str
    blocks: Callable[[Study], Iterable[Block]]

    @property
    def anchor(self) -> str:
        """The id that links lead to."""
        return Section(self.title, ()).anchor

    def __call__(self, study: Study) -> Section:
        """Return the section of a study, bounded; raises what the reading of its files raises."""
        where = "/".join(part for part in ("group", study.name, self.folder) if part)
        return Section(self.title, tuple(bounded(self.blocks(study), where)))


def section(
    title: str, folder: str = ""
) -> Callable[[Callable[[Study], Iterable[Block]]], SectionMaker]:
    """Make a function that returns blocks a :class:`SectionMaker`; a decorator."""
    return lambda blocks: SectionMaker(title, folder, blocks)


def problems_file(output_dir: Path, study: str) -> Path:
    """Where the steps of a study keep what failed."""
    return output_dir / "group" / study / problems.NAME


def natural(text: str) -> tuple[tuple[int, str], ...]:
    """Return a sort key that puts ``split-2`` before ``split-10``."""
    parts = re.findall(r"\d+|\D+", text)
    return tuple((int(p), "") if p.isdigit() else (-1, p) for p in parts)


_SCHEMES = {"random": "random splits", "kfold": "folds"}


def baselines(study: Study) -> dict[str, Mapping[str, Any]]:
    """Return what is compared with the configurations without being one: id → its description.

    Those of the study file, then those that only the tables know (with an empty description).
    """
    listed = study.description.get("settings", {}).get("baselines", [])
    found: dict[str, Mapping[str, Any]] = {str(one["id"]): one for one in listed}
    table = study.table("performance_summary.tsv")
    named = [] if table is None else list(table["configuration"].unique())
    return found | {
        str(name): {} for name in named if name not in found and name not in study.identifiers
    }


def split_words(study: Study, n: int) -> str:
    """``10 random splits``, ``5 folds``, ``50 trainings on random splits, 5 on each``."""
    splits = study.settings("splits")
    kind = _SCHEMES.get(str(splits.get("scheme", "random")), "splits")
    each = int(splits.get("repetitions", 1))
    return f"{n} trainings on {kind}, {each} on each" if each > 1 else f"{n} {kind}"


def titles_of(study: Study) -> dict[str, str]:
    """Id → ``Configuration A`` or ``Baseline svm``, in the order of the page."""
    titles = {name: f"Configuration {name}" for name in study.identifiers}
    return titles | {name: f"Baseline {name}" for name in baselines(study)}
