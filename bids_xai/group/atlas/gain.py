"""Regions of groups of scans: means, gain against controls, rankings and how far they agree."""

from __future__ import annotations

from typing import Any

import numpy as np

from bids_xai.arrays import Floats64
from bids_xai.core.regions.rankings import TOP, top
from bids_xai.group.atlas.groups import METRICS, GroupMeans, Groups
from bids_xai.group.atlas.region_values import Part, View

FEWEST_REGIONS = 2 * TOP  # with fewer, chance alone fills most of the same leading places
_QUANTILES = {"025": 0.025, "250": 0.25, "500": 0.5, "750": 0.75, "975": 0.975}

GAIN_COLUMNS = {
    "configuration": "Configuration of the study",
    "method": "Attribution method",
    "atlas": "Atlas",
    "index": "Label value of the region; of joined sides the lower one",
    "name": "Name of the region; of joined sides without its side",
    "group": "Class of the participants, others (all but the positive one, where there are "
    "more than two), or TP, FP, TN, FN",
    "gain": "mean_sum of the group / mean_sum of the controls, all scans not of the positive "
    "class; n/a where the latter is below a millionth of the relevance of all regions",
    "n": "Number of scans of the group",
    "hemisphere": "L, R, both where the sides are joined, n/a where the name tells none",
    "merged": "Whether left and right are joined",
    "n_voxels": "Number of voxels of the region",
    "n_controls": "Number of scans of the controls",
    "mean_sum": "Mean of sum over the scans of the group",
    "mean_abs_sum": "Mean of abs_sum",
    "mean_density": "Mean of density",
    "mean_share": "Mean of share",
    **{
        f"density_q{name}": f"Quantile {q:g} of density over the scans of the group"
        for name, q in _QUANTILES.items()
    },
}
RANKING_COLUMNS = {
    "configuration": "Configuration of the study",
    "method": "Attribution method",
    "atlas": "Atlas",
    "merged": "Whether left and right are joined",
    "group": "Class of the participants, or TP, FP, TN, FN",
    "metric": "sum, abs_sum, density (means over the scans of the group) or gain",
    "rank": f"1 to {TOP}, 1 the largest",
    "index": "Label value of the region; of joined sides the lower one",
    "name": "Name of the region",
    "value": "Value of the metric",
}
OVERLAP_COLUMNS = {
    "comparison": "What differs between a and b: methods (variants of a method, such as other "
    "values of β, count as methods), splits or configurations",
    "configuration": "Configuration of the study, n/a where configurations are compared",
    "method": "Attribution method, n/a where methods are compared",
    "group": "Class of the participants, or TP, FP, TN, FN",
    "a": "First method, split or configuration",
    "b": "Second one",
    "atlas": "Atlas, n/a for measures of mean maps",
    "merged": "Whether left and right are joined, n/a for measures of mean maps",
    "metric": f"top{TOP}_sum, top{TOP}_abs_sum, top{TOP}_density, top{TOP}_gain: share of the "
    f"{TOP} leading regions that both have, of atlases with {FEWEST_REGIONS} or more. Of means: "
    "iou_0.1, iou_0.4, iou_0.5: intersection over union of the smallest sets of voxels that hold "
    "this share of the positive relevance; ssim: structural similarity in 3-D, and spearman: rank "
    "correlation, both in the template's brain mask; euclidean: distance of maps over the sum of "
    "their magnitudes; l2: distance of maps over their largest magnitude",
    "value": "Value of the metric",
}


def gain_rows(view: View, part: Part, groups: Groups) -> list[dict[str, Any]]:
    """Return the lines of ``gain.tsv`` for one configuration and method: group by region."""
    found = []
    for name in groups.names:
        members = groups.members[name]
        means = GroupMeans.of(view, members, groups.controls)
        quantiles = _quantiles(view.densities[members])
        about = {
            "configuration": part.configuration,
            "method": part.method,
            "atlas": view.atlas,
            "group": name,
            "n": int(members.sum()),
            "n_controls": int(groups.controls.sum()),
            "merged": view.merged,
        }
        for place, region in enumerate(view.regions):
            found.append(
                {
                    **about,
                    "index": region.index,
                    "name": region.name,
                    "hemisphere": region.hemisphere,
                    "n_voxels": int(view.n_voxels[place]),
                    "gain": means.gain[place],
                    "mean_sum": means.sum[place],
                    "mean_abs_sum": means.abs_sum[place],
                    "mean_density": means.density[place],
                    "mean_share": means.share[place],
                    **{f"density_q{q}": values[place] for q, values in quantiles.items()},
                }
            )
    return found


def _quantiles(densities: Floats64) -> dict[str, Floats64]:
    """Quantiles over scans; a region without voxels is undefined in every one."""
    values = np.quantile(densities, list(_QUANTILES.values()), axis=0)
    return dict(zip(_QUANTILES, values, strict=True))


def ranking_rows(view: View, part: Part, groups: Groups) -> list[dict[str, Any]]:
    """Return the leading regions of every group by every metric."""
    found = []
    for name in groups.names:
        means = GroupMeans.of(view, groups.members[name], groups.controls)
        for metric in METRICS:
            values = means.metric(metric)
            for rank, place in enumerate(top(values), start=1):
                region = view.regions[place]
                found.append(
                    {
                        "configuration": part.configuration,
                        "method": part.method,
                        "atlas": view.atlas,
                        "merged": view.merged,
                        "group": name,
                        "metric": metric,
                        "rank": rank,
                        "index": region.index,
                        "name": region.name,
                        "value": values[place],
                    }
                )
    return found
