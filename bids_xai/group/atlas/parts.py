"""Predictions in the order of the tables, and where each configuration and method stands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bids_xai.tables.predictions import Prediction


@dataclass(frozen=True)
class Part:
    """The maps of one configuration and method: lines ``start`` to ``stop`` of the predictions."""

    configuration: str
    method: str
    start: int
    stop: int

    @property
    def lines(self) -> slice:
        """Its lines."""
        return slice(self.start, self.stop)


def in_order(
    predictions: Iterable[Prediction], configurations: Sequence[str], methods: Sequence[str]
) -> list[Prediction]:
    """Sort predictions with a heatmap by configuration, method and split.

    configurations, methods : of the study, in its order; any others come after them by name
    """

    def key(prediction: Prediction) -> tuple[tuple[int, str], tuple[int, str], int]:
        configuration = _rank(prediction.configuration, configurations)
        return configuration, _rank(_method(prediction), methods), prediction.split

    return sorted(predictions, key=key)


def parts_of(predictions: Sequence[Prediction]) -> list[Part]:
    """Tell where each pair of configuration and method lies.

    Raises ``ValueError`` where the lines of a pair do not follow each other, or are not sorted by
    split (see :func:`in_order`).
    """
    parts: list[Part] = []
    for line, prediction in enumerate(predictions):
        pair = (prediction.configuration, _method(prediction))
        if parts and (parts[-1].configuration, parts[-1].method) == pair:
            if prediction.split < predictions[line - 1].split:
                raise ValueError(f"the predictions of {pair} are not sorted by split")
            parts[-1] = Part(*pair, parts[-1].start, line + 1)
        else:
            parts.append(Part(*pair, line, line + 1))
    if len({(part.configuration, part.method) for part in parts}) < len(parts):
        raise ValueError("the predictions are not sorted by configuration and method")
    return parts


def _method(prediction: Prediction) -> str:
    return prediction.method or ""


def _rank(name: str, order: Sequence[str]) -> tuple[int, str]:
    return (order.index(name) if name in order else len(order), name)
