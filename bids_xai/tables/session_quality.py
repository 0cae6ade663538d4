"""Quality figures of a session: from the sidecars of its products to one table, with limits."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bids_xai.bids.files import write_tsv
from bids_xai.bids.manifest import Product
from bids_xai.bids.names import anat_path, file_name, parse_name
from bids_xai.core.outliers import LARGEST_Z, LEAST_VALUES
from bids_xai.errors import BadDataError
from bids_xai.tables.numbers import MISSING, number


@dataclass(frozen=True)
class Limit:
    """Values outside ``low`` to ``high`` want a look; ``meaning`` says at what."""

    meaning: str
    low: float = -math.inf
    high: float = math.inf

    def flags(self, value: float) -> bool:
        """Tell whether the value lies outside; an undefined one does."""
        return not self.low <= value <= self.high


QUALITY = {
    "BrainVolumeMl": Limit("volume of the brain mask in ml", 700, 2200),
    "BrainToBackground": Limit("(brain − background) / (brain + background) in T1w medians", 0.3),
    "MaskDice": Limit("overlap of the warped brain mask with the template's", 0.90),
    "Correlation": Limit("correlation of the warped T1w with the template in its mask", 0.40),
    "TemplateCovered": Limit("fraction of the template's brain that the scan's covers", 0.90),
    "BrainCovered": Limit("fraction of the brain inside the map's field of view", 0.60),
    "BrainMedian": Limit("median of the map in the brain, in its own units"),
    "BrainMedianR2star": Limit("median R2* in the brain, 1/s", 5, 80),
    "UndefinedVoxels": Limit("voxels of the map that are not finite numbers", high=0),
    "FitInvalidFraction": Limit("fraction of voxels with no usable signal for the fit", high=0.9),
    "FitResidual": Limit("median residual of the fit over S0 where there is signal", high=0.15),
    "MutualInformation": Limit("normalised mutual information of the image and T1w in the brain"),
    "EdgeAlignment": Limit("how well the edges of the image and of T1w agree (1/3 by chance)", 0.6),
    "LesionVolumeMl": Limit("volume of the lesion mask in ml", high=150),
    "LesionVoxelsFilled": Limit("voxels filled in desc-lesionfilled_T1w"),
}

QUALITY_COLUMNS = {
    "image": "File the figure belongs to, without extension",
    "metric": "Name of the figure; its meaning is in the column meaning",
    "value": "Value",
    "low": "Smallest value that does not want a look",
    "high": "Largest value that does not want a look",
    "flagged": "Whether the value lies outside the limits",
    "meaning": "What the figure says",
}


def write_quality(manifests: Sequence[Path], output_dir: Path) -> list[Path]:
    """Write ``sub-X[_ses-Y]_qc.tsv`` of one session beside its images; return what was written.

    Nothing is written where no product has a figure.
    """
    rows = quality_rows(manifests)
    if not rows:
        return []
    first = parse_name(str(rows[0]["image"]))[0]
    path = output_dir / quality_path(first["sub"], first.get("ses", ""))
    write_tsv(path, rows, QUALITY_COLUMNS)
    return [path, path.with_suffix(".json")]


def quality_path(participant: str, session: str) -> PurePosixPath:
    """Return where the table of a session lies, relative to the output folder."""
    return anat_path({"sub": participant, "ses": session}, "qc", ".tsv")


def quality_rows(manifests: Iterable[Path]) -> list[dict[str, Any]]:
    """Return one row a figure from ``Quality`` in the sidecars of the products."""
    rows = []
    for manifest in manifests:
        for entry in json.loads(manifest.read_text(encoding="utf-8")):
            product = Product(**entry)
            name = file_name(product.entities, product.suffix, "")
            for metric, value in product.sidecar.get("Quality", {}).items():
                rows.append(_row(name, metric, math.nan if value is None else float(value)))
    return sorted(rows, key=lambda row: (row["image"], row["metric"]))


def _row(image: str, metric: str, value: float) -> dict[str, Any]:
    limit = QUALITY[metric]
    return {
        "image": image,
        "metric": metric,
        "value": value,
        "low": limit.low if math.isfinite(limit.low) else None,
        "high": limit.high if math.isfinite(limit.high) else None,
        "flagged": limit.flags(value),
        "meaning": limit.meaning,
    }


SUFFIX = "_qc.tsv"


@dataclass(frozen=True)
class Measure:
    """One line of ``*_qc.tsv``; NaN is an undefined value, infinite is no limit.

    image : name of the file it belongs to, without extension
    """

    image: str
    metric: str
    value: float
    low: float
    high: float
    flagged: bool
    meaning: str

    @property
    def limits(self) -> str:
        """``≥ 0.9``, ``≤ 150``, ``5 to 80``, or a dash."""
        if math.isfinite(self.low) and math.isfinite(self.high):
            return f"{number(self.low, 4)} to {number(self.high, 4)}"
        if math.isfinite(self.low):
            return f"≥ {number(self.low, 4)}"
        return f"≤ {number(self.high, 4)}" if math.isfinite(self.high) else "–"

    @property
    def verdict(self) -> str:
        """``below 0.9``, ``above 150``, ``undefined``, ``within`` or ``no limit``."""
        if self.flagged and math.isnan(self.value):
            return "undefined"
        if self.flagged:
            below = self.value < self.low
            return f"{'below' if below else 'above'} {number(self.low if below else self.high, 4)}"
        return "no limit" if self.limits == "–" else "within"


def quality_file(anat: Path) -> Path | None:
    """Return the quality table of an ``anat`` folder, where there is one."""
    return next(iter(sorted(anat.glob(f"sub-*{SUFFIX}"))), None)


def read_quality(path: Path) -> tuple[Measure, ...]:
    """Return the lines of a quality table.

    Raises :class:`BadDataError` for a column that is missing or a value that is no number.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return tuple(_measure(row) for row in csv.DictReader(stream, delimiter="\t"))
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise BadDataError(
            f"the quality table is damaged ({error}); it needs {', '.join(QUALITY_COLUMNS)}",
            file=path,
            fix="remove the file and run the participant level again",
        ) from error


def _measure(row: Mapping[str, str]) -> Measure:
    return Measure(
        image=row["image"],
        metric=row["metric"],
        value=_or(row["value"], math.nan),
        low=_or(row["low"], -math.inf),
        high=_or(row["high"], math.inf),
        flagged=_truth(row["flagged"]),
        meaning=row["meaning"],
    )


def _or(cell: str, default: float) -> float:
    return default if cell == MISSING else float(cell)


def _truth(cell: str) -> bool:
    if cell not in ("true", "false"):
        raise ValueError(f"{cell!r} is neither true nor false")
    return cell == "true"


def kind_of(image: str) -> str:
    """Return the name of an image without participant and session."""
    return "_".join(p for p in image.split("_") if not p.startswith(("sub-", "ses-")))


GROUP_QC_COLUMNS = {
    "participant_id": "Participant",
    "session_id": "Session, n/a where the dataset has none",
    "flagged": "Whether any value lies outside its fixed limits",
    "n_flagged": "Number of values outside their limits",
    "flagged_metrics": "Their columns, parted by commas; none where there is none",
    "n_outliers": (
        f"Number of values with abs(z) > {LARGEST_Z}, z = 0.6745 (x - median) / MAD over all "
        f"sessions; n/a where no column has {LEAST_VALUES} values"
    ),
    "outlier_metrics": "Their columns, parted by commas; none where there is none; n/a as above",
    "largest_z": "Largest abs(z) among the columns that have enough values",
}


Key = tuple[str, str]  # metric, kind of image


@dataclass(frozen=True)
class SessionQuality:
    """What ``*_qc.tsv`` of one session says; ``session`` is empty where there is none."""

    participant: str
    session: str
    measures: dict[Key, Measure]

    @property
    def name(self) -> str:
        """``sub-01`` or ``sub-01_ses-1``."""
        return f"{self.participant}_{self.session}" if self.session else self.participant


def collect_quality(output_dir: Path) -> list[SessionQuality]:
    """Read every ``sub-*[/ses-*]/anat/*_qc.tsv``, sorted by participant and session.

    Raises :class:`BadDataError` naming a table that is damaged.
    """
    found = [
        *output_dir.glob(f"sub-*/anat/sub-*{SUFFIX}"),
        *output_dir.glob(f"sub-*/ses-*/anat/sub-*{SUFFIX}"),
    ]
    rows = [_session(path) for path in found]
    return sorted(rows, key=lambda row: (row.participant, row.session))


def _session(path: Path) -> SessionQuality:
    entities = parse_name(path.name)[0]
    measures = {(m.metric, kind_of(m.image)): m for m in read_quality(path)}
    session = f"ses-{entities['ses']}" if "ses" in entities else ""
    return SessionQuality(f"sub-{entities['sub']}", session, measures)
