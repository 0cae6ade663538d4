"""Baselines on small derivatives: features by hand, files, resumption, and no leakage."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from bids_xai.bids.files import write_tsv
from bids_xai.bids.images import Volume
from bids_xai.bids.names import anat_path
from bids_xai.core.baselines import search as machines
from bids_xai.errors import BadDataError, NoInputError
from bids_xai.group import baseline_features, baselines, outcomes
from bids_xai.group.baseline_features import files_behind, measure
from bids_xai.group.baselines import baseline_rows, run
from bids_xai.group.context import (
    COHORT_COLUMNS,
    SPLIT_COLUMNS,
    GroupContext,
    Scan,
    load_scans,
    load_splits,
    read_rows,
)
from bids_xai.group.performance import write_performance
from bids_xai.settings import RunSettings
from bids_xai.studies.schema import load_study
from bids_xai.studies.tables import Baseline, Input, Target
from bids_xai.templates.lookup import Atlas

SHAPE = (9, 11, 8)
AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])
N = 16
TEST = {0: (0, 1, 2, 3), 1: (4, 5, 6, 7)}
TEMPLATE = "MNI152NLin2009aSym"
INPUT = Input(scale=40.0, maximum=100.0)


def save(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


def place(out: Path, sub: str, suffix: str, **entities: str) -> Path:
    """Where the participant level writes an image."""
    return out / anat_path({"sub": sub, "ses": "1", **entities}, suffix, ".nii.gz")


def noise(i: int) -> np.ndarray:
    """A map of one participant; of every second a region is 30 higher."""
    data = np.random.default_rng(i).uniform(10, 30, SHAPE).astype(np.float32)
    data[4:6, 4:7, 3:5] += 30.0 * (i % 2)
    return data


def brain(i: int) -> np.ndarray:
    """Brains of two sizes along the first axis."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[2 : 7 + (i % 3 == 0), 2:9, 1:7] = 1
    return mask


def labels(shift: int = 0) -> np.ndarray:
    """Two regions, one of them beyond 255, one reaching out of the brain."""
    atlas = np.zeros(SHAPE, np.int16)
    atlas[4:6, 4:7, 3:5] = 300
    atlas[0:4, 4:7, 3:5] = 7 + shift
    return atlas


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GroupContext:
    """Sixteen participants, half of them AD, in two splits."""
    monkeypatch.setattr(machines, "C_GRID", (0.1, 10.0))
    monkeypatch.setattr(machines, "GAMMA_GRID", (0.1, 1.0))
    out, rows = tmp_path / "out", []
    for i in range(N):
        sub = f"{i:02d}"
        files = [
            save(place(out, sub, "R2starmap", space="T1w"), noise(i)),
            save(place(out, sub, "mask", desc="brain"), brain(i)),
        ]
        save(place(out, sub, "dseg", space="T1w", atlas="Mine"), labels())
        names = [str(file.relative_to(out)) for file in files]
        rows.append(
            {
                "participant_id": f"sub-{sub}",
                "session_id": "ses-1",
                "included": True,
                "class": "AD" if i % 2 else "NC",
                "map": names[0],
                "mask": names[1],
            }
        )
    folder = out / "group" / "quick"
    write_tsv(folder / "cohort.tsv", rows, COHORT_COLUMNS)
    write_tsv(folder / "splits.tsv", splits(), SPLIT_COLUMNS)
    study = dataclasses.replace(
        load_study("quick"), input=INPUT, baselines=(Baseline("svm", "regions", inner_folds=3),)
    )
    return GroupContext(RunSettings(tmp_path, out, "group"), study, TEMPLATE)


def splits() -> list[dict[str, Any]]:
    return [
        {
            "participant_id": f"sub-{i:02d}",
            "split": split,
            "set": "test" if i in test else "validation" if i > 11 else "train",
        }
        for split, test in TEST.items()
        for i in range(N)
    ]


def with_baselines(context: GroupContext, *listed: Baseline, **tables: Any) -> GroupContext:
    study = dataclasses.replace(context.study, baselines=listed, **tables)
    return dataclasses.replace(context, study=study)


def with_input(context: GroupContext, **keys: Any) -> GroupContext:
    study = dataclasses.replace(context.study, input=dataclasses.replace(INPUT, **keys))
    return dataclasses.replace(context, study=study)


def test_voxels_are_those_of_the_network_where_half_the_brains_are(context: GroupContext) -> None:
    scans = load_scans(context)
    found = measure(context, "volume", scans)
    assert found.values.dtype == np.float32
    for chosen_scans in (scans[:4], [scans[0], scans[1]], [scans[1], scans[2], scans[3]]):
        wanted = np.mean([brain(int(s.participant)) for s in chosen_scans], axis=0) >= 0.5
        chosen = found.chosen(chosen_scans)
        for scan in (scans[4], scans[5]):
            i = int(scan.participant)
            expected = (noise(i) * brain(i) / 40)[wanted]
            assert np.allclose(found.of([scan], chosen)[0], expected, atol=1e-6)


def test_voxels_are_never_below_4_mm(context: GroupContext) -> None:
    scans = load_scans(context)[:2]
    for scan in scans:
        i = int(scan.participant)
        fine = [np.kron(x, np.ones((2, 2, 2), x.dtype)) for x in (noise(i), brain(i))]
        affine = np.diag([2.0, 2.0, 2.0, 1.0])
        for file, data in zip((scan.map_file, scan.mask_file), fine, strict=True):
            save(file, data, affine)
    sizes = [
        measure(with_input(context, voxel_mm=edge), "volume", scans).values.shape[1]
        for edge in (0.0, 1.0, 4.0, 8.0)
    ]
    assert sizes[0] == sizes[1] == sizes[2]
    assert brain(0).sum() <= sizes[0] < 1.5 * brain(0).sum()
    assert sizes[3] < sizes[0] / 4


def test_regions_are_means_within_the_brain(context: GroupContext) -> None:
    scans = load_scans(context)
    data = noise(1)
    data[4, 4, 3], data[4, 5, 3], data[5, 5, 3] = np.nan, 1e6, -50  # unknown, capped, cut
    save(scans[1].map_file, data)
    found = measure(context, "regions", scans)
    assert found.values.shape == (N, 2)
    for row in (1, 2):
        values = np.clip(data if row == 1 else noise(row), 0, 100) / 40
        for column, index in enumerate((7, 300)):
            inside = (labels() == index) & (brain(row) > 0)
            assert found.values[row, column] == pytest.approx(np.nanmean(values[inside]), rel=1e-5)
    assert found.chosen(scans[:2]).all()


def test_regions_are_on_the_scale_of_the_input(context: GroupContext) -> None:
    scans = load_scans(context)
    found = measure(with_input(context, scaling="minmax"), "regions", scans[:1]).values[0]
    inside = noise(0)[brain(0) > 0]
    region = noise(0)[(labels() == 300) & (brain(0) > 0)]
    assert found[1] == pytest.approx(
        ((region - inside.min()) / (inside.max() - inside.min())).mean(), rel=1e-5
    )


def test_regions_that_a_scan_lacks_are_undefined(context: GroupContext) -> None:
    scans = load_scans(context)
    file = place(context.output_dir, "03", "dseg", space="T1w", atlas="Mine")
    save(file, labels(shift=2))
    found = measure(context, "regions", scans[:4]).values
    assert np.isnan(found).tolist() == [[False, True, False]] * 3 + [[True, False, False]]


def test_the_first_atlas_that_all_have_is_taken(context: GroupContext) -> None:
    scans = load_scans(context)
    for scan in scans:
        other = np.where(labels() == 300, 5, 0).astype(np.int16)
        save(place(context.output_dir, scan.participant, "dseg", space="T1w", atlas="Last"), other)
    save(place(context.output_dir, "00", "dseg", space="T1w", atlas="Extra"), labels())
    assert measure(context, "regions", scans).values.shape == (N, 1)
    behind = files_behind(context, "regions", scans)
    assert {file.name.split("atlas-")[1] for file in behind if "atlas" in file.name} == {
        "Last_dseg.nii.gz"
    }
    for scan in scans[:1]:
        for file in scan.map_file.parent.glob("*dseg.nii.gz"):
            file.unlink()
    with pytest.raises(NoInputError, match=r"no atlas.*--atlas"):
        measure(context, "regions", scans)


def test_a_mask_of_another_shape_is_named(context: GroupContext) -> None:
    scans = load_scans(context)
    save(scans[2].mask_file, brain(0)[:-1])
    with pytest.raises(BadDataError, match="sub-02"):
        measure(context, "regions", scans)


def test_in_template_space_the_templates_own_atlas_counts(
    context: GroupContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its grid is twice as coarse: a voxel of it covers eight of the map."""
    coarse = np.zeros((5, 6, 4), np.int32)
    coarse[2, 2, 2], coarse[3, 3, 1] = 4000, 3
    affine = np.diag([8.0, 8.0, 8.0, 1.0])
    affine[:3, 3] = 2.0
    asked: list[Any] = []

    def load(space: Any) -> Atlas | None:
        asked.append(space)
        return Atlas("Own", Volume(coarse, affine), ()) if len(asked) == 1 else None

    monkeypatch.setattr(baseline_features, "load_atlas", load)
    scans = load_scans(context)
    chosen = with_input(context, space="template")
    found = measure(chosen, "regions", scans[:3]).values
    assert str(asked[0]) == f"{TEMPLATE}:res-2"
    for row in range(3):
        for column, start in enumerate(((6, 6, 2), (4, 4, 4))):
            block = tuple(slice(k, k + 2) for k in start)
            inside = brain(row)[block] > 0
            expected = noise(row)[block][inside].mean() / 40
            assert found[row, column] == pytest.approx(expected, rel=1e-5)
    assert not [f for f in files_behind(chosen, "regions", scans) if "dseg" in f.name]
    with pytest.raises(NoInputError, match="no atlas for"):
        measure(chosen, "regions", scans)


def lesions(n: int) -> np.ndarray:
    data = np.zeros(SHAPE, np.uint8)
    data.ravel()[:n] = 1
    return data


def test_lesion_load_is_in_ml(context: GroupContext, caplog: pytest.LogCaptureFixture) -> None:
    scans = load_scans(context)
    uneven = np.array([[0, -2, 0, 9], [3, 0, 0, 8], [0, 0, 4, 7], [0, 0, 0, 1.0]])
    out = context.output_dir
    for i in (1, 3, 4):
        save(place(out, f"{i:02d}", "mask", space="T1w", label="lesion"), lesions(10 * i), uneven)
        other = {"space": TEMPLATE, "label": "lesion"}
        save(place(out, f"{i:02d}", "mask", res="2", **other), lesions(5 * i), uneven)
        save(place(out, f"{i:02d}", "mask", res="1", **other), lesions(7 * i), uneven)
    with caplog.at_level(logging.WARNING, "bids_xai"):
        found = measure(context, "lesion-load", scans)
    assert found.values.shape == (N, 1)
    expected = np.zeros(N)
    expected[[1, 3, 4]] = np.array([10, 30, 40]) * 24 / 1000
    assert np.allclose(found.values[:, 0], expected)
    assert [r.getMessage() for r in caplog.records] == [
        "lesion load: 13 of 16 scans have no lesion mask and count as 0 ml"
    ]
    assert len(files_behind(context, "lesion-load", scans)) == 3
    there = with_input(context, space="template")
    assert measure(there, "lesion-load", scans).values[1, 0] == pytest.approx(7 * 24 / 1000)


def test_no_lesion_mask_at_all_is_an_error(context: GroupContext) -> None:
    with pytest.raises(NoInputError, match=r"no scan.*lesion mask.*-d NAME=PATH"):
        measure(context, "lesion-load", load_scans(context))


def test_the_step_writes_one_row_a_test_scan(context: GroupContext) -> None:
    rbf = Baseline("svmrbf", "volume", "rbf", pca=4, inner_folds=3)
    chosen = with_baselines(context, *context.study.baselines, rbf)
    written = run(chosen)
    assert [f.name for f in written] == ["baselines.tsv", "baselines.json"]
    rows = read_rows(written[0], "baselines")
    assert list(rows[0]) == list(baselines.BASELINE_COLUMNS)
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
    assert baseline_rows(chosen) == []
    assert not (chosen.folder / "baselines").exists()


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The features of every machine that is fitted."""
    seen: list[np.ndarray] = []

    def fit(features: np.ndarray, *arguments: Any, **options: Any) -> Any:
        seen.append(features)
        return machines.fit_svm(features, *arguments, **options)

    monkeypatch.setattr(baselines, "fit_svm", fit)
    return seen


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
    save(load_scans(context)[9].map_file, noise(40))
    run(with_baselines(context, changed))
    assert len(fits) == 7


def test_only_a_split_that_changed_is_fitted_again(
    context: GroupContext, fits: list[np.ndarray]
) -> None:
    run(context)
    rows = splits()
    rows[N + 4]["set"], rows[N + 8]["set"] = "train", "test"  # of split 1
    write_tsv(context.folder / "splits.tsv", rows, SPLIT_COLUMNS)
    assert {row["split"] for row in baseline_rows(context)} == {"0"}
    run(context)
    assert len(fits) == 3
    tested = [r["participant_id"] for r in baseline_rows(context) if r["split"] == "1"]
    assert tested == ["sub-05", "sub-06", "sub-07", "sub-08"]
    del rows[9]  # of split 0: one who trains no more
    write_tsv(context.folder / "splits.tsv", rows, SPLIT_COLUMNS)
    run(context)
    assert [len(features) for features in fits] == [12, 12, 12, 11]


def test_splits_may_be_run_one_by_one(context: GroupContext, fits: list[np.ndarray]) -> None:
    for split in (1, 0):
        settings = dataclasses.replace(context.settings, split=(split,))
        table = run(dataclasses.replace(context, settings=settings))[0]
        found = {row["split"] for row in read_rows(table, "baselines")}
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
    scans, out = load_scans(context), context.output_dir
    for i in range(N):
        save(place(out, f"{i:02d}", "mask", space="T1w", label="lesion"), lesions(3 + i * (i % 3)))
    run(chosen)
    before = {r["participant_id"]: r for r in baseline_rows(chosen) if r["split"] == "0"}
    for i in TEST[0][1:]:
        save(scans[i].map_file, 5 * noise(i + 50))
        save(scans[i].mask_file, np.ones(SHAPE, np.uint8))
        save(place(out, f"{i:02d}", "dseg", space="T1w", atlas="Mine"), labels(shift=i))
        save(place(out, f"{i:02d}", "mask", space="T1w", label="lesion"), lesions(99 * i))
    run(chosen)
    assert len(fits) == 4
    assert np.array_equal(_informative(fits[0]), _informative(fits[2]))
    assert not np.array_equal(fits[1], fits[3])  # they train in the other split
    after = {r["participant_id"]: r for r in baseline_rows(chosen) if r["split"] == "0"}
    assert after["sub-00"] == before["sub-00"]
    assert after["sub-02"]["probability"] != before["sub-02"]["probability"]


def _informative(features: np.ndarray) -> np.ndarray:
    """Without the columns that no training scan has."""
    return features[:, ~np.isnan(features).all(axis=0)]


def test_a_participant_on_both_sides_is_refused(
    context: GroupContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody = load_scans(context)
    monkeypatch.setattr(baselines, "test_scans", lambda *_: everybody[8:10])
    with pytest.raises(BadDataError, match="more than one set"):
        run(context)


def test_three_classes_have_a_probability_each(context: GroupContext) -> None:
    table = context.folder / "cohort.tsv"
    rows = read_rows(table, "cohort")
    for i, row in enumerate(rows):
        row["class"] = ("NC", "AD", "MCI")[i % 3]
    write_tsv(table, rows, COHORT_COLUMNS)
    target = Target("diagnosis", classes=("NC", "MCI", "AD"), positive="MCI")
    chosen = with_baselines(context, *context.study.baselines, target=target)
    found = read_rows(run(chosen)[0], "baselines")
    assert list(found[0])[-3:] == ["probability_NC", "probability_MCI", "probability_AD"]
    for row in found:
        each = {name: float(row[f"probability_{name}"]) for name in target.names}
        assert sum(each.values()) == pytest.approx(1)
        assert row["predicted_class"] == max(each, key=lambda name: each[name])
        assert float(row["probability"]) == each["MCI"]


def test_a_class_that_does_not_train_has_probability_0(context: GroupContext) -> None:
    target = Target("diagnosis", classes=("NC", "MCI", "AD"))
    chosen = with_baselines(context, *context.study.baselines, target=target)
    for row in read_rows(run(chosen)[0], "baselines"):
        assert float(row["probability_MCI"]) == 0
        assert row["predicted_class"] == row["true_class"]
        assert float(row["probability_NC"]) + float(row["probability_AD"]) == pytest.approx(1)


def test_performance_takes_the_rows(context: GroupContext) -> None:
    run(context)
    rows = baseline_rows(context)
    assert all(row["relevance"] is None and row["warped"] is None for row in rows)
    write_performance(context, rows)
    table = read_rows(context.folder / "performance.tsv", "explain")
    assert [(r["configuration"], r["split"], r["accuracy"]) for r in table] == [
        ("svm", "0", "1"),
        ("svm", "1", "1"),
    ]


BINARY = Target("diagnosis", negative="NC", positive="AD")
THREE = Target("diagnosis", classes=("AD", "MCI", "NC"), positive="AD")


@pytest.mark.parametrize(
    ("target", "truth", "said", "expected"),
    [
        (BINARY, "AD", "AD", "TP"),
        (BINARY, "NC", "AD", "FP"),
        (BINARY, "NC", "NC", "TN"),
        (BINARY, "AD", "NC", "FN"),
        (THREE, "NC", "MCI", "FN"),
        (THREE, "NC", "NC", "TN"),
        (THREE, "AD", "NC", "FN"),
        (THREE, "MCI", "AD", "FP"),
    ],
)
def test_outcomes_are_of_the_positive_class(
    target: Target, truth: str, said: str, expected: str
) -> None:
    assert outcomes.outcome(target, truth, said) == expected


def test_a_tie_of_two_is_positive() -> None:
    assert outcomes.predicted_class(BINARY, np.array([0.5, 0.5])) == "AD"
    turned = Target("diagnosis", classes=("AD", "NC"), positive="AD")
    assert outcomes.predicted_class(turned, np.array([0.5, 0.5])) == "AD"
    assert outcomes.predicted_class(turned, np.array([0.4, 0.6])) == "NC"
    assert outcomes.predicted_class(THREE, np.array([0.3, 0.3, 0.4])) == "NC"


def test_the_first_session_alone_is_tested_where_asked(context: GroupContext) -> None:
    scans = load_scans(context)
    later = [dataclasses.replace(s, session="2", name=f"{s.name}b") for s in scans[:2]]
    every: list[Scan] = [*later, *scans]
    members = load_splits(context)[0]
    assert len(outcomes.test_scans(context, every, members)) == 6
    alone = dataclasses.replace(context.study.splits, test_baseline_only=True)
    chosen = with_baselines(context, splits=alone)
    assert outcomes.test_scans(chosen, every, members) == scans[:4]
