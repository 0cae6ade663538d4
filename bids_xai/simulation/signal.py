"""From tissue to magnitude images: spoiled gradient echo, FLAIR, R2* decay, Rician noise (3 T)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bids_xai.arrays import Floats

ECHO_TIMES_S = tuple(round(0.00492 * echo, 5) for echo in range(1, 7))
REPETITION_TIME_S = 0.035
FLIP_ANGLE_DEG = 18.0
FLAIR_TIMES_S = {"RepetitionTime": 9.0, "EchoTime": 0.12, "InversionTime": 2.5}


class Tissue(NamedTuple):
    """Proton density (relative), T1 (s), R2* at 30 years (1/s) and its growth (share a year)."""

    proton_density: float
    t1_s: float
    r2star_per_s: float
    growth_per_year: float


# Orders of magnitude at 3 T; nuclei darken with age (Hallgren & Sourander 1958,
# doi:10.1111/j.1471-4159.1958.tb12607.x), here in a straight line.
TISSUES = {
    "white": Tissue(0.70, 0.85, 21.0, 0.0005),
    "grey": Tissue(0.82, 1.40, 17.0, 0.001),
    "csf": Tissue(1.00, 4.00, 2.5, 0.0),
    "caudate": Tissue(0.80, 1.25, 24.0, 0.003),
    "putamen": Tissue(0.80, 1.15, 26.0, 0.005),
    "pallidum": Tissue(0.76, 1.00, 38.0, 0.003),
    "scalp": Tissue(0.75, 0.45, 30.0, 0.0),
    "skull": Tissue(0.10, 0.60, 60.0, 0.0),
}


class FlairTissue(NamedTuple):
    """Proton density (relative), T1 (s) and T2 (s)."""

    proton_density: float
    t1_s: float
    t2_s: float


_T2_S = {
    "white": 0.075,
    "grey": 0.095,
    "csf": 1.6,
    "caudate": 0.085,
    "putamen": 0.080,
    "pallidum": 0.065,
    "scalp": 0.060,
    "skull": 0.010,
}
FLAIR_TISSUES = {
    **{name: FlairTissue(*TISSUES[name][:2], t2_s) for name, t2_s in _T2_S.items()},
    "lesion": FlairTissue(0.85, 1.30, 0.140),
}


def ernst_signal(
    proton_density: float, t1_s: float, repetition_time_s: float, flip_angle_deg: float
) -> float:
    """Steady-state signal of a spoiled gradient echo at TE = 0 (Ernst & Anderson 1966)."""
    angle, decay = np.radians(flip_angle_deg), np.exp(-repetition_time_s / t1_s)
    return float(proton_density * np.sin(angle) * (1 - decay) / (1 - np.cos(angle) * decay))


def inversion_signal(
    tissue: FlairTissue, repetition_time_s: float, echo_time_s: float, inversion_time_s: float
) -> float:
    """Magnitude of an inversion-recovery spin echo: Bloch equations, ideal pulses, TE << TR."""
    recovery = 1 - 2 * np.exp(-inversion_time_s / tissue.t1_s)
    recovery += np.exp(-repetition_time_s / tissue.t1_s)
    return float(tissue.proton_density * abs(recovery) * np.exp(-echo_time_s / tissue.t2_s))


def flair_signal(proportions: dict[str, Floats]) -> Floats:
    """FLAIR signal (n,), relative, of voxels that hold several tissues: tissue -> (n,)."""
    times = (FLAIR_TIMES_S[f"{name}Time"] for name in ("Repetition", "Echo", "Inversion"))
    protocol = tuple(times)
    total = np.zeros(1)
    for name, part in proportions.items():
        total = total + part * inversion_signal(FLAIR_TISSUES[name], *protocol)
    return total.astype(np.float32)


def mix(proportions: dict[str, Floats], r2star_per_s: dict[str, float]) -> tuple[Floats, Floats]:
    """Initial signal and R2* of voxels that hold several tissues.

    proportions : tissue -> (n,); r2star_per_s : tissue -> 1/s
    Returns ``s0`` (n,), relative, and ``r2star`` (n,) in 1/s: the mean weighted by proportion,
    0 in air. One number a voxel, so that the decay is exactly mono-exponential.
    """
    s0 = rate = total = np.zeros(1)
    for name, part in proportions.items():
        density, t1_s = TISSUES[name].proton_density, TISSUES[name].t1_s
        s0 = s0 + part * ernst_signal(density, t1_s, REPETITION_TIME_S, FLIP_ANGLE_DEG)
        rate = rate + part * r2star_per_s[name]
        total = total + part
    r2star = np.where(total > 1e-3, rate / np.maximum(total, 1e-3), 0)
    return s0.astype(np.float32), r2star.astype(np.float32)


def decay(s0: Floats, r2star_per_s: Floats, echo_times_s: tuple[float, ...]) -> Floats:
    """Magnitudes (n_echoes, n) of voxels with (n,) initial signal and R2* (1/s)."""
    times = np.array(echo_times_s, dtype=np.float32)[:, None]
    return np.asarray(s0 * np.exp(-times * r2star_per_s))


def add_rician_noise(signal: Floats, sigma: float, rng: np.random.Generator) -> Floats:
    """Magnitude of signal plus complex Gaussian noise of sd ``sigma`` in each channel.

    Rician; in air Rayleigh with mean sigma * sqrt(pi / 2) (Gudbjartsson & Patz 1995).
    """
    real = signal + np.float32(sigma) * rng.standard_normal(signal.shape, dtype=np.float32)
    imaginary = np.float32(sigma) * rng.standard_normal(signal.shape, dtype=np.float32)
    return np.asarray(np.hypot(real, imaginary))
