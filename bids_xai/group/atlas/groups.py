"""Groups of heatmaps (class, outcome), their means and their gain over the controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bids_xai.arrays import Bools, Floats64, Ints
from bids_xai.core.regions.sums import divide
from bids_xai.group.atlas.region_values import View
from bids_xai.studies.tables import Target
from bids_xai.tables.predictions import Prediction

TRUE_POSITIVE = "TP"
OUTCOMES = (TRUE_POSITIVE, "FN", "TN", "FP")
OTHERS = "others"
METRICS = ("sum", "abs_sum", "density", "gain")
"""What regions are ranked by."""
_NEAR_ZERO = 1e-6  # of the mean relevance of all regions together: the quotient says nothing
_CANCELLED = 0.01  # of the mean magnitude of a region: likewise


@dataclass(frozen=True)
class Groups:
    """Which lines belong to which class, outcome and split; every array (n_maps,)."""

    names: tuple[str, ...]
    members: Mapping[str, Bools]
    controls: Bools
    splits: Ints

    @classmethod
    def of(cls, predictions: Sequence[Prediction], target: Target) -> Groups:
        """Sort predictions into groups; controls are all but the positive class.

        Of more than two classes they are a group as well, ``others``.
        """
        truth = np.array([prediction.true_class for prediction in predictions], dtype=str)
        outcome = np.array([prediction.outcome for prediction in predictions], dtype=str)
        controls = truth != target.positive_name
        members = {name: truth == name for name in target.names}
        if len(target.names) > 2:
            members.setdefault(OTHERS, controls)
        members |= {name: outcome == name for name in OUTCOMES}
        names = tuple(name for name, lines in members.items() if lines.any())
        splits = np.array([prediction.split for prediction in predictions], dtype=np.int64)
        return cls(names, members, controls, splits)


@dataclass(frozen=True)
class GroupMeans:
    """Means over the scans of one group, (n_regions,) each, NaN where undefined."""

    sum: Floats64
    abs_sum: Floats64
    density: Floats64
    share: Floats64
    gain: Floats64
    gain_ranked: Floats64
    """The gain where the controls' mean is positive: a ratio of negative sums leads nowhere."""

    @classmethod
    def of(cls, view: View, members: Bools, controls: Bools) -> GroupMeans:
        """Average a group of scans, and divide by the mean of the controls."""
        means = mean_of(view.sums[members])
        gain = gain_of(means, view, controls)
        return cls(
            means,
            mean_of(view.abs_sums[members]),
            mean_of(view.densities[members]),
            mean_of(view.shares[members]),
            gain,
            np.where(mean_of(view.sums[controls]) > 0, gain, np.nan),
        )

    def metric(self, name: str) -> Floats64:
        """One of ``METRICS`` by name, as far as it can be ranked."""
        values: Floats64 = getattr(self, "gain_ranked" if name == "gain" else name)
        return values


def gain_of(means: Floats64, view: View, controls: Bools) -> Floats64:
    """Mean sums (n_regions,) over those of the controls, NaN where these are next to nothing.

    means : (n_regions,) of a group; controls : (n_maps,) which maps of the view they are
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


def mean_of(values: Floats64) -> Floats64:
    """Mean over the first axis of what is finite, NaN where nothing is."""
    finite = np.isfinite(values)
    total = np.where(finite, values, 0.0).sum(axis=0)
    return divide(total, finite.sum(axis=0).astype(np.float64))
