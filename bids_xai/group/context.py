"""What every group step is given, and the scans it works on."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids_xai.bids.files import write_tsv
from bids_xai.bids.names import scan_name
from bids_xai.errors import BadDataError, NoInputError
from bids_xai.settings import RunSettings
from bids_xai.studies.tables import Study

LOG = logging.getLogger("bids_xai")


@dataclass(frozen=True)
class Scan:
    """One map of one visit with the files that belong to it.

    ``name`` is the map's file name without space, desc and suffix: it identifies the scan.
    """

    name: str
    participant: str
    session: str
    class_name: str
    map_file: Path
    mask_file: Path
    to_template: Path | None
    """``None`` for maps in template space, or where no template is known."""

    @property
    def row(self) -> dict[str, str]:
        """The identifying columns of every table."""
        return {
            "participant_id": f"sub-{self.participant}",
            "session_id": f"ses-{self.session}" if self.session else "n/a",
        }


@dataclass(frozen=True)
class GroupContext:
    """Settings, study and the template all scans were normalised to (empty where there is none)."""

    settings: RunSettings
    study: Study
    template: str

    @property
    def output_dir(self) -> Path:
        """The derivatives folder."""
        return self.settings.output_dir.resolve()

    @property
    def folder(self) -> Path:
        """``group/<study>``."""
        return self.output_dir / "group" / self.study.name

    def model_folder(self, configuration: str, split: int) -> Path:
        """``models/<study>/<configuration>/split-<k>``."""
        return self.output_dir / "models" / self.study.name / configuration / f"split-{split}"

    def relevance_folder(self, configuration: str, split: int) -> Path:
        """Where the heatmaps of one test set lie."""
        return self.folder / "relevance" / f"configuration-{configuration}" / f"split-{split}"

    def selected_splits(self, n_splits: int) -> list[int]:
        """The splits of this run (``--split``), of the ``n_splits`` of the study.

        Raises :class:`BadDataError` for a split the study does not have.
        """
        wanted = self.settings.split or tuple(range(n_splits))
        unknown = [k for k in wanted if k >= n_splits]
        if unknown:
            raise BadDataError(
                f"the study has no split {unknown[0]}", fix=f"choose from 0 to {n_splits - 1}"
            )
        return list(wanted)

    @property
    def selected_configurations(self) -> list[str]:
        """The configurations of this run (``--configuration``)."""
        ids = [configuration.id for configuration in self.study.configurations]
        unknown = [name for name in self.settings.configuration if name not in ids]
        if unknown:
            raise BadDataError(
                f"the study has no configuration '{unknown[0]}'", fix=f"choose from {ids}"
            )
        return list(self.settings.configuration or ids)


COHORT_COLUMNS = {
    "participant_id": "Participant",
    "session_id": "Session, n/a where the dataset has none",
    "class": "Value of the target column",
    "included": "Whether the scan is used",
    "reason": "Why it is not used",
    "map": "Input map, relative to the output folder",
    "mask": "Brain mask on the same grid",
    "to_template": "Transform to the template",
}

SPLIT_COLUMNS = {
    "participant_id": "Participant; all scans of a participant are in one set",
    "split": "Number of the split, from 0",
    "set": "train, validation or test",
}


def read_rows(path: Path, made_by: str) -> list[dict[str, str]]:
    """Read a TSV of an earlier step.

    Raises :class:`NoInputError` naming the step that makes the file.
    """
    if not path.is_file():
        raise NoInputError(
            "a table of an earlier step is missing", file=path, fix=f"run --steps {made_by} first"
        )
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def load_scans(context: GroupContext) -> list[Scan]:
    """Return the included scans of ``cohort.tsv``."""
    root = context.output_dir
    return [
        Scan(
            name=scan_name(row["map"]),
            participant=row["participant_id"].removeprefix("sub-"),
            session="" if row["session_id"] == "n/a" else row["session_id"].removeprefix("ses-"),
            class_name=row["class"],
            map_file=root / row["map"],
            mask_file=root / row["mask"],
            to_template=None if row["to_template"] == "n/a" else root / row["to_template"],
        )
        for row in read_rows(context.folder / "cohort.tsv", "cohort")
        if row["included"] == "true"
    ]


def load_splits(context: GroupContext) -> list[dict[str, str]]:
    """Return one ``participant label -> set`` a split from ``splits.tsv``."""
    splits: dict[int, dict[str, str]] = {}
    for row in read_rows(context.folder / "splits.tsv", "cohort"):
        members = splits.setdefault(int(row["split"]), {})
        members[row["participant_id"].removeprefix("sub-")] = row["set"]
    return [splits[k] for k in sorted(splits)]


def write_table(path: Path, rows: Iterable[dict[str, Any]], columns: dict[str, str]) -> list[Path]:
    """Write a TSV with its JSON; return both."""
    return [write_tsv(path, list(rows), columns), path.with_suffix(".json")]
