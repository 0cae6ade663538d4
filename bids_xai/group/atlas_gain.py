"""Regions of groups of scans: means, gain against controls, rankings and how far they agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from bids_xai.core.region_rankings import TOP, overlap, top
from bids_xai.core.regions import divide
from bids_xai.group.atlas_values import Bools, Floats, Ints, Part, Row, View
from bids_xai.studies.tables import Target

OUTCOMES = ("TP", "FN", "TN", "FP")
OTHERS = "others"
FEWEST_REGIONS = 2 * TOP  # with fewer, chance alone fills most of the same leading places
_NEAR_ZERO = 1e-6  # of the mean relevance of all regions together: the quotient says nothing
_CANCELLED = 0.01  # of the mean magnitude of a region: likewise
_QUANTILES = {"025": 0.025, "250": 0.25, "500": 0.5, "750": 0.75, "975": 0.975}
_OF_A_RANKING = ("configuration", "method", "atlas", "merged", "group", "metric")
METRICS = ("sum", "abs_sum", "density", "gain")

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


@dataclass(frozen=True)
class Groups:
    """Which lines belong to which class, outcome and split; every array (n_maps,)."""

    names: tuple[str, ...]
    members: Mapping[str, Bools]
    controls: Bools
    splits: Ints

    @classmethod
    def of(cls, rows: Sequence[Row], target: Target) -> Groups:
        """Sort predictions into groups; controls are all but the positive class.

        Of more than two classes they are a group as well, ``others``.
        """
        truth = np.array([row["true_class"] for row in rows], dtype=str)
        outcome = np.array([row["outcome"] for row in rows], dtype=str)
        controls = truth != target.positive_name
        members = {name: truth == name for name in target.names}
        if len(target.names) > 2:
            members.setdefault(OTHERS, controls)
        members |= {name: outcome == name for name in OUTCOMES}
        names = tuple(name for name, mine in members.items() if mine.any())
        splits = np.array([int(row["split"]) for row in rows], dtype=np.int64)
        return cls(names, members, controls, splits)


@dataclass(frozen=True)
class GroupMeans:
    """Means over the scans of one group, (n_regions,) each, NaN where undefined."""

    sum: Floats
    abs_sum: Floats
    density: Floats
    share: Floats
    gain: Floats
    gain_ranked: Floats
    """The gain where the controls' mean is positive: a ratio of negative sums leads nowhere."""

    @classmethod
    def of(cls, view: View, members: Bools, controls: Bools) -> GroupMeans:
        """Average a group of scans, and divide by the mean of the controls."""
        own = mean_of(view.sums[members])
        gain = gain_of(own, view, controls)
        return cls(
            own,
            mean_of(view.abs_sums[members]),
            mean_of(view.densities[members]),
            mean_of(view.shares[members]),
            gain,
            np.where(mean_of(view.sums[controls]) > 0, gain, np.nan),
        )

    def metric(self, name: str) -> Floats:
        """One of ``METRICS`` by name, as far as it can be ranked."""
        values: Floats = getattr(self, "gain_ranked" if name == "gain" else name)
        return values


def gain_of(means: Floats, view: View, controls: Bools) -> Floats:
    """Mean sums over those of the controls, NaN where these are next to nothing.

    Next to nothing: below a millionth of what all regions together hold in a mean scan, or, of
    signed relevance, what is left where positive and negative relevance cancel (below a hundredth
    of the sum of its magnitudes).
    """
    reference = mean_of(view.sums[controls])
    least = np.maximum(
        _NEAR_ZERO * float(np.nansum(np.abs(view.sums).mean(axis=0))),
        _CANCELLED * mean_of(view.abs_sums[controls]),
    )
    return divide(means, np.where(np.abs(reference) > least, reference, 0.0))


def mean_of(values: Floats) -> Floats:
    """Mean over the first axis of what is finite, NaN where nothing is."""
    finite = np.isfinite(values)
    total = np.where(finite, values, 0.0).sum(axis=0)
    return divide(total, finite.sum(axis=0).astype(np.float64))


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


def _quantiles(densities: Floats) -> dict[str, Floats]:
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


def split_overlaps(view: View, part: Part, groups: Groups) -> list[dict[str, Any]]:
    """Compare the leading regions of the splits of one configuration and method."""
    if len(view.regions) < FEWEST_REGIONS:
        return []
    leading: dict[tuple[str, str], dict[str, Ints]] = {}
    for split in np.unique(groups.splits):
        mine = groups.splits == split
        for name in groups.names:
            if not (groups.members[name] & mine).any():
                continue
            means = GroupMeans.of(view, groups.members[name] & mine, groups.controls & mine)
            for metric in METRICS:
                leading.setdefault((name, metric), {})[str(split)] = top(means.metric(metric))
    about = {
        "comparison": "splits",
        "configuration": part.configuration,
        "method": part.method,
        "atlas": view.atlas,
        "merged": view.merged,
    }
    return [row for key, tops in leading.items() for row in _pairs(tops, about, *key)]


def ranking_overlaps(views: Sequence[View], rankings: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Compare the leading regions of methods, and of configurations.

    rankings : lines of ``rankings.tsv``
    """
    many = {(view.atlas, view.merged) for view in views if len(view.regions) >= FEWEST_REGIONS}
    tops: dict[tuple[Any, ...], list[int]] = {}
    for row in rankings:
        if (row["atlas"], row["merged"]) in many:
            key = tuple(row[name] for name in _OF_A_RANKING)
            tops.setdefault(key, []).append(row["index"])
    return [row for kind in ("methods", "configurations") for row in _across(tops, kind)]


def _across(tops: Mapping[tuple[Any, ...], list[int]], kind: str) -> Iterator[dict[str, Any]]:
    kept, varied = (0, 1) if kind == "methods" else (1, 0)
    sets: dict[tuple[Any, ...], dict[str, list[int]]] = {}
    for key, indices in tops.items():
        sets.setdefault((key[kept], *key[2:]), {})[key[varied]] = indices
    for (same, atlas, merged, group, metric), mine in sets.items():
        about = {
            "comparison": kind,
            "configuration" if kind == "methods" else "method": same,
            "atlas": atlas,
            "merged": merged,
        }
        yield from _pairs(mine, about, group, metric)


def _pairs(
    tops: Mapping[str, Any], about: Mapping[str, Any], group: str, metric: str
) -> Iterator[dict[str, Any]]:
    for a, b in combinations(tops, 2):
        if len(tops[a]) and len(tops[b]):
            yield {
                **about,
                "group": group,
                "a": a,
                "b": b,
                "metric": f"top{TOP}_{metric}",
                "value": overlap(tops[a], tops[b]),
            }
