"""What a training reads: volumes, masks of guidance, z-scores."""

from __future__ import annotations

import dataclasses
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from bids_xai.errors import CannotCreateError, InterruptedRunError, NoInputError
from bids_xai.group.scans import Scan
from bids_xai.group.volumes import guidance_mask, input_rule, training_volumes, with_statistics
from bids_xai.stages.network_grid import InputRule, load_network_input
from bids_xai.studies.schema import load_study
from bids_xai.studies.tables import Input, Study

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
        rule = input_rule(Input(**keys), strip, SHAPE)
        return load_network_input(scans[0].map_file, scans[0].mask_file, rule)[0].data

    assert np.allclose(loaded(scale=40.0), seen / 40, atol=1e-6)
    assert np.allclose(loaded(scale=40.0, maximum=20.0), np.minimum(seen, 20) / 40, atol=1e-6)
    low, high = (data[inside].min(), data[inside].max()) if strip else (data.min(), data.max())
    expected = (data - low) / (high - low) * (inside if strip else 1)
    found = loaded(scaling="minmax")
    assert np.allclose(found, expected, atol=1e-6)
    assert (found.min(), found.max()) == (0, 1)


def test_z_scores_are_those_of_the_training_scans(scans: list[Scan]) -> None:
    rule = input_rule(Input(scaling="zscore"), False, SHAPE)
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
    rule = with_statistics(input_rule(Input(scaling="zscore"), False, SHAPE), scans)
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
    rule = input_rule(chosen.input, False, SHAPE)
    _, whole = load_network_input(scans[0].map_file, scans[0].mask_file, rule)
    found = guidance_mask(chosen, scans[0], whole).data
    assert set(np.unique(found)) == {0, 1}
    assert found.sum() == n
    if mask == "atlas:Mine:300":
        assert found[4:6, 4:6, 4:6].all()


def test_an_atlas_that_is_not_there_is_named(scans: list[Scan]) -> None:
    chosen = study(training=dataclasses.replace(study().training, guidance_mask="atlas:Other"))
    _, whole = load_network_input(
        scans[0].map_file, scans[0].mask_file, input_rule(chosen.input, False, SHAPE)
    )
    with pytest.raises(NoInputError, match=r"'Other'.*--atlas Other"):
        guidance_mask(chosen, scans[0], whole)


def test_volumes_are_made_once_for_each_rule(scans: list[Scan], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    rule: InputRule = input_rule(study().input, False, SHAPE)
    first = training_volumes(study(), rule, scans, cache)
    assert [label for _, _, label in (first[i] for i in range(4))] == [0, 1, 0, 1]
    assert np.allclose(first[2][0][0].numpy(), values(scans[2]) / 40, atol=1e-6)
    stamps = {f: f.stat().st_mtime_ns for f in cache.rglob("*.npy")}
    training_volumes(study(), rule, scans, cache)
    assert {f: f.stat().st_mtime_ns for f in cache.rglob("*.npy")} == stamps
    training_volumes(study(), dataclasses.replace(rule, skull_strip=True), scans, cache)
    assert len(list(cache.rglob("*_input-*.npy"))) == len(stamps)  # masks are the same
    assert len(list(cache.rglob("*_mask-*.npy"))) == len(stamps) / 2


Loaded = list[str]


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Loaded:
    """Names of the maps that were read."""
    names: Loaded = []

    def load(map_file: Path, *of: Any) -> Any:
        names.append(map_file.name[:6])
        return load_network_input(map_file, *of)

    monkeypatch.setattr("bids_xai.group.volumes.load_network_input", load)
    return names


def test_only_scans_that_changed_are_read_again(
    scans: list[Scan], tmp_path: Path, loaded: Loaded
) -> None:
    """Another split has other scans of the same study; another guidance needs masks alone."""
    rule = input_rule(study().input, False, SHAPE)
    cache = tmp_path / "cache"
    training_volumes(study(), rule, scans[:3], cache)
    training_volumes(study(), rule, scans[1:], cache)
    assert loaded == ["sub-00", "sub-01", "sub-02", "sub-03"]
    nib.save(nib.Nifti1Image(values(scans[1]) + 1, AFFINE), scans[1].map_file)
    data = training_volumes(study(), rule, scans, cache)
    assert loaded[4:] == ["sub-01"]
    assert np.allclose(data[1][0][0].numpy(), values(scans[1]) / 40, atol=1e-6)
    n_inputs = len(list(cache.glob("*_input-*.npy")))
    eroded = dataclasses.replace(study().training, guidance_erode=1)
    masks = training_volumes(study(training=eroded), rule, scans, cache)
    assert len(list(cache.glob("*_input-*.npy"))) == n_inputs
    assert masks[0][1].sum() == 6 * 8 * 4
    assert data[0][1].sum() == 8 * 10 * 6


@pytest.mark.parametrize(
    "change",
    [
        {"scale": 20.0},
        {"maximum": 25.0},
        {"skull_strip": True},
        {"voxel_mm": 3.0},
        {"scaling": "minmax"},
    ],
)
def test_every_setting_of_the_input_has_volumes_of_its_own(
    scans: list[Scan], tmp_path: Path, change: dict[str, Any]
) -> None:
    rule = input_rule(study().input, False, SHAPE)
    before = training_volumes(study(), rule, scans[:1], tmp_path)[0][0]
    changed = training_volumes(study(), dataclasses.replace(rule, **change), scans[:1], tmp_path)
    assert not np.allclose(before, changed[0][0])
    assert np.allclose(training_volumes(study(), rule, scans[:1], tmp_path)[0][0], before)


def test_a_damaged_volume_is_made_again(
    scans: list[Scan], tmp_path: Path, loaded: Loaded, caplog: pytest.LogCaptureFixture
) -> None:
    rule = input_rule(study().input, False, SHAPE)
    files = training_volumes(study(), rule, scans, tmp_path).files
    content = files[2].volume.read_bytes(), files[3].mask.read_bytes()
    files[2].volume.write_bytes(content[0][:-100])  # as by a disk that was full
    files[3].mask.write_bytes(b"")
    loaded.clear()
    training_volumes(study(), rule, scans, tmp_path)
    assert loaded == ["sub-02", "sub-03"]
    assert (files[2].volume.read_bytes(), files[3].mask.read_bytes()) == content
    assert f"{files[2].volume} is damaged and made again" in caplog.messages


def test_a_disk_that_is_too_small_is_told_before_any_work(
    scans: list[Scan], tmp_path: Path, loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = input_rule(study().input, False, SHAPE)
    n_bytes = 5 * int(np.prod(SHAPE))
    training_volumes(study(), rule, scans[:1], tmp_path)
    loaded.clear()
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=3 * n_bytes - 1))
    with pytest.raises(CannotCreateError, match=r"of 3 scans need .* GB are free.*--work-dir"):
        training_volumes(study(), rule, scans, tmp_path)
    assert loaded == []
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=3 * n_bytes))
    training_volumes(study(), rule, scans, tmp_path)


def test_what_another_process_is_making_is_waited_for(
    scans: list[Scan], tmp_path: Path, loaded: Loaded
) -> None:
    """It is taken as it comes; the other scans are made meanwhile."""
    rule = input_rule(study().input, False, SHAPE)
    there, here = tmp_path / "there", tmp_path / "here"
    theirs = training_volumes(study(), rule, scans[:1], there).files[0]
    here.mkdir()
    claimed = here / f".{theirs.volume.name}.claim"
    loaded.clear()
    with subprocess.Popen(["sleep", "60"]) as another:
        claimed.write_text(f"{socket.gethostname()} {another.pid}")

        def finish() -> None:
            for file in (theirs.mask, theirs.volume):
                shutil.copy(file, here / file.name)
            claimed.unlink()

        timer = threading.Timer(0.7, finish)
        timer.start()
        data = training_volumes(study(), rule, scans, here)
        timer.join()
        another.kill()
    assert loaded == ["sub-01", "sub-02", "sub-03"]
    assert np.allclose(data[0][0][0].numpy(), values(scans[0]) / 40, atol=1e-6)


def test_what_a_killed_process_was_making_is_made(scans: list[Scan], tmp_path: Path) -> None:
    rule = input_rule(study().input, False, SHAPE)
    files = training_volumes(study(), rule, scans[:1], tmp_path).files[0]
    files.volume.unlink()
    with subprocess.Popen(["true"]) as gone:
        pass
    claimed = files.volume.with_name(f".{files.volume.name}.claim")
    claimed.write_text(f"{socket.gethostname()} {gone.pid}")
    training_volumes(study(), rule, scans[:1], tmp_path)
    assert files.volume.is_file()
    assert not claimed.exists()


def test_a_signal_while_volumes_are_made_stops_after_a_scan(
    scans: list[Scan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def load(map_file: Path, *of: Any) -> Any:
        made.append(map_file.name)
        signal.raise_signal(signal.SIGUSR1)
        return load_network_input(map_file, *of)

    monkeypatch.setattr("bids_xai.group.volumes.load_network_input", load)
    rule = input_rule(study().input, False, SHAPE)
    with pytest.raises(InterruptedRunError, match="SIGUSR1") as caught:
        training_volumes(study(), rule, scans, tmp_path / "cache")
    assert caught.value.status == 75
    assert len(made) == 1
