"""Tables of the quality of images: the figures of a session, and those of all sessions."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bids_xai.bids.manifest import Product
from bids_xai.bids.names import anat_path, file_name, parse_name
from bids_xai.core.outliers import LARGEST_Z, LEAST_VALUES
from bids_xai.core.qc_limits import LIMITS
from bids_xai.tables.numbers import number
from bids_xai.tables.table import Table, column, more_columns


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A figure of the quality of an image."""

    image: str = column("File the metric belongs to, without extension")
    metric: str = column("Name of the metric; its meaning is in the column meaning")
    value: float | None = column("Value")
    low: float | None = column("Smallest value that needs no inspection", default=None)
    high: float | None = column("Largest value that needs no inspection", default=None)
    flagged: bool = column("Whether the value lies outside the limits")
    meaning: str = column("What the metric measures")

    @classmethod
    def of(cls, image: str, metric: str, value: float | None) -> Measure:
        """Return a figure with the limits of its metric.

        value : in the unit of the metric; ``None`` and what is not finite is undefined
        Raises KeyError for a metric that is not among ``LIMITS``.
        """
        limit = LIMITS[metric]
        raw = math.nan if value is None else float(value)
        return cls(
            image=image,
            metric=metric,
            value=raw if math.isfinite(raw) else None,
            low=float(limit.low) if math.isfinite(limit.low) else None,
            high=float(limit.high) if math.isfinite(limit.high) else None,
            flagged=limit.flags(raw),
            meaning=limit.meaning,
        )

    @property
    def limits(self) -> str:
        """``≥ 0.9``, ``≤ 150``, ``5 to 80``, or a dash."""
        if self.low is not None and self.high is not None:
            return f"{number(self.low, 4)} to {number(self.high, 4)}"
        if self.low is not None:
            return f"≥ {number(self.low, 4)}"
        return "–" if self.high is None else f"≤ {number(self.high, 4)}"

    @property
    def verdict(self) -> str:
        """``below 0.9``, ``above 150``, ``undefined``, ``within`` or ``no limit``."""
        if self.flagged and self.value is None:
            return "undefined"
        if self.flagged:
            below = self.low is not None and self.value is not None and self.value < self.low
            return f"{'below' if below else 'above'} {number(self.low if below else self.high, 4)}"
        return "no limit" if self.limits == "–" else "within"

    @property
    def kind(self) -> str:
        """Of the image; see :func:`kind_of`."""
        return kind_of(self.image)


@dataclass(frozen=True, kw_only=True)
class SessionSummary:
    """The quality of a session beside that of the others."""

    participant_id: str = column("Participant")
    session_id: str | None = column("Session, n/a where the dataset has none")
    flagged: bool = column("Whether any value lies outside its fixed limits")
    n_flagged: int = column("Number of values outside their limits")
    flagged_metrics: str = column("Their columns, parted by commas; none where there is none")
    n_outliers: int | None = column(
        f"Number of values with abs(z) > {LARGEST_Z}, z = 0.6745 (x - median) / MAD over all "
        f"sessions; n/a where no column has {LEAST_VALUES} values"
    )
    outlier_metrics: str | None = column(
        "Their columns, parted by commas; none where there is none; n/a as above"
    )
    largest_z: float | None = column("Largest abs(z) among the columns that have enough values")
    values: Mapping[str, float | None] = more_columns("", "")


SESSION_QC = Table("_qc.tsv", Measure, "participant")
GROUP_QC = Table("group_qc.tsv", SessionSummary, "qc")
"""Its further columns, ``<metric>_<kind of image>``, are described by the step that writes it."""

MetricKey = tuple[str, str]
"""Metric and kind of image."""


@dataclass(frozen=True)
class SessionQc:
    """What ``*_qc.tsv`` of one session says; ``session`` is empty where there is none."""

    participant: str
    session: str
    measures: Mapping[MetricKey, Measure]

    @property
    def name(self) -> str:
        """``sub-01`` or ``sub-01_ses-1``."""
        return f"{self.participant}_{self.session}" if self.session else self.participant


def kind_of(image: str) -> str:
    """Return the name of an image without participant and session."""
    return "_".join(p for p in image.split("_") if not p.startswith(("sub-", "ses-")))


def write_session_qc(manifests: Sequence[Path], output_dir: Path) -> list[Path]:
    """Write ``sub-X[_ses-Y]_qc.tsv`` of one session beside its images; return what was written.

    manifests : of the stages that made its products. Nothing is written where no product has a
    figure.
    """
    measures = measures_of(manifests)
    if not measures:
        return []
    entities = parse_name(measures[0].image)[0]
    path = output_dir / qc_path(entities["sub"], entities.get("ses", ""))
    return SESSION_QC.write(path, measures)


def measures_of(manifests: Iterable[Path]) -> list[Measure]:
    """Return the figures in ``Quality`` of the products' sidecars, by image and metric."""
    measures = []
    for manifest in manifests:
        for entry in json.loads(manifest.read_text(encoding="utf-8")):
            product = Product(**entry)
            image = file_name(product.entities, product.suffix, "")
            for metric, value in product.sidecar.get("Quality", {}).items():
                measures.append(Measure.of(image, metric, value))
    return sorted(measures, key=lambda measure: (measure.image, measure.metric))


def qc_path(participant: str, session: str) -> PurePosixPath:
    """Return where the table of a session lies, relative to the output folder.

    participant, session : labels without ``sub-`` and ``ses-``; session : empty where there is none
    """
    return anat_path({"sub": participant, "ses": session}, "qc", ".tsv")


def qc_file(anat: Path) -> Path | None:
    """Return the quality table of an ``anat`` folder, where there is one."""
    return next(iter(sorted(anat.glob(f"sub-*{SESSION_QC.file}"))), None)


def collect_qc(output_dir: Path) -> list[SessionQc]:
    """Read every ``sub-*[/ses-*]/anat/*_qc.tsv``, sorted by participant and session.

    Raises :class:`BadDataError` naming a table that is damaged.
    """
    files = [
        *output_dir.glob(f"sub-*/anat/sub-*{SESSION_QC.file}"),
        *output_dir.glob(f"sub-*/ses-*/anat/sub-*{SESSION_QC.file}"),
    ]
    sessions = [_session(file) for file in files]
    return sorted(sessions, key=lambda session: (session.participant, session.session))


def _session(file: Path) -> SessionQc:
    entities = parse_name(file.name)[0]
    measures = {(measure.metric, measure.kind): measure for measure in SESSION_QC.read(file)}
    session = f"ses-{entities['ses']}" if "ses" in entities else ""
    return SessionQc(f"sub-{entities['sub']}", session, measures)
