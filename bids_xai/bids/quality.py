"""Quality figures of a session: from the sidecars of its products to one table, with limits."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bids_xai.bids.files import write_tsv
from bids_xai.bids.manifest import Product
from bids_xai.bids.names import anat_path, file_name, parse_name


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
