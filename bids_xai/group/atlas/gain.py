"""Regions of groups of scans: means, gain against controls, and rankings."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bids_xai.core.regions.rankings import top
from bids_xai.core.regions.sums import DENSITY_QUANTILES
from bids_xai.group.atlas.groups import METRICS, GroupMeans, Groups
from bids_xai.group.atlas.parts import Part
from bids_xai.group.atlas.region_values import View
from bids_xai.tables.atlas import RegionGain, RegionRank


def gain_rows(view: View, part: Part, groups: Groups) -> list[RegionGain]:
    """Return the lines of ``gain.tsv`` for one configuration and method: group by region.

    view, groups : of this part. What is undefined, such as the gain without controls, is NaN.
    """
    return [row for name in groups.names for row in _gains(view, part, groups, name)]


def _gains(view: View, part: Part, groups: Groups, group: str) -> Iterator[RegionGain]:
    members, controls = groups.members[group], groups.controls
    means = GroupMeans.of(view, members, controls)
    # over scans; a region without voxels is undefined in every one
    quantiles = np.quantile(view.densities[members], DENSITY_QUANTILES, axis=0)
    for column, region in enumerate(view.regions):
        q025, q250, q500, q750, q975 = quantiles[:, column].tolist()
        yield RegionGain(
            configuration=part.configuration,
            method=part.method,
            atlas=view.atlas,
            index=region.index,
            name=region.name,
            group=group,
            gain=float(means.gain[column]),
            n=int(members.sum()),
            hemisphere=region.hemisphere or None,
            merged=view.merged,
            n_voxels=int(view.n_voxels[column]),
            n_controls=int(controls.sum()),
            mean_sum=float(means.sum[column]),
            mean_abs_sum=float(means.abs_sum[column]),
            mean_density=float(means.density[column]),
            mean_share=float(means.share[column]),
            density_q025=q025,
            density_q250=q250,
            density_q500=q500,
            density_q750=q750,
            density_q975=q975,
        )


def ranking_rows(view: View, part: Part, groups: Groups) -> list[RegionRank]:
    """Return the leading regions of every group by every metric, as ``rankings.tsv`` has them.

    view, groups : of this part. Regions without a value have no rank.
    """
    rows = []
    for group in groups.names:
        means = GroupMeans.of(view, groups.members[group], groups.controls)
        for metric in METRICS:
            values = means.metric(metric)
            for rank, column in enumerate(top(values), start=1):
                region = view.regions[column]
                rows.append(
                    RegionRank(
                        configuration=part.configuration,
                        method=part.method,
                        atlas=view.atlas,
                        merged=view.merged,
                        group=group,
                        metric=metric,
                        rank=rank,
                        index=region.index,
                        name=region.name,
                        value=float(values[column]),
                    )
                )
    return rows
