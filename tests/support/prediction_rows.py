"""Predictions as short rows, and the tables of performance that follow from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bids_xai.group.context import GroupContext
from bids_xai.group.explain.performance import (
    PerformanceTables,
    performance_tables,
    training_length,
    write_performance,
)
from bids_xai.tables.predictions import Prediction


def as_prediction(row: Mapping[str, Any]) -> Prediction:
    """A prediction from what a test needs of it; ``probability_X`` is that of class X."""
    start = "probability_"
    session = row.get("session_id")
    return Prediction(
        participant_id=row["participant_id"],
        session_id=None if session == "n/a" else session,
        configuration=row["configuration"],
        split=int(row["split"]),
        method=row.get("method"),
        relevance_class=None,
        set_name="test",
        true_class=row["true_class"],
        predicted_class=row["predicted_class"],
        probability=float(row["probability"]),
        outcome=row.get("outcome", "TP"),
        relevance_sum=None,
        warped_sum=None,
        inner_mask_share=None,
        heatmap=Path(row["relevance"]) if row.get("relevance") else None,
        warped_heatmap=None,
        class_probabilities={
            key.removeprefix(start): float(value)
            for key, value in row.items()
            if key.startswith(start)
        },
    )


def tables_of(context: GroupContext, rows: Iterable[Mapping[str, Any]]) -> PerformanceTables:
    """The tables of the study's first method and of what has none, with the lengths of cards."""
    study = context.study
    names = [entry.id for entry in (*study.configurations, *study.baselines)]
    predictions = [as_prediction(row) for row in rows]
    first = [
        row for row in predictions if row.method in (study.attribution.methods[0], None, "n/a")
    ]
    keys = {(row.configuration, row.split) for row in first}
    lengths = {key: training_length(context.model_folder(*key)) for key in keys}
    return performance_tables(first, study.target, names, lengths)


def write_performance_of(context: GroupContext, rows: Iterable[Mapping[str, Any]]) -> list[Path]:
    """Write these tables into the study's folder."""
    return write_performance(context.folder, tables_of(context, rows))
