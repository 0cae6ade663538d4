"""Random search: some values of the recipe drawn anew for each training, the best kept."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_xai.errors import BadDataError
from bids_xai.studies.rules import broken_rule
from bids_xai.studies.tables import Study, merged, nested
from bids_xai.tables.training import SEARCH, SearchDraw

if TYPE_CHECKING:
    from bids_xai.training.loop import TrainingResult


@dataclass(frozen=True)
class Draw:
    """One training of a search: its study, what came out, its files (the card first)."""

    study: Study
    result: TrainingResult
    files: list[Path]

    @property
    def score(self) -> float:
        """What the best draw has most of, by ``training.early_stopping.metric``.

        Balanced accuracy, or minus the loss, on the validation scans; minus infinity where it is
        not defined.
        """
        result = self.result
        if not result.best_epoch:
            return -math.inf
        if self.study.training.early_stopping.metric == "validation_loss":
            return -result.best_validation_loss
        accuracy = result.history[result.best_epoch - 1].validation_balanced_accuracy
        if accuracy is None:
            return -math.inf
        return accuracy if accuracy == accuracy else -math.inf


def draws_of(study: Study, seed: Sequence[int]) -> Iterator[Study]:
    """Yield the study once a draw, with one value of every list of ``search.values``.

    Equal seeds give equal draws. Raises :class:`BadDataError` for values that cannot be together.
    Source: random search as in Eitel et al. 2021.
    """
    for number in range(study.search.draws):
        rng = np.random.default_rng((*seed, number))
        drawn = study
        for key, values in sorted(study.search.values.items()):
            drawn = merged(drawn, nested(key, values[int(rng.integers(len(values)))]))
        if rule := broken_rule(drawn):
            raise BadDataError(
                f"draw {number + 1} of the search breaks a rule of studies: {rule}",
                fix="leave out of [search.values] what does not go together",
            )
        yield drawn


def best_of(draws: Sequence[Draw]) -> int:
    """Return the index of the best draw by validation; of equal ones the first."""
    return max(range(len(draws)), key=lambda index: (draws[index].score, -index))


def keep_best(draws: Sequence[Draw], folder: Path) -> tuple[list[Path], list[Path]]:
    """Move the files of the best draw into ``folder``; return them, and those of ``search.tsv``.

    The card is moved last.
    """
    best = best_of(draws)
    moved = []
    for file in reversed(draws[best].files):
        os.replace(file, folder / file.name)
        moved.append(folder / file.name)
    return moved, SEARCH.write(folder / SEARCH.file, draw_rows(draws, best))


def draw_rows(draws: Sequence[Draw], best: int) -> list[SearchDraw]:
    """Return the lines of ``search.tsv``; best : index of the draw that is kept."""
    return [_row(index, draw, is_best=index == best) for index, draw in enumerate(draws)]


def _row(number: int, draw: Draw, *, is_best: bool) -> SearchDraw:
    result = draw.result
    best = result.history[result.best_epoch - 1] if result.best_epoch else None
    plain = draw.study.as_plain()
    values = {key: _get(plain, key.split(".")) for key in sorted(draw.study.search.values)}
    return SearchDraw(
        draw=number,
        values=", ".join(f"{key}={value}" for key, value in values.items()) or "none",
        validation_loss=result.best_validation_loss,
        validation_balanced_accuracy=best.validation_balanced_accuracy if best else None,
        epochs=len(result.history),
        seconds=sum(record.seconds for record in result.history),
        is_best=is_best,
    )


def _get(table: Any, path: Sequence[str]) -> Any:
    for part in path:
        table = table[part]
    return table
