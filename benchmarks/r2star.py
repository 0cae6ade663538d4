"""R2* by `fit_r2star`: how fast, against whom, and how far from the truth.

    .venv/bin/python benchmarks/r2star.py [speed] [bias]

Peers (qmrpy, tedana, ukat) are timed where they can be imported. Wall time is the best of three;
on a busy machine the processor time beside it says more.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import curve_fit

from bids_xai.core.relaxometry.fit import fit_r2star

ECHO_TIMES_S = 0.00492 * np.arange(1, 7)
GRID = (208, 256, 64)
N_SLOW = 1_000
RATES_PER_S = (5, 10, 20, 40, 80, 120, 200)
SNRS = (10, 20, 50, 100, 200)
N_BIAS = 10_000
CUT_SIGMAS = 3.0


def rician(r2star: np.ndarray, sigma: float, s0: np.ndarray | float = 1.0) -> np.ndarray:
    """Magnitudes (n_echoes, n_voxels) float32, echo by echo."""
    rng = np.random.default_rng(0)
    signal = np.empty((ECHO_TIMES_S.size, r2star.size), np.float32)
    for row, echo_time in zip(signal, ECHO_TIMES_S, strict=True):
        real = s0 * np.exp(-echo_time * r2star) + rng.normal(0, sigma, r2star.size)
        row[:] = np.hypot(real, rng.normal(0, sigma, r2star.size))
    return signal


def seconds(call: Callable[[], object], repeats: int = 3) -> tuple[float, float]:
    """Wall and processor time, each the best of ``repeats``."""
    wall, cpu = [], []
    for _ in range(repeats):
        start, start_cpu = time.perf_counter(), time.process_time()
        call()
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - start_cpu)
    return min(wall), min(cpu)


# ---- others, each: (n_echoes, n_voxels) → R2* in 1/s ---------------------------------------------


def scipy_fit(signal: np.ndarray) -> np.ndarray:
    """curve_fit, one voxel at a time."""

    def model(t: np.ndarray, s0: float, rate: float) -> np.ndarray:
        return s0 * np.exp(-t * rate)

    bounds = ([0, 0], [np.inf, 1000])
    fits = [
        curve_fit(model, ECHO_TIMES_S, s, p0=(s[0], 40), bounds=bounds, ftol=1e-12, xtol=1e-12)
        for s in signal.T.astype(float)
    ]
    return np.array([parameters[1] for parameters, _ in fits])


def numpy_loglin(signal: np.ndarray) -> np.ndarray:
    """Unweighted line through log S, all voxels at once."""
    return -np.polyfit(ECHO_TIMES_S, np.log(np.maximum(signal, 1e-6)), 1)[0]


def qmrpy_fit(signal: np.ndarray) -> np.ndarray:
    from qmrpy.models.t2star import T2StarMonoR2

    return np.asarray(T2StarMonoR2(1000 * ECHO_TIMES_S).fit_image(signal.T)["r2star_hz"])


def tedana_fit(signal: np.ndarray) -> np.ndarray:
    from tedana.decay import fit_monoexponential

    all_good = np.full(signal.shape[1], ECHO_TIMES_S.size)
    data = signal.T[:, :, None].astype(float)
    return 1000 / fit_monoexponential(data, 1000 * ECHO_TIMES_S, all_good, report=False)[0]


def ukat_fit(signal: np.ndarray) -> np.ndarray:
    from ukat.mapping.t2star import T2Star

    image = signal.T.reshape(-1, 1, 1, ECHO_TIMES_S.size).astype(float)
    fit = T2Star(image, 1000 * ECHO_TIMES_S, np.eye(4), method="2p_exp", multithread=False)
    return 1000 / fit.t2star_map.ravel()


PEERS = {"curve_fit": scipy_fit, "qmrpy": qmrpy_fit, "tedana": tedana_fit, "ukat": ukat_fit}


# ---- speed ---------------------------------------------------------------------------------------


def speed() -> None:
    n_voxels = int(np.prod(GRID))
    rates = np.random.default_rng(1).uniform(5, 100, n_voxels)
    head = rician(rates, 0.02)
    half_air = rician(rates, 0.02, s0=np.arange(n_voxels) % 2)
    print(f"\nWhole volume {GRID} × 6 float32, SNR 50; seconds wall (processor)\n")
    ours = _our_speed("nlls, 1 thread", lambda: fit_r2star(head, ECHO_TIMES_S))
    two = _our_speed("nlls, 2 threads", lambda: fit_r2star(head, ECHO_TIMES_S, n_threads=2))
    _our_speed("nlls, half of it air", lambda: fit_r2star(half_air, ECHO_TIMES_S, n_threads=2))
    for method in ("loglin", "arlo", "numart2s"):
        _our_speed(method, lambda m=method: fit_r2star(head, ECHO_TIMES_S, m))
    part = head[:, :200_000]
    line = _our_speed("numpy log-linear, 200 000 voxels", lambda: numpy_loglin(part))
    read = _our_speed("one read of the input", head.max)
    print("\nnlls, 1 thread, processor time a voxel, against")
    print(f"  numpy log-linear: {ours / n_voxels / (line / 200_000):.1f} times its time")
    print(f"  one read of the input: {ours / read:.0f} times its time")
    _against_peers(head[:, :N_SLOW], ours / n_voxels, two / n_voxels)


def _our_speed(name: str, call: Callable[[], object]) -> float:
    wall, cpu = seconds(call)
    print(f"{name:34s} {wall:7.3f} ({cpu:.3f})")
    return cpu


def _against_peers(voxels: np.ndarray, ours: float, two_threads: float) -> None:
    rates = fit_r2star(voxels, ECHO_TIMES_S).r2star
    for name, fit in PEERS.items():
        try:
            fitted = fit(voxels)
        except ImportError as error:
            print(f"  {name}: not here ({error})")
            continue
        _, cpu = seconds(lambda f=fit: f(voxels), repeats=2)
        away = np.median(np.abs(rates / fitted - 1))
        print(
            f"  {name}: {N_SLOW / cpu:.0f} voxels/s, we are {cpu / N_SLOW / ours:.0f} times as "
            f"fast; median relative difference {away:.1e}"
        )


# ---- bias ----------------------------------------------------------------------------------------


def bias() -> None:
    """Median error and half the 16–84 % range of the error, in 1/s, as Markdown."""
    variants: dict[str, Callable[[float], dict[str, Any]]] = {
        "nlls": lambda sigma: {},
        "nlls, rician_sigma": lambda sigma: {"rician_sigma": sigma},
        "nlls, noise_floor 3σ": lambda sigma: {"noise_floor": CUT_SIGMAS * sigma},
        "loglin": lambda sigma: {"method": "loglin"},
        "loglin, noise_floor 3σ": lambda sigma: {
            "method": "loglin",
            "noise_floor": CUT_SIGMAS * sigma,
        },
        "arlo": lambda sigma: {"method": "arlo"},
        "numart2s": lambda sigma: {"method": "numart2s"},
    }
    for name, options in variants.items():
        print(f"\n**{name}**\n")
        print("| R2* | " + " | ".join(f"SNR {snr}" for snr in SNRS) + " |")
        print("|---" * (len(SNRS) + 1) + "|")
        for rate in RATES_PER_S:
            cells = [_bias_cell(rate, 1 / snr, options(1 / snr)) for snr in SNRS]
            print(f"| {rate} | " + " | ".join(cells) + " |")


def _bias_cell(rate: float, sigma: float, options: dict[str, Any]) -> str:
    signal = rician(np.full(N_BIAS, float(rate)), sigma)
    error = fit_r2star(signal, ECHO_TIMES_S, **options).r2star - rate
    low, middle, high = np.quantile(error, [0.16, 0.5, 0.84])
    return f"{middle:+.1f} ± {(high - low) / 2:.1f}"


def main() -> None:
    os.environ.setdefault("TQDM_DISABLE", "1")  # tedana shows a bar
    parts = sys.argv[1:] or ["speed", "bias"]
    for name in parts:
        {"speed": speed, "bias": bias}[name]()


if __name__ == "__main__":
    main()
