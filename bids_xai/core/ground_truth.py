"""What heatmaps of simulated scans prove, where the true region and the shortcut are known.

A heatmap can lie in the true region because the network found it, or because the input is bright
there: relevance by z+ follows the input whatever the weights. So every score is compared, scan by
scan, with that of an untrained network with the same initial weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bids_xai.arrays import Bools, Floats
from bids_xai.core.perturbation import mean_interval
from bids_xai.errors import BadDataError

LEAST_POINTING = 0.5
"""Share of the participants whose highest voxel must lie in the region."""

NOT_USED, REMOVED, LESS = "not used", "removed", "less"
HIDDEN, NEITHER, UNTOLD = "hidden", "neither", "untold"


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Mean over ``n`` participants and its 95 % interval, NaN for few: see ``mean_interval``."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def above_zero(self) -> bool:
        """Whether the whole interval is above 0."""
        return self.low > 0

    @property
    def below_zero(self) -> bool:
        """Whether the whole interval is below 0."""
        return self.high < 0


def density_ratio(relevance: Floats, region: Bools, within: Bools) -> float:
    """Positive relevance per voxel in the region over that in the rest of ``within``.

    relevance, region, within : (x, y, z); ``within`` is usually the brain. NaN where there is no
    positive relevance in either, infinite where there is some in the region alone
    Raises ``BadDataError`` for different shapes, an empty region and one that leaves no rest.
    """
    if not relevance.shape == region.shape == within.shape:
        raise BadDataError(
            f"Map {relevance.shape}, region {region.shape} and brain {within.shape} differ in size",
            fix="resample them onto one grid",
        )
    rest = within & ~region
    if not region.any() or not rest.any():
        raise BadDataError("The region is empty or fills the brain", fix="exclude this scan")
    positive = np.maximum(relevance, 0)
    inside = float(positive[region].mean(dtype=np.float64))
    outside = float(positive[rest].mean(dtype=np.float64))
    if outside:
        return inside / outside
    return float("inf") if inside else float("nan")


def participant_means(values: Sequence[float], participants: Sequence[str]) -> dict[str, float]:
    """Mean of the values of each participant; values that are NaN are left out."""
    by_name: dict[str, list[float]] = {}
    for value, name in zip(values, participants, strict=True):
        if not np.isnan(value):
            by_name.setdefault(name, []).append(value)
    return {name: float(np.mean(scans)) for name, scans in by_name.items()}


def interval(values: Sequence[float]) -> Interval:
    """Mean and 95 % interval (Student's t) of one value a participant."""
    data = np.asarray(values, np.float64)
    if not data.size:
        return Interval(mean=float("nan"), low=float("nan"), high=float("nan"), n=0)
    mean, low, high = (float(part) for part in mean_interval(data))
    return Interval(mean=mean, low=low, high=high, n=data.size)


def paired(first: Mapping[str, float], second: Mapping[str, float]) -> Interval:
    """First less second, over the participants that both have."""
    return interval([first[name] - second[name] for name in first if name in second])


def finds(gain: Interval, pointing: float) -> bool:
    """Whether a method finds a region.

    gain : rank accuracy less that of the untrained network; all of its interval must be above 0
    pointing : share of the participants whose highest voxel lies in the region; half is enough
    """
    return gain.above_zero and pointing >= LEAST_POINTING


def found_from(detected: Mapping[float, bool]) -> float | None:
    """Smallest effect above 0 from which on the region is found at every larger one, else None.

    detected : effect -> whether the region is found; at effect 0 there is nothing to be found
    """
    smallest = None
    for effect in sorted((effect for effect in detected if effect > 0), reverse=True):
        if not detected[effect]:
            break
        smallest = effect
    return smallest


def shortcut_verdict(
    plain: Interval, guided: Interval, less_used: Interval, less_shown: Interval
) -> str:
    """What guidance did to a network that could use a shortcut.

    plain, guided : accuracy lost without the shortcut, of either network
    less_used : the loss of the plain network less that of the guided one, scan by scan
    less_shown : relevance on the shortcut, of the plain network less that of the guided one
    Returns ``NOT_USED`` where the plain network loses nothing; ``REMOVED`` where the guided one
    loses less and the interval of its own loss holds 0; ``LESS`` where it loses less, but some;
    of those that demonstrably lose something and not less than the plain network, ``HIDDEN`` where
    it shows less and ``NEITHER`` where not; ``UNTOLD`` where neither its own loss nor a difference
    from that of the plain network can be told.
    """
    if not plain.above_zero:
        return NOT_USED
    if less_used.above_zero:
        return LESS if guided.above_zero else REMOVED
    if not guided.above_zero:
        return UNTOLD
    return HIDDEN if less_shown.above_zero else NEITHER
