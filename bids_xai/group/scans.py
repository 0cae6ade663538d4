"""The scans of a study, and who of them is in which set, as the step ``cohort`` wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bids_xai.bids.names import scan_name
from bids_xai.errors import BadDataError
from bids_xai.tables.cohort import COHORT, SPLITS, CohortScan


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
    quantiles: tuple[float, float, float] | None = None
    """5th percentile, median and 95th percentile of the map in the brain, in its units."""

    @property
    def participant_id(self) -> str:
        """``sub-X``, as tables name the participant."""
        return f"sub-{self.participant}"

    @property
    def session_id(self) -> str | None:
        """``ses-X``, as tables name the session; ``None`` where the dataset has none."""
        return f"ses-{self.session}" if self.session else None


def load_scans(folder: Path, output_dir: Path) -> list[Scan]:
    """Return the included scans of ``cohort.tsv``.

    folder : of the study's results; output_dir : what the paths of the table are relative to
    Raises :class:`NoInputError` where there is no such table, :class:`BadDataError` for one that
    is damaged.
    """
    file = folder / COHORT.file
    return [_scan(row, output_dir, file) for row in COHORT.iterate(file) if row.included]


def _scan(row: CohortScan, output_dir: Path, table: Path) -> Scan:
    if row.map_file is None or row.mask_file is None:
        raise BadDataError(
            f"{row.participant_id} is included without a map or a brain mask",
            file=table,
            fix="run --steps cohort again",
        )
    return Scan(
        name=scan_name(str(row.map_file)),
        participant=row.participant_id.removeprefix("sub-"),
        session=(row.session_id or "").removeprefix("ses-"),
        class_name=row.class_name or "",
        map_file=output_dir / row.map_file,
        mask_file=output_dir / row.mask_file,
        to_template=None if row.to_template is None else output_dir / row.to_template,
        quantiles=_quantiles(row),
    )


def _quantiles(row: CohortScan) -> tuple[float, float, float] | None:
    if row.map_p05 is None or row.map_median is None or row.map_p95 is None:
        return None
    return (row.map_p05, row.map_median, row.map_p95)


def load_splits(folder: Path) -> list[dict[str, str]]:
    """Return one ``participant label -> set`` a split from ``splits.tsv``.

    Raises as :func:`load_scans` does.
    """
    splits: dict[int, dict[str, str]] = {}
    for row in SPLITS.iterate(folder / SPLITS.file):
        members = splits.setdefault(row.split, {})
        members[row.participant_id.removeprefix("sub-")] = row.set_name
    return [splits[split] for split in sorted(splits)]


def known_scan(folder: Path, scans: Mapping[str, Scan], name: str) -> Scan:
    """Return the scan of a heatmap, by the name that ``predictions.tsv`` gives it.

    folder : of the study's results; scans : those of the cohort by name
    Raises :class:`BadDataError` where it is not among them, as after a change of the cohort.
    """
    if name not in scans:
        raise BadDataError(
            f"the scan {name} is no longer in the cohort",
            file=folder / "predictions.tsv",
            fix="run the group level again with --steps train explain before this step",
        )
    return scans[name]
