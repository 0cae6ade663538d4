"""What a training reads: volumes, masks of guidance, z-scores; draws of a search; a dry run."""

from __future__ import annotations

import dataclasses
import logging
import signal
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from bids_xai.errors import BadDataError, InterruptedRunError, NoInputError
from bids_xai.group.context import Scan
from bids_xai.group.search import Draw, best_draw, draws_of
from bids_xai.group.volumes import guidance_mask, input_rule, training_volumes, with_statistics
from bids_xai.models.size import network_size
from bids_xai.stages.network_grid import InputRule, load_network_input
from bids_xai.studies.schema import load_study
from bids_xai.studies.tables import Input, Search, Study, merged
from bids_xai.tables.training import EpochRecord
from bids_xai.training.records import TrainingResult

SHAPE = (12, 14, 10)
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


@pytest.fixture
def scans(tmp_path: Path) -> list[Scan]:
    """Four scans of noise, 10 to 30 within a box, with an atlas of two regions."""
    rng = np.random.default_rng(0)
    found = []
    for i in range(4):
        folder = tmp_path / f"sub-{i:02d}" / "anat"
        folder.mkdir(parents=True)
        brain = np.zeros(SHAPE, np.uint8)
        brain[2:10, 2:12, 2:8] = 1
        labels = np.zeros(SHAPE, np.int16)
        labels[4:6, 4:6, 4:6], labels[6:8, 4:6, 4:6] = 300, 7
        data = {
            "space-T1w_R2starmap": rng.uniform(10, 30, SHAPE).astype(np.float32),
            "desc-brain_mask": brain,
            "space-T1w_atlas-Mine_dseg": labels,
        }
        for name, values in data.items():
            nib.save(nib.Nifti1Image(values, AFFINE), folder / f"sub-{i:02d}_{name}.nii.gz")
        found.append(
            Scan(
                f"sub-{i:02d}",
                f"{i:02d}",
                "",
                "AD" if i % 2 else "NC",
                folder / f"sub-{i:02d}_space-T1w_R2starmap.nii.gz",
                folder / f"sub-{i:02d}_desc-brain_mask.nii.gz",
                None,
            )
        )
    return found


def study(**tables: Any) -> Study:
    return dataclasses.replace(load_study("tinauer2025"), **tables)


def values(scan: Scan) -> np.ndarray:
    return np.asarray(nib.load(scan.map_file).dataobj)


def brain(scan: Scan) -> np.ndarray:
    return np.asarray(nib.load(scan.mask_file).dataobj) > 0


@pytest.mark.parametrize("strip", [False, True])
def test_every_scaling_is_what_it_says(scans: list[Scan], strip: bool) -> None:
    data, inside = values(scans[0]), brain(scans[0])
    seen = np.where(inside, data, 0) if strip else data

    def loaded(**keys: Any) -> np.ndarray:
        rule = input_rule(study(input=Input(**keys)), strip, SHAPE)
        return load_network_input(scans[0].map_file, scans[0].mask_file, rule)[0].data

    assert np.allclose(loaded(scale=40.0), seen / 40, atol=1e-6)
    assert np.allclose(loaded(scale=40.0, maximum=20.0), np.minimum(seen, 20) / 40, atol=1e-6)
    low, high = (data[inside].min(), data[inside].max()) if strip else (data.min(), data.max())
    expected = (data - low) / (high - low) * (inside if strip else 1)
    found = loaded(scaling="minmax")
    assert np.allclose(found, expected, atol=1e-6)
    assert (found.min(), found.max()) == (0, 1)


def test_z_scores_are_those_of_the_training_scans(scans: list[Scan]) -> None:
    rule = input_rule(study(input=Input(scaling="zscore")), False, SHAPE)
    rule = with_statistics(rule, scans[:3])
    stack = np.stack([values(scan) for scan in scans[:3]]).astype(np.float64)
    mean, sd = stack.mean(0), stack.std(0, ddof=1)
    assert rule.statistics is not None
    assert np.allclose(rule.statistics[0], mean, rtol=1e-5)
    assert np.allclose(rule.statistics[1], sd, rtol=1e-4)
    found, _ = load_network_input(scans[3].map_file, scans[3].mask_file, rule)
    assert np.allclose(found.data, (values(scans[3]) - mean) / sd, rtol=1e-3, atol=1e-3)


def test_a_voxel_that_never_varies_is_zero(scans: list[Scan]) -> None:
    for scan in scans:
        data = values(scan).copy()
        data[3, 4, 5] = 17.0
        nib.save(nib.Nifti1Image(data, AFFINE), scan.map_file)
    rule = with_statistics(input_rule(study(input=Input(scaling="zscore")), False, SHAPE), scans)
    found, _ = load_network_input(scans[0].map_file, scans[0].mask_file, rule)
    assert found.data[3, 4, 5] == 0
    assert np.isfinite(found.data).all()


@pytest.mark.parametrize(
    ("mask", "erode", "n"),
    [
        ("brain", 0, 8 * 10 * 6),
        ("brain", 1, 6 * 8 * 4),
        ("atlas:Mine", 0, 16),
        ("atlas:Mine:300", 0, 8),
    ],
)
def test_relevance_is_wanted_where_the_study_says(
    scans: list[Scan], mask: str, erode: int, n: int
) -> None:
    training = dataclasses.replace(study().training, guidance_mask=mask, guidance_erode=erode)
    chosen = study(training=training)
    rule = input_rule(chosen, False, SHAPE)
    _, whole = load_network_input(scans[0].map_file, scans[0].mask_file, rule)
    found = guidance_mask(chosen, scans[0], whole).data
    assert set(np.unique(found)) == {0, 1}
    assert found.sum() == n
    if mask == "atlas:Mine:300":
        assert found[4:6, 4:6, 4:6].all()


def test_an_atlas_that_is_not_there_is_named(scans: list[Scan]) -> None:
    chosen = study(training=dataclasses.replace(study().training, guidance_mask="atlas:Other"))
    _, whole = load_network_input(
        scans[0].map_file, scans[0].mask_file, input_rule(chosen, False, SHAPE)
    )
    with pytest.raises(NoInputError, match=r"'Other'.*--atlas Other"):
        guidance_mask(chosen, scans[0], whole)


def test_volumes_are_made_once_for_each_rule(scans: list[Scan], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    rule: InputRule = input_rule(study(), False, SHAPE)
    first = training_volumes(study(), rule, scans, cache)
    assert [label for _, _, label in (first[i] for i in range(4))] == [0, 1, 0, 1]
    assert np.allclose(first[2][0][0].numpy(), values(scans[2]) / 40, atol=1e-6)
    stamps = {f: f.stat().st_mtime_ns for f in cache.rglob("*.npy")}
    training_volumes(study(), rule, scans, cache)
    assert {f: f.stat().st_mtime_ns for f in cache.rglob("*.npy")} == stamps
    training_volumes(study(), dataclasses.replace(rule, skull_strip=True), scans, cache)
    assert len(list(cache.rglob("*.npy"))) == 2 * len(stamps)


def test_a_signal_while_volumes_are_made_stops_after_a_scan(
    scans: list[Scan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def load(map_file: Path, *of: Any) -> Any:
        made.append(map_file.name)
        signal.raise_signal(signal.SIGUSR1)
        return load_network_input(map_file, *of)

    monkeypatch.setattr("bids_xai.group.volumes.load_network_input", load)
    rule = input_rule(study(), False, SHAPE)
    with pytest.raises(InterruptedRunError, match="SIGUSR1") as caught:
        training_volumes(study(), rule, scans, tmp_path / "cache")
    assert caught.value.status == 75
    assert len(made) == 1


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
    kept, table = best_draw(draws, tmp_path)
    assert {file.name for file in kept} == {"model.json", "model.safetensors"}
    assert (tmp_path / "model.json").read_text() == str(best)
    rows = table[0].read_text().splitlines()
    assert [line.rsplit("\t", 1)[1] for line in rows[1:]] == [
        str(k == best).lower() for k in range(3)
    ]


def test_the_size_of_a_network_is_counted_without_running_it() -> None:
    """graz on 176 x 224 x 256: 0.33 million parameters."""
    weights, maps = network_size("graz", (176, 224, 256), 2)
    assert weights == pytest.approx(0.33e6, rel=0.02)
    # eight channels, convolution and ReLU, at full, twice half, ... size
    full = 176 * 224 * 256
    by_hand = 2 * 8 * sum(full / 8**k * (1 + 1 / 8) for k in range(4))
    assert maps == pytest.approx(by_hand, rel=0.01)


def test_a_dry_run_says_who_is_in_before_a_class_is_missed(
    derivatives: Any, caplog: pytest.LogCaptureFixture
) -> None:
    from bids_xai.group import dry_run

    derivatives.people("participant_id\tdiagnosis\nsub-01\tNC\nsub-02\tMCI\n")
    for label in ("01", "02"):
        derivatives.scan(label)
    with caplog.at_level(logging.INFO, "bids_xai"), pytest.raises(BadDataError, match="AD"):
        dry_run.say_what_would_be_done(derivatives.context(dry_run=True), ["train"])
    assert "included (1 of NC, 0 of AD), 1 scans left out" in caplog.text
    assert "left out: 1 scans, diagnosis is MCI" in caplog.text


def test_a_dry_run_says_who_and_how_much(
    derivatives: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bids_xai.group import dry_run

    derivatives.people(
        "participant_id\tdiagnosis\n"
        + "".join(f"sub-{i:02d}\t{'AD' if i % 2 else 'NC'}\n" for i in range(1, 11))
    )
    for i in range(1, 10):
        derivatives.scan(f"{i:02d}")
    monkeypatch.setattr(dry_run, "common_shape", lambda *_: (40, 48, 40))
    with caplog.at_level(logging.INFO, "bids_xai"):
        dry_run.say_what_would_be_done(derivatives.context(dry_run=True), ["train"])
    said = caplog.text
    assert "9 scans of 9 participants included (4 of NC, 5 of AD), 0 scans left out" in said
    assert "left out: 1 participants, no input map among the derivatives" in said
    assert "2 split(s)" in said
    assert "configuration C: graz on 40×48×40 voxels" in said
    assert "would run train: 6 training(s)" in said
    assert not (derivatives.out / "group").exists()
