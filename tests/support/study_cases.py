"""Output folders with what the group steps write, and the blocks of the sections made from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from prediction_rows import write_performance_of
from study_tables import write_rows

from bids_xai.bids.files import write_json
from bids_xai.core.cohort import balance
from bids_xai.group.context import GroupContext
from bids_xai.group.study_file import add_to_study, write_study
from bids_xai.reports.blocks import Items, Picture, Section, Subheading, TableBlock, Text
from bids_xai.reports.study_description import StudyDescription
from bids_xai.reports.study_files import StudyFiles
from bids_xai.settings import RunSettings
from bids_xai.studies.schema import load_study
from bids_xai.studies.tables import Baseline, Target
from bids_xai.tables.cohort import BALANCE, COHORT

Row = dict[str, Any]

NAME = "tiny"
TWO, THREE = ("NC", "AD"), ("NC", "MCI", "AD")
BASELINES = (Baseline("svm", "volume", "linear", 40), Baseline("nuclei", "regions", "rbf"))
_SHARP = {"A": 0.2, "B": 1.8, "C": 1.6, "svm": 1.4, "nuclei": 0.8}


class StudyCase:
    """An output folder with what the group steps write about predictions."""

    def __init__(self, out: Path, names: Sequence[str] = TWO, **tables: Any) -> None:
        target = Target("diagnosis", classes=tuple(names), positive="AD")
        study = dataclasses.replace(load_study("quick"), name=NAME, target=target, **tables)
        self.context = GroupContext(RunSettings(out / "raw", out, "group"), study, "")
        self.folder = self.context.folder
        plain = study.as_plain()
        write_json(
            self.folder / "study.json",
            {
                "classes": list(names),
                "positive": "AD",
                "settings": plain,
                "configurations": plain["configurations"],
            },
        )

    @property
    def study(self) -> StudyFiles:
        return StudyFiles.at(self.context.output_dir, NAME)

    def scans(self, identifier: str, split: int, n: int = 18) -> list[Row]:
        """Predictions of a test set, better for some configurations than for others."""
        names = self.context.study.target.names
        rng = np.random.default_rng((split, list(_SHARP).index(identifier)))
        rows = []
        for i in range(n):
            truth = i % len(names)
            score = rng.normal(size=len(names))
            score[truth] += _SHARP[identifier]
            p = np.exp(score) / np.exp(score).sum()
            rows.append(
                {
                    "configuration": identifier,
                    "split": split,
                    "method": "lrp-zplus",
                    "participant_id": f"sub-{split}{i:02d}",
                    "session_id": "n/a",
                    "true_class": names[truth],
                    "predicted_class": names[int(p.argmax())],
                    "probability": float(p[names.index("AD")]),
                    **{f"probability_{c}": float(q) for c, q in zip(names, p, strict=True)},
                }
            )
        return rows

    def train(self, identifier: str, split: int, epochs: int, seconds: float) -> None:
        card = self.context.model_folder(identifier, split) / "model.json"
        write_json(card, {"metrics": {"epochs": epochs, "seconds": seconds}})

    def perform(self, ids: Sequence[str], splits: int = 3) -> StudyCase:
        rows = [row for name, k in product(ids, range(splits)) for row in self.scans(name, k)]
        return self.write_performance(rows)

    def write_performance(self, rows: Sequence[Row]) -> StudyCase:
        write_performance_of(self.context, rows)
        return self

    def people(self, reasons: Sequence[str | None]) -> None:
        """A cohort of one scan a participant, two of the first; ``-`` has no scan."""
        rows = [
            {
                "participant_id": f"sub-{i:02d}",
                "session_id": "n/a" if reason == "-" else "ses-1",
                "class": TWO[i % 2],
                "included": reason is None,
                "reason": "no input map among the derivatives" if reason == "-" else reason,
                "map": None if reason == "-" else f"sub-{i:02d}_R2starmap.nii.gz",
            }
            for i, reason in enumerate(reasons)
        ]
        more = {"included": True, "reason": None, "session_id": "ses-2"}
        write_rows(COHORT, self.folder, [*rows, rows[0] | more])

    def matched(self) -> tuple[np.ndarray, np.ndarray, list[int]]:
        """A balance table of 40 participants of whom 20 are kept."""
        rng = np.random.default_rng(3)
        treated = np.arange(40) % 2 == 1
        age = rng.normal(68, 6, 40) + 5 * treated
        volume = rng.normal(1400, 130, 40)
        men = (rng.random(40) < 0.3 + 0.4 * treated).astype(float)
        after = [int(i) for i in np.argsort(np.abs(age - 70))[:20]]
        names = ["age", "volume", "sex=M", "constant"]
        table = np.stack([age, volume, men, np.ones(40)], axis=1)
        rows = [dataclasses.asdict(row) for row in balance(table, names, treated, after)]
        write_rows(BALANCE, self.folder, rows)
        return treated, age, after


def described(name: str, out: Path) -> StudyFiles:
    """A study of the package whose ``study.json`` alone is written."""
    context = GroupContext(RunSettings(out, out, "group"), load_study(name), "T")
    write_study(context.folder, context.study, template="T", seed=0, sloppy=False)
    add_to_study(context.folder, versions={"bids_xai": "1.2", "torch": "2.7"})
    return StudyFiles.at(out, name)


def changed(study: StudyFiles, **plain: Any) -> StudyFiles:
    """The study with another description, of plain values as ``study.json`` has them."""
    description = dataclasses.replace(
        study.description,
        **{key: getattr(StudyDescription.from_plain(plain), key) for key in plain},
    )
    return dataclasses.replace(study, description=description)


def of_kind(section: Section, kind: type[Any]) -> list[Any]:
    return [block for block in section.blocks if isinstance(block, kind)]


def texts(section: Section) -> Iterator[str]:
    for block in section.blocks:
        if isinstance(block, Text):
            yield block.text
        elif isinstance(block, Items):
            yield from block.items


def paragraphs(section: Section) -> str:
    """The paragraphs of a section, a line each."""
    return "\n".join(str(block.text) for block in section.blocks if isinstance(block, Text))


def plain(cell: str) -> str:
    """A cell as it reads."""
    return Markup(cell).striptags().replace("\N{NO-BREAK SPACE}", " ")


def cells(table: TableBlock) -> dict[str, dict[str, str]]:
    """Line → column → cell."""
    return {
        row[0]: dict(zip(table.header[1:], map(plain, row[1:]), strict=True)) for row in table.rows
    }


def headings_and_captions(section: Section) -> str:
    """What stands in words around the cells of a section."""
    words = [b.text for b in section.blocks if isinstance(b, (Text, Subheading))]
    words += [b.caption for b in section.blocks if isinstance(b, (TableBlock, Picture))]
    return " ".join(words)
