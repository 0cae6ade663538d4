"""The covariates of heatmaps as an audit takes them: what is known of their scans, as arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np

from bids_xai.core.spray.audit import EXPECTED, MODEL, SUSPECT, Covariate
from bids_xai.group.spray.covariate_kinds import numbers_are_names
from bids_xai.group.spray.covariate_sources import ScanColumn
from bids_xai.group.spray.shares import RelevanceShares
from bids_xai.tables.predictions import Prediction

_FEWEST_NUMBERS = 7  # different values, below which numbers count as names of groups
_MISSING = {"", "n/a", "nan", "none", "unknown"}


def covariates(
    columns: Sequence[ScanColumn],
    scans: Sequence[str],
    predictions: Sequence[Prediction],
    shares: RelevanceShares,
) -> list[Covariate]:
    """Return the covariates of n heatmaps.

    columns : what is known of scans; scans : (n) names; predictions : (n) of each heatmap
    """
    return [
        *_prediction_covariates(predictions),
        *_share_covariates(shares),
        *(
            Covariate(
                column.name,
                typed(column.name, [column.values.get(scan, "") for scan in scans]),
                column.kind,
                column.meaning,
            )
            for column in columns
        ),
    ]


def _prediction_covariates(predictions: Sequence[Prediction]) -> list[Covariate]:
    probabilities = np.array([row.probability for row in predictions])
    return [
        Covariate("class", _texts([row.true_class for row in predictions]), EXPECTED, "class"),
        Covariate("outcome", _texts([row.outcome for row in predictions]), EXPECTED, "outcome"),
        Covariate("probability", probabilities, EXPECTED, "probability of the positive class"),
        Covariate("split", _texts([str(row.split) for row in predictions]), MODEL, "split"),
    ]


def _share_covariates(shares: RelevanceShares) -> list[Covariate]:
    return [
        Covariate(
            "relevance_outside",
            shares.outside,
            SUSPECT,
            "relevance outside the brain",
            is_share=True,
            misplaced=True,
        ),
        Covariate(
            "relevance_edge", shares.edge, SUSPECT, "relevance at the edge of the mask", True
        ),
    ]


def typed(name: str, texts: Sequence[str]) -> Any:
    """Return numbers (n,) or texts (n,): numbers with few different values name groups.

    Dates become days, NaN and the empty text stand for what is missing.
    """
    clean = ["" if text.strip().lower() in _MISSING else text.strip() for text in texts]
    if len({text for text in clean if text}) < _FEWEST_NUMBERS or numbers_are_names(name):
        return _texts(clean)
    for convert in (float, _days):
        try:
            return np.array([convert(text) if text else math.nan for text in clean])
        except (ValueError, OverflowError):
            continue
    return _texts(clean)


def _days(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=None).timestamp() / 86400


def _texts(values: Sequence[str]) -> Any:
    return np.array(values, dtype=np.str_)
