"""Baselines on small derivatives: files, resumption, and no leakage."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import numpy as np
import pytest
from baseline_cases import (
    SHAPE,
    TEST,
    N,
    labels,
    lesions,
    noise,
    place,
    save,
    splits,
    with_baselines,
)
from tsv_rows import text_rows

from bids_xai.bids.files import write_tsv
from bids_xai.core import baselines as machines
from bids_xai.errors import BadDataError
from bids_xai.group.baselines import step as baselines
from bids_xai.group.baselines.step import as_prediction, current_predictions, read, run
from bids_xai.group.context import GroupContext
from bids_xai.group.explain.performance import performance_tables, write_performance
from bids_xai.studies.tables import Baseline, Target
from bids_xai.tables.cohort import COHORT, SPLITS
from bids_xai.tables.predictions import BASELINES, BaselinePrediction


def predictions_of(context: GroupContext) -> list[BaselinePrediction]:
    """What is up to date."""
    return current_predictions(read(context))


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The features of every machine that is fitted."""
    seen: list[np.ndarray] = []

    def fit(features: np.ndarray, *arguments: Any, **options: Any) -> Any:
        seen.append(features)
        return machines.fit_svm(features, *arguments, **options)

    monkeypatch.setattr(baselines, "fit_svm", fit)
    return seen


def _informative(features: np.ndarray) -> np.ndarray:
    """Without the columns that no training scan has."""
    return features[:, ~np.isnan(features).all(axis=0)]


def test_the_step_writes_one_row_a_test_scan(context: GroupContext) -> None:
    rbf = Baseline("svmrbf", "volume", "rbf", pca=4, inner_folds=3)
    chosen = with_baselines(context, *context.study.baselines, rbf)
    written = run(chosen)
    assert [f.name for f in written] == ["baselines.tsv", "baselines.json"]
    rows = text_rows(written[0])
    assert list(rows[0]) == list(BASELINES.meanings())
    assert [(r["configuration"], r["split"], r["participant_id"]) for r in rows] == [
        (name, str(split), f"sub-{i:02d}")
        for name in ("svm", "svmrbf")
        for split, test in TEST.items()
        for i in test
    ]
    for row in rows:
        assert (row["method"], row["set"], row["session_id"]) == ("n/a", "test", "ses-1")
        assert row["scan"] == f"{row['participant_id']}_ses-1"
        if row["configuration"] == "svm":  # the signal is one of its two features
            assert row["outcome"] == ("TP" if row["true_class"] == "AD" else "TN")
        assert (float(row["probability"]) >= 0.5) == (row["predicted_class"] == "AD")
    assert {r["chosen"].partition("=")[0] for r in rows} == {"C"}
    assert all(
        ("gamma" in r["chosen"] and "components" in r["chosen"]) == (r["configuration"] == "svmrbf")
        for r in rows
    )
    names = [f.name for f in sorted((chosen.folder / "baselines" / "svm").iterdir())]
    assert names == [
        "split-0.json",
        "split-0.tsv",
        "split-0_stamp.json",
        "split-1.json",
        "split-1.tsv",
        "split-1_stamp.json",
    ]


def test_a_study_without_baselines_does_nothing(context: GroupContext) -> None:
    chosen = with_baselines(context)
    assert run(chosen) == []
    assert predictions_of(chosen) == []
    assert not (chosen.folder / "baselines").exists()


def test_what_is_up_to_date_is_not_fitted_again(
    context: GroupContext, fits: list[np.ndarray], caplog: pytest.LogCaptureFixture
) -> None:
    table = run(context)[0]
    first = table.read_bytes()
    assert len(fits) == 2
    with caplog.at_level(logging.INFO, "bids_xai"):
        run(context)
    assert len(fits) == 2
    assert caplog.text.count("up to date") == 2
    (context.folder / "baselines" / "svm" / "split-1.tsv").unlink()
    run(context)
    assert len(fits) == 3
    assert table.read_bytes() == first
    changed = dataclasses.replace(context.study.baselines[0], kernel="rbf")
    run(with_baselines(context, changed))
    assert len(fits) == 5
    save(context.scans()[9].map_file, noise(40))
    run(with_baselines(context, changed))
    assert len(fits) == 7


def test_only_a_split_that_changed_is_fitted_again(
    context: GroupContext, fits: list[np.ndarray]
) -> None:
    run(context)
    rows = splits()
    rows[N + 4]["set"], rows[N + 8]["set"] = "train", "test"  # of split 1
    write_tsv(context.folder / "splits.tsv", rows, SPLITS.meanings())
    assert {row.split for row in predictions_of(context)} == {0}
    run(context)
    assert len(fits) == 3
    tested = [r.participant_id for r in predictions_of(context) if r.split == 1]
    assert tested == ["sub-05", "sub-06", "sub-07", "sub-08"]
    del rows[9]  # of split 0: one who trains no more
    write_tsv(context.folder / "splits.tsv", rows, SPLITS.meanings())
    run(context)
    assert [len(features) for features in fits] == [12, 12, 12, 11]


def test_splits_may_be_run_one_by_one(context: GroupContext, fits: list[np.ndarray]) -> None:
    for split in (1, 0):
        settings = dataclasses.replace(context.settings, split=(split,))
        table = run(dataclasses.replace(context, settings=settings))[0]
        found = {row["split"] for row in text_rows(table)}
        assert found == ({"1"} if split else {"0", "1"})
    assert len(fits) == 2
    alone = table.read_bytes()
    run(context)
    assert len(fits) == 2
    assert table.read_bytes() == alone


def test_all_but_the_test_scans_train_and_the_seed_counts(
    context: GroupContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Any, ...]] = []

    def fit(features: np.ndarray, truth: Any, people: Any, **options: Any) -> Any:
        seen.append((features.shape, tuple(truth), tuple(people), options["seed"]))
        return machines.fit_svm(features, truth, people, **options)

    monkeypatch.setattr(baselines, "fit_svm", fit)
    repeated = dataclasses.replace(context.study.splits, repetitions=2)
    settings = dataclasses.replace(context.settings, random_seed=5)
    chosen = with_baselines(context, *context.study.baselines, splits=repeated)
    run(dataclasses.replace(chosen, settings=settings))
    trained = [i for i in range(N) if i not in TEST[0]]
    assert seen[0] == (
        (12, 2),
        tuple(i % 2 for i in trained),
        tuple(f"{i:02d}" for i in trained),
        5,
    )
    assert seen[1][3] == 6


@pytest.mark.parametrize("features", ["volume", "regions", "lesion-load"])
def test_test_scans_change_nothing_in_training(
    context: GroupContext, fits: list[np.ndarray], features: str
) -> None:
    """The test scans of split 0 become noise, with brains of another size and other regions."""
    chosen = with_baselines(context, Baseline("svm", features, pca=1, inner_folds=3))
    scans, out = context.scans(), context.output_dir
    for i in range(N):
        save(place(out, f"{i:02d}", "mask", space="T1w", label="lesion"), lesions(3 + i * (i % 3)))
    run(chosen)
    before = {r.participant_id: r for r in predictions_of(chosen) if r.split == 0}
    for i in TEST[0][1:]:
        save(scans[i].map_file, 5 * noise(i + 50))
        save(scans[i].mask_file, np.ones(SHAPE, np.uint8))
        save(place(out, f"{i:02d}", "dseg", space="T1w", atlas="Mine"), labels(shift=i))
        save(place(out, f"{i:02d}", "mask", space="T1w", label="lesion"), lesions(99 * i))
    run(chosen)
    assert len(fits) == 4
    assert np.array_equal(_informative(fits[0]), _informative(fits[2]))
    assert not np.array_equal(fits[1], fits[3])  # they train in the other split
    after = {r.participant_id: r for r in predictions_of(chosen) if r.split == 0}
    assert after["sub-00"] == before["sub-00"]
    assert after["sub-02"].probability != before["sub-02"].probability


def test_a_participant_on_both_sides_is_refused(
    context: GroupContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody = context.scans()
    monkeypatch.setattr(baselines, "test_scans", lambda *_: everybody[8:10])
    with pytest.raises(BadDataError, match="more than one set"):
        run(context)


def test_three_classes_have_a_probability_each(context: GroupContext) -> None:
    table = context.folder / "cohort.tsv"
    rows = text_rows(table)
    for i, row in enumerate(rows):
        row["class"] = ("NC", "AD", "MCI")[i % 3]
    write_tsv(table, rows, COHORT.meanings())
    target = Target("diagnosis", classes=("NC", "MCI", "AD"), positive="MCI")
    chosen = with_baselines(context, *context.study.baselines, target=target)
    found = text_rows(run(chosen)[0])
    assert list(found[0])[-3:] == ["probability_NC", "probability_MCI", "probability_AD"]
    for row in found:
        each = {name: float(row[f"probability_{name}"]) for name in target.names}
        assert sum(each.values()) == pytest.approx(1)
        assert row["predicted_class"] == max(each, key=lambda name: each[name])
        assert float(row["probability"]) == each["MCI"]


def test_a_class_that_does_not_train_has_probability_0(context: GroupContext) -> None:
    target = Target("diagnosis", classes=("NC", "MCI", "AD"))
    chosen = with_baselines(context, *context.study.baselines, target=target)
    for row in text_rows(run(chosen)[0]):
        assert float(row["probability_MCI"]) == 0
        assert row["predicted_class"] == row["true_class"]
        assert float(row["probability_NC"]) + float(row["probability_AD"]) == pytest.approx(1)


def test_lines_of_predictions_have_no_heatmap(context: GroupContext) -> None:
    run(context)
    rows = [as_prediction(row) for row in predictions_of(context)]
    assert all(row.heatmap is None and row.warped_heatmap is None for row in rows)
    assert all(row.relevance_class is None and row.relevance_sum is None for row in rows)
    assert [(row.configuration, row.split) for row in rows] == 4 * [("svm", 0)] + 4 * [("svm", 1)]


def test_performance_takes_the_rows(context: GroupContext) -> None:
    run(context)
    rows = predictions_of(context)
    tables = performance_tables(rows, context.study.target, ["svm"], {})
    write_performance(context.folder, tables)
    table = text_rows(context.folder / "performance.tsv")
    assert [(r["configuration"], r["split"], r["accuracy"]) for r in table] == [
        ("svm", "0", "1"),
        ("svm", "1", "1"),
    ]
