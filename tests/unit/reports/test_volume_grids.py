"""Volumes on their way into a page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bids_xai.bids.images import Volume
from bids_xai.reports.volumes import is_signed, on_grid, positive_window, template_at_hand
from bids_xai.settings import OutputSpace


def test_a_volume_moves_to_another_grid_by_its_affine() -> None:
    data = np.zeros((6, 7, 8), np.float32)
    data[2, 3, 4] = 1.0
    shifted = np.eye(4)
    shifted[:3, 3] = (1.0, 2.0, -1.0)
    target = Volume(np.zeros((4, 6, 9), np.float32), shifted)
    moved = on_grid(Volume(data, np.eye(4)), target)
    assert moved.shape == (4, 6, 9)
    assert np.argwhere(moved > 0.5).tolist() == [[1, 1, 5]]


def test_windows_look_at_positive_values_or_magnitudes() -> None:
    values = np.array([-10.0, 0.0, 1.0, 2.0, 3.0])
    assert positive_window(values, (50.0, 100.0)) == (2.0, 3.0)
    assert positive_window(values, (50.0, 100.0), signed=True) == (2.5, 10.0)
    assert positive_window(np.zeros(3), (50.0, 100.0)) is None
    assert positive_window(np.array([1e-9, 1.0, 3.0]), (0.0, 100.0)) == (1.0, 3.0)
    assert is_signed(values)
    assert not is_signed(np.array([-1e-9, 1.0]))


def test_a_template_that_is_not_cached_is_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tpl-MNI152NLin2009cAsym"
    folder.mkdir()
    for name in ("desc-brain_mask", "T1w"):
        (folder / f"tpl-MNI152NLin2009cAsym_res-02_{name}.nii.gz").touch()
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path))
    assert template_at_hand(OutputSpace("MNI152NLin2009cAsym", 2)) is None
