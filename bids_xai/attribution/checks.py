"""Values that an option may have: one message for each kind of mistake."""

from __future__ import annotations

from collections.abc import Sequence

from bids_xai.errors import UsageError


def check_choice(what: str, value: str, allowed: Sequence[str]) -> None:
    """Raise ``UsageError`` for a text that is none of ``allowed``; ``what`` names the option."""
    if value not in allowed:
        raise UsageError(f"Unknown {what} '{value}'", fix=f"use {' or '.join(allowed)}")


def check_not_negative(name: str, value: float) -> None:
    """Raise ``UsageError`` for a number that is negative, infinite or undefined."""
    if not 0 <= value < float("inf"):
        raise UsageError(f"{name} {value} makes no sense", fix="give a number of 0 or more")


def check_bounds(low: float | None, high: float | None) -> None:
    """Raise ``UsageError`` for bounds that hold nothing between them."""
    if low is not None and high is not None and low >= high:
        raise UsageError(
            f"The bounds {low} and {high} hold nothing between them",
            fix="give the lowest and the highest value that an input can have",
        )
