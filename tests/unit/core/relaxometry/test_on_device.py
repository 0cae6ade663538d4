"""The torch path against the numpy path."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bids_xai.core.relaxometry import on_device as relaxometry_torch
from bids_xai.core.relaxometry.fit import R2StarFit, _result, check_echo_times, fit_r2star
from bids_xai.core.relaxometry.voxels import FitPlan
from bids_xai.errors import UsageError

EQUAL_S = np.arange(1, 7) * 0.00492
UNEQUAL_S = np.array([0.0031, 0.0049, 0.0112, 0.0140, 0.0323, 0.0401])
CASES = pytest.mark.parametrize(
    ("times", "options"),
    [
        (EQUAL_S, {"method": "nlls"}),
        (UNEQUAL_S, {"method": "nlls"}),
        (EQUAL_S, {"method": "loglin"}),
        (UNEQUAL_S, {"method": "loglin", "noise_floor": 120.0}),
        (EQUAL_S, {"method": "arlo"}),
        (UNEQUAL_S, {"method": "numart2s"}),
        (EQUAL_S, {"method": "nlls", "noise_floor": 120.0}),
        (EQUAL_S, {"method": "nlls", "rician_sigma": 50.0}),
        (UNEQUAL_S, {"method": "nlls", "noise_floor": 120.0, "rician_sigma": 50.0}),
    ],
    ids=lambda case: " ".join(case) if isinstance(case, dict) else str(case[0]),
)


def voxels(times: NDArray[np.float64]) -> NDArray[np.float32]:
    """Decays, noise alone and unusable voxels, (n_echoes, 4000)."""
    rng = np.random.default_rng(1)
    clean = 1000 * np.exp(-np.outer(times, np.linspace(0, 300, 4000)))
    clean[:, 3500:] = 0
    noise = rng.normal(0, 50, (2, *clean.shape))
    signal = np.hypot(clean + noise[0], noise[1]).astype(np.float32)
    signal[2, 5], signal[:, 6], signal[1, 7], signal[1:, 8] = np.nan, 0, -3, 0
    return signal


def assert_same(one: R2StarFit, other: R2StarFit) -> None:
    for name, value in vars(one).items():
        found = getattr(other, name)
        if name in ("sigma", "r_squared"):  # differences of large numbers
            np.testing.assert_allclose(found, value, rtol=1e-6, atol=1e-5, err_msg=name)
        elif name in ("r2star", "s0"):
            np.testing.assert_allclose(found, value, rtol=1e-6, atol=1e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(found, value, err_msg=name)


@CASES
def test_torch_gives_the_numbers_of_numpy(
    times: NDArray[np.float64], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaxometry_torch, "_CHUNK", 1500)
    signal = voxels(times)
    plan = FitPlan(
        check_echo_times(times),
        options["method"],
        options.get("noise_floor"),
        options.get("rician_sigma"),
    )
    maps, counts = relaxometry_torch.fit_on_device(signal, plan, "cpu")
    found = _result(maps, counts.tolist(), plan.noise_floor is not None)
    assert_same(fit_r2star(signal, times, **options), found)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@CASES
def test_cuda_gives_the_numbers_of_numpy(
    times: NDArray[np.float64], options: dict[str, Any]
) -> None:
    signal = voxels(times)
    assert_same(
        fit_r2star(signal, times, **options), fit_r2star(signal, times, device="cuda:0", **options)
    )


def test_torch_takes_no_voxels() -> None:
    plan = FitPlan(EQUAL_S, "nlls", None, None)
    maps, counts = relaxometry_torch.fit_on_device(np.zeros((6, 0)), plan, "cpu")
    assert maps.shape == (5, 0)
    assert counts.tolist() == [0] * 5


def test_devices_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    signal = np.ones((6, 2))
    for name in ("gpu", "cuda:x", "CUDA", "mps", ""):
        with pytest.raises(UsageError, match="unknown device"):
            fit_r2star(signal, EQUAL_S, device=name)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match="'cuda:1' not found, torch sees 1 CUDA"):
        fit_r2star(signal, EQUAL_S, device="cuda:1")
