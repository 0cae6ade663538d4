"""Draws of a random search, and which of them stays."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from bids_xai.group.train.search import Draw, draws_of, keep_best
from bids_xai.studies.schema import load_study
from bids_xai.studies.tables import Search, Study, merged
from bids_xai.tables.training import EpochRecord
from bids_xai.training.records import TrainingResult


def study(**tables: Any) -> Study:
    return dataclasses.replace(load_study("tinauer2025"), **tables)


def searched() -> Study:
    listed = {"training.learning_rate": [1e-3, 1e-4, 1e-5], "training.early_stopping.patience": [3]}
    return study(search=Search(draws=6, values=listed))


def test_draws_take_values_of_the_lists_and_nothing_else() -> None:
    found = list(draws_of(searched(), (5,)))
    assert len(found) == 6
    rates = {one.training.learning_rate for one in found}
    assert len(rates) > 1
    assert rates <= {1e-3, 1e-4, 1e-5}
    for one in found:
        early = {"early_stopping": {"patience": 3}, "learning_rate": one.training.learning_rate}
        assert one == dataclasses.replace(searched(), training=merged(searched().training, early))
    assert found == list(draws_of(searched(), (5,)))
    assert found != list(draws_of(searched(), (6,)))


def result(loss: float, accuracy: float) -> TrainingResult:
    record = EpochRecord(
        epoch=1,
        lr=1e-3,
        train_loss=1.0,
        train_ce=1.0,
        validation_loss=loss,
        validation_ce=loss,
        validation_balanced_accuracy=accuracy,
        inner_mask_share=0.5,
        relevance_sum=1.0,
        seconds=2.0,
        scans_per_second=3.0,
    )
    return TrainingResult(
        history=(record,),
        best_epoch=1,
        best_validation_loss=loss,
        resumed_after=0,
        stopped_early=False,
        constant=False,
    )


@pytest.mark.parametrize(
    ("metric", "best"), [("validation_loss", 0), ("validation_balanced_accuracy", 1)]
)
def test_the_best_draw_is_kept(tmp_path: Path, metric: str, best: int) -> None:
    changes = {"early_stopping": {"metric": metric}}
    draws = []
    for k, numbers in enumerate([(0.3, 0.7), (0.4, 0.9), (0.5, 0.9)]):
        folder = tmp_path / f"draw-{k}"
        folder.mkdir()
        files = [folder / "model.json", folder / "model.safetensors"]
        for file in files:
            file.write_text(f"{k}")
        one = dataclasses.replace(searched(), training=merged(searched().training, changes))
        draws.append(Draw(one, result(*numbers), files))
    kept, table = keep_best(draws, tmp_path)
    assert {file.name for file in kept} == {"model.json", "model.safetensors"}
    assert (tmp_path / "model.json").read_text() == str(best)
    rows = table[0].read_text().splitlines()
    assert [line.rsplit("\t", 1)[1] for line in rows[1:]] == [
        str(k == best).lower() for k in range(3)
    ]
