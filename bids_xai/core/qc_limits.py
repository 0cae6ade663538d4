"""Between which values the quality figures of a session are as they should be.

The limits are the same for all studies. They are wide: they catch a registration that failed badly
or a mask that lies beside the head.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Limit:
    """Values outside ``low`` to ``high`` are flagged; ``meaning`` says what is measured, its unit.

    Infinite where there is no limit; both ends belong to the values that are not flagged.
    """

    meaning: str
    low: float = -math.inf
    high: float = math.inf

    def flags(self, value: float) -> bool:
        """Tell whether the value lies outside; an undefined one (NaN) does."""
        return not self.low <= value <= self.high


LIMITS: Mapping[str, Limit] = {
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
    "BrainInvalidFraction": Limit(
        "fraction of the brain with no usable signal for the fit", high=0.05
    ),
    "BrainAtBoundFraction": Limit("fraction of the brain with R2* at 0 or its maximum", high=0.05),
    "FitMissingEchoFraction": Limit(
        "fraction of voxels with signal that are exactly 0 at some echo", high=0.05
    ),
    "FitResidual": Limit("median residual of the fit over S0 where there is signal", high=0.15),
    "MutualInformation": Limit("normalised mutual information of the image and T1w in the brain"),
    "EdgeAlignment": Limit(
        "agreement of edge directions of the image and of T1w (1/3 by chance)", 0.6
    ),
    "LesionVolumeMl": Limit("volume of the lesion mask in ml", high=150),
    "LesionVoxelsFilled": Limit("voxels filled in desc-lesionfilled_T1w"),
}
"""Metric, as in ``Quality`` of the sidecars → its limits, in the order of tables and pages."""

MOST_INVALID_IN_BRAIN = 0.5
"""A map with a larger fraction of invalid voxels in the brain is no result: the session fails."""
