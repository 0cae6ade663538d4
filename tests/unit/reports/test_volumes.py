"""Volumes for pictures: one grid, one window, the images of a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bids_xai.bids.files import write_nifti
from bids_xai.bids.images import Volume
from bids_xai.reports.volumes import (
    Folder,
    is_at_hand,
    load,
    mask_on_grid,
    on_grid,
    positive_window,
)
from bids_xai.settings import EMBEDDED_TEMPLATE, OutputSpace


def test_a_folder_is_searched_by_suffix_and_entities(tmp_path: Path) -> None:
    for name in ("sub-1_T1w", "sub-1_space-T1w_R1map", "sub-1_space-X_desc-a_T1w"):
        (tmp_path / f"{name}.nii.gz").write_bytes(b"")
    (tmp_path / "sub-1_T1w.json").write_text("{}")
    folder = Folder.of(tmp_path)
    assert [len(folder.find(s)) for s in ("T1w", "R1map", "mask")] == [2, 1, 0]
    assert [i.path.name for i in folder.find("T1w", space=None)] == ["sub-1_T1w.nii.gz"]
    first = folder.first("T1w", space="X", desc="a")
    assert first is not None
    assert first.entities == {"sub": "1", "space": "X", "desc": "a"}
    assert folder.first("T1w", space="X", desc="b") is None
    assert Folder.of(tmp_path / "gone").images == ()


def test_a_volume_is_loaded_in_ras_order_and_finite(tmp_path: Path) -> None:
    data = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    data[0, 0, 0], data[1, 0, 0] = np.nan, np.inf
    write_nifti(tmp_path / "x.nii.gz", data, np.diag([-1.0, 1, 1, 1]))
    volume = load(tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(volume.data, np.nan_to_num(data, posinf=0)[::-1])
    assert volume.affine[0, 0] == 1


def test_another_grid_is_reached_linearly_and_outside_is_zero() -> None:
    rng = np.random.default_rng(0)
    volume = Volume(rng.random((5, 6, 7)).astype(np.float32), np.diag([2.0, 1.0, 1.0, 1.0]))
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    like = Volume(np.zeros((12, 6, 7), np.float32), affine)
    found = on_grid(volume, like)
    for x in range(12):
        low, part = divmod(x / 2, 1)
        expected = np.zeros((6, 7))
        if low + (part > 0) <= 4:
            upper = volume.data[min(int(low) + 1, 4)]
            expected = (1 - part) * volume.data[int(low)] + part * upper
        np.testing.assert_allclose(found[x], expected, atol=1e-6)
    assert on_grid(volume, volume) is volume.data
    mask = Volume((volume.data > 0.5), volume.affine)
    np.testing.assert_array_equal(mask_on_grid(mask, volume), mask.data)


def test_the_window_is_over_what_is_positive_or_over_magnitudes() -> None:
    values = np.concatenate([np.arange(1.0, 102.0), -np.arange(1.0, 402.0), [1e-9]])
    assert positive_window(values, (50, 100)) == pytest.approx((51, 101))
    magnitudes = np.abs(values[:-1])
    expected = tuple(np.percentile(magnitudes, (50, 100)))
    assert positive_window(values, (50, 100), signed=True) == pytest.approx(expected)
    assert positive_window(-np.ones(3), (50, 100)) is None
    assert positive_window(np.zeros(0), (50, 100)) is None


def test_a_template_in_the_cache_is_at_hand_if_its_files_are_not_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path))
    space = OutputSpace("T", 2)
    assert is_at_hand(OutputSpace(EMBEDDED_TEMPLATE, 3))
    assert not is_at_hand(space)
    folder = tmp_path / "tpl-T"
    folder.mkdir()
    for name in ("desc-brain_mask", "desc-brain_T1w"):
        (folder / f"tpl-T_res-02_{name}.nii.gz").write_bytes(b"")
    assert not is_at_hand(space)
    for name in ("desc-brain_mask", "desc-brain_T1w"):
        (folder / f"tpl-T_res-02_{name}.nii.gz").write_bytes(b"x")
    assert is_at_hand(space)
