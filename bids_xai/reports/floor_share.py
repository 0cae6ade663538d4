"""What pages say of relevance that z+ spreads evenly, since biases alone feed some units."""

from __future__ import annotations

from collections.abc import Sequence

from bids_xai.reports.blocks import Block, Text
from bids_xai.tables.numbers import percent

LEAST_TOLD = 0.01
"""Share of relevance that is told."""


def floor_notes(method: str, shares: Sequence[float | None]) -> list[Block]:
    """Return a note where the mean share matters.

    shares : of the relevance of each scan (``stages.explain.floor_share``), None where not known
    """
    numbers = [share for share in shares if share is not None]
    mean = sum(numbers) / len(numbers) if numbers else 0.0
    if mean < LEAST_TOLD:
        return []
    most = f" (at most {percent(max(numbers))} of a scan)" if len(numbers) > 1 else ""
    text = (
        f"{method}: {percent(mean)} of the relevance{most} belongs to units that biases alone make "
        "active. z+ spreads it evenly over their inputs, also where the image is 0: it says "
        "nothing about the image. Rules that let biases absorb relevance leave it out."
    )
    return [Text(text, "note")]
