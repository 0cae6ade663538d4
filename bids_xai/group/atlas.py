"""Step ``atlas``: relevance of every test scan by region, and mean maps, in one pass."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.bids.files import write_json, write_nifti
from bids_xai.bids.images import read_volume
from bids_xai.bids.names import label_of
from bids_xai.errors import BadDataError
from bids_xai.group.context import LOG, GroupContext, read_rows, write_table
from bids_xai.interfaces.explain import (
    REGION_COLUMNS,
    TemplateGrid,
    load_template_grid,
    region_rows,
)

_SCAN_COLUMNS = {
    "participant_id": "Participant",
    "session_id": "Session, n/a where the dataset has none",
    "configuration": "Configuration of the study",
    "split": "Number of the split, from 0",
    "true_class": "Class of the participant",
    "outcome": "TP, FP, TN or FN",
}
GAIN_COLUMNS = {
    "configuration": "Configuration of the study",
    "method": "Attribution method",
    "atlas": "Atlas",
    "index": "Label value of the region",
    "region": "Name of the region",
    "n_voxels": "Number of voxels of the region",
    "n_positive": "Number of scans of the positive class",
    "n_negative": "Number of scans of the negative class (of all others)",
    "mean_sum_positive": "Mean of sum over the scans of the positive class",
    "mean_sum_negative": "Mean of sum over the scans of the negative class",
    "mean_density_positive": "Mean density, positive class",
    "mean_density_negative": "Mean density, negative class",
    "share_positive": "Mean share, positive class",
    "share_negative": "Mean share, negative class",
    "gain": "mean_sum_positive / mean_sum_negative; n/a where the latter is below a millionth of "
    "the relevance of all regions",
}
_NEAR_ZERO = 1e-6  # of the mean relevance of all regions together: the quotient says nothing


def run(context: GroupContext) -> list[Path]:
    """Write ``atlas/regions.tsv``, ``atlas/gain.tsv`` and ``means/``."""
    rows = read_rows(context.folder / "predictions.tsv", "explain")
    rows = [row for row in rows if row["warped"] != "n/a"]  # baselines have no heatmap
    if not context.template:
        LOG.warning("no template: no region tables and no mean maps")
        return []
    grid = load_template_grid(context.template)
    regions: list[dict[str, Any]] = []
    means = _Means(context, grid)
    for row in rows:
        warped = read_volume(context.folder / row["warped"])
        if warped.data.shape != grid.template.brain.data.shape:
            raise BadDataError(
                "the relevance map is not on the template grid",
                file=context.folder / row["warped"],
                fix="run --steps explain again",
            )
        means.add(row, warped.data)
        if grid.atlas is not None:
            about = {name: row[name] for name in _SCAN_COLUMNS}
            regions += [about | r for r in region_rows(warped, grid.atlas, row["method"])]
    written = means.write()
    if grid.atlas is None:
        LOG.warning("no atlas for %s: no region tables", context.template)
        return written
    folder = context.folder / "atlas"
    return [
        *written,
        *write_table(folder / "regions.tsv", regions, _SCAN_COLUMNS | REGION_COLUMNS),
        *write_table(folder / "gain.tsv", gains(regions, context), GAIN_COLUMNS),
    ]


class _Means:
    """Running sums of maps per configuration, method and group; never all maps in memory."""

    def __init__(self, context: GroupContext, grid: TemplateGrid) -> None:
        self.context, self.grid = context, grid
        self.sums: dict[tuple[str, str, str], NDArray[np.float64]] = {}
        self.counts: dict[tuple[str, str, str], int] = defaultdict(int)

    def add(self, row: dict[str, str], data: NDArray[np.float32]) -> None:
        for group in dict.fromkeys((row["true_class"], row["outcome"])):
            key = (row["configuration"], row["method"], group)
            if key not in self.sums:
                self.sums[key] = np.zeros(data.shape)
            self.sums[key] += data
            self.counts[key] += 1

    def write(self) -> list[Path]:
        """Write the means; those of the study's first method carry no ``desc``."""
        written = []
        affine = self.grid.template.brain.affine
        first = self.context.study.attribution.methods[0]
        for (configuration, method, group), total in self.sums.items():
            desc = "" if method == first else f"_desc-{label_of(method)}"
            name = f"configuration-{configuration}_group-{label_of(group)}{desc}_mean"
            path = self.context.folder / "means" / f"{name}.nii.gz"
            count = self.counts[configuration, method, group]
            written.append(write_nifti(path, (total / count).astype(np.float32), affine))
            about = {"Method": method, "Group": group, "Scans": count,
                     "Space": str(self.grid.space)}  # fmt: skip
            written.append(write_json(path.with_name(f"{name}.json"), about))
        return written


def gains(regions: list[dict[str, Any]], context: GroupContext) -> list[dict[str, Any]]:
    """Return one row a configuration, method and region: means of both classes and their gain."""
    target = context.study.target
    groups: dict[tuple[str, str, int], list[dict[str, Any]]] = defaultdict(list)
    for entry in regions:
        groups[entry["configuration"], entry["method"], entry["index"]].append(entry)
    whole: dict[tuple[str, str], float] = defaultdict(float)
    for (configuration, method, _), rows in groups.items():
        whole[configuration, method] += float(np.mean([abs(row["sum"]) for row in rows]))
    result = []
    for (configuration, method, index), rows in groups.items():
        others = set(target.names) - {target.positive_name}
        by_class = {
            side: [r for r in rows if r["true_class"] in names]
            for side, names in (("positive", {target.positive_name}), ("negative", others))
        }
        row: dict[str, Any] = {
            "configuration": configuration, "method": method, "index": index,
            **{key: rows[0][key] for key in ("atlas", "region", "n_voxels")},
        }  # fmt: skip
        for side, mine in by_class.items():
            row[f"n_{side}"] = len(mine)
            row[f"mean_sum_{side}"] = _mean(mine, "sum")
            row[f"mean_density_{side}"] = _mean(mine, "density")
            row[f"share_{side}"] = _mean(mine, "share")
        low = row["mean_sum_negative"]
        high, least = row["mean_sum_positive"], _NEAR_ZERO * whole[configuration, method]
        usable = low is not None and high is not None and abs(low) > least
        row["gain"] = high / low if usable else None
        result.append(row)
    return result


def _mean(rows: list[dict[str, Any]], key: str) -> float | None:
    values = [row[key] for row in rows if np.isfinite(row[key])]
    return float(np.mean(values)) if values else None
