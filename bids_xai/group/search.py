"""Random search: some values of the recipe drawn anew for each training, the best kept."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bids_xai.group.context import write_table
from bids_xai.studies.tables import Study, merged
from bids_xai.training.loop import TrainingResult

SEARCH_COLUMNS = {
    "draw": "Number of the draw, from 0",
    "values": "Values drawn",
    "validation_loss": "Lowest objective on the validation scans",
    "validation_balanced_accuracy": "Balanced accuracy on the validation scans at the best epoch",
    "epochs": "Epochs trained",
    "seconds": "Duration of the training",
    "kept": "Whether this is the model that was kept",
}


@dataclass(frozen=True)
class Draw:
    """One training of a search: its study, what came out, its files (the card first)."""

    study: Study
    result: TrainingResult
    files: list[Path]


def draws_of(study: Study, seed: Sequence[int]) -> Iterator[Study]:
    """Yield the study once a draw, with one value of every list of ``search.values``.

    Equal seeds give equal draws. Source: random search as in Eitel et al. 2021.
    """
    for number in range(study.search.draws):
        rng = np.random.default_rng((*seed, number))
        changes: dict[str, Any] = {}
        for key, values in sorted(study.search.values.items()):
            _put(changes, key.split("."), values[int(rng.integers(len(values)))])
        yield replace(merged(study, changes), search=study.search)


def best_draw(draws: Sequence[Draw], folder: Path) -> tuple[list[Path], list[Path]]:
    """Move the files of the best draw into ``folder``; return them, and those of ``search.tsv``.

    The best has the highest balanced accuracy, or the lowest loss, on the validation scans: what
    ``training.early_stopping.metric`` says. The card is moved last.
    """
    scores = [_score(draw) for draw in draws]
    best = max(range(len(draws)), key=lambda index: (scores[index], -index))
    kept = []
    for file in reversed(draws[best].files):
        os.replace(file, folder / file.name)
        kept.append(folder / file.name)
    rows = [_row(index, draw, kept=index == best) for index, draw in enumerate(draws)]
    return kept, write_table(folder / "search.tsv", rows, SEARCH_COLUMNS)


def _score(draw: Draw) -> float:
    result = draw.result
    if not result.best_epoch:
        return -math.inf
    if draw.study.training.early_stopping.metric == "validation_loss":
        return -result.best_validation_loss
    accuracy = result.history[result.best_epoch - 1].validation_balanced_accuracy
    return -math.inf if accuracy is None else accuracy


def _row(number: int, draw: Draw, *, kept: bool) -> dict[str, Any]:
    result = draw.result
    best = result.history[result.best_epoch - 1] if result.best_epoch else None
    plain = draw.study.as_plain()
    values = {key: _get(plain, key.split(".")) for key in sorted(draw.study.search.values)}
    return {
        "draw": number,
        "values": ", ".join(f"{key}={value}" for key, value in values.items()) or "none",
        "validation_loss": result.best_validation_loss,
        "validation_balanced_accuracy": best.validation_balanced_accuracy if best else None,
        "epochs": len(result.history),
        "seconds": sum(record.seconds for record in result.history),
        "kept": kept,
    }


def _put(table: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        table = table.setdefault(part, {})
    table[path[-1]] = value


def _get(table: Any, path: Sequence[str]) -> Any:
    for part in path:
        table = table[part]
    return table
