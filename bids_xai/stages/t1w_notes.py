"""What is to be said of a T1w image: in the log, the sidecar and on the page."""

from __future__ import annotations

import logging

LOG = logging.getLogger("bids_xai")


def shift_note(shift: float) -> list[str]:
    """Log and return what is to be said of a T1w image with values on both sides of 0."""
    if not shift:
        return []
    LOG.warning("the T1w image has negative values by design: %g was added to all", shift)
    return [f"the image has negative values by design (as MP2RAGE has): {shift:g} was added to all"]


def coil_note(is_biased: bool) -> list[str]:
    """Log and return what is to be said of a T1w image that a coil makes bright at the scalp."""
    if not is_biased:
        return []
    LOG.warning(
        "the T1w image is much brighter near the coil: the brain was found after its sensitivity "
        "was taken away; look at the brain mask"
    )
    return [
        "the image is much brighter near the coil (no prescan normalisation): the brain was found "
        "in a second attempt, without the coil's sensitivity"
    ]
