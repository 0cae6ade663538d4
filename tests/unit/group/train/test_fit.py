"""One training: how it counts, and which files a saved network has."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from bids_xai.group.train import fit
from bids_xai.group.train.inputs import Resources
from bids_xai.runtime.progress import Progress
from bids_xai.studies.schema import load_study
from bids_xai.tables.training import EpochRecord


def record(epoch: int) -> EpochRecord:
    values = dict.fromkeys(EpochRecord.__dataclass_fields__, 0.5)
    return EpochRecord(**values | {"epoch": epoch})  # type: ignore[arg-type]


def test_a_training_that_stops_early_counts_as_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stops(*data: Any, progress: Any, **options: Any) -> Any:
        for epoch in (1, 2):
            progress(record(epoch))
        return SimpleNamespace(constant=False)

    def anything(*of: Any, **options: Any) -> Any:
        return SimpleNamespace(epochs=40, leads=False)

    replaced = ("input_rule", "with_statistics", "build", "recipe_of", "current_processes")
    for name in (*replaced, "model_card", "training_size", "check_memory"):
        monkeypatch.setattr(fit, name, anything)
    monkeypatch.setattr(fit, "training_volumes", lambda *of: [])
    monkeypatch.setattr(fit, "train", stops)
    training = cast(
        "Any",
        SimpleNamespace(
            configuration=SimpleNamespace(skull_strip=False, relevance_guided=False),
            shape=(2, 2, 2),
            of_set=lambda name: [],
            weight_seed=0,
            seed=0,
            split=0,
            title="A, split 0",
            start_folder=None,
        ),
    )
    study = load_study("quick")
    progress = Progress("trainings", 3, live=False)
    resources = Resources(tmp_path, cast("Any", "cpu"), 1, False)
    fit.fit_network(training, study, tmp_path, resources, progress)
    assert progress.done == 1
    fit.fit_network(training, study, tmp_path, resources, progress, draw="draw 1 of 4", share=0.25)
    assert progress.done == 1.25


def test_a_saved_network_has_its_statistics_where_there_are_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "save_model", lambda folder, model, card: folder / "model.json")
    statistics = (np.zeros((2, 2, 2)), np.ones((2, 2, 2)))
    for values, n_files in ((None, 3), (statistics, 4)):
        network = cast(
            "Any", SimpleNamespace(model=None, card=None, rule=SimpleNamespace(statistics=values))
        )
        files = fit.save_network(tmp_path, network)
        assert files[0] == tmp_path / "model.json"
        assert len(files) == n_files
        assert {"model.safetensors", "training.tsv"} < {file.name for file in files}
