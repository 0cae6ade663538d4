"""R2*, S0 and the quality of their fit from the echoes of a multi-echo GRE, on its own grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.bids.images import read_volume
from bids_xai.core.relaxometry.fit import R2StarFit, fit_r2star
from bids_xai.core.relaxometry.fractions import missing_echo_fraction
from bids_xai.core.relaxometry.noise import noise_sigma
from bids_xai.core.signs import MOST_NEGATIVE, negative_share
from bids_xai.errors import BadDataError
from bids_xai.stages.products import Origin, StageFiles, StageFolder, input_notes


@dataclass(frozen=True)
class FitOptions:
    """How R2* is fitted: see :func:`bids_xai.core.relaxometry.fit.fit_r2star`.

    noise_floor : cut late echoes below this many standard deviations of the noise in air; 0: none
    rician : maximum likelihood under Rician noise with that standard deviation
    """

    method: str = "nlls"
    noise_floor: float = 0.0
    rician: bool = False


@dataclass(frozen=True)
class FitFiles(StageFiles):
    """The maps of R2* and S0 on their own grid."""

    r2star: Path
    s0: Path


def relaxometry(
    folder: Path,
    origin: Origin,
    files: Sequence[Path],
    echo_times_s: Sequence[float],
    options: FitOptions,
) -> FitFiles:
    """Fit R2*, S0 and the quality of the fit on the native grid."""
    echoes = [read_volume(Path(file)) for file in files]
    shape, affine = echoes[0].data.shape, echoes[0].affine
    signal = np.stack([echo.data.ravel() for echo in echoes])
    del echoes
    _check_magnitude(signal, files[0])
    noise = _noise(signal, options, files[0])
    fit = fit_r2star(
        signal,
        np.asarray(echo_times_s),
        options.method,
        noise_floor=options.noise_floor * noise if options.noise_floor else None,
        rician_sigma=noise if options.rician else None,
    )
    estimation = {
        "EchoTime": list(echo_times_s),
        "EstimationAlgorithm": options.method,
        "EstimationReference": "S(t) = S0 exp(-t R2*), magnitude, voxel by voxel",
        "SkullStripped": False,
    }
    if noise:
        estimation |= {
            "NoiseSigma": noise,
            "NoiseFloorSigmas": options.noise_floor,
            "RicianLikelihood": options.rician,
        }
    out = StageFolder(folder, origin)
    sidecar = {
        "Units": "1/s",
        **estimation,
        **input_notes(files[0]),
        **_counts(fit),
        "Quality": _fit_quality(fit, signal),
    }
    r2star = out.image("R2starmap", fit.r2star.reshape(shape), affine, sidecar)
    arbitrary = {"Units": "arbitrary", **estimation}
    s0 = out.image("S0map", fit.s0.reshape(shape), affine, arbitrary)
    residual = {**arbitrary, "Description": "standard deviation of the residuals of the fit"}
    out.image("S0map", fit.sigma.reshape(shape), affine, residual, desc="residual")
    quality = {"Description": "1 - residual / total sum of squares of the echoes", **estimation}
    out.image("fitquality", fit.r_squared.reshape(shape), affine, quality)
    return FitFiles(out.close(), r2star, s0)


def _check_magnitude(signal: NDArray[Any], file: Path) -> None:
    """Refuse what has too much below 0: phase, real parts, or integers that ran over."""
    share = negative_share(signal)
    if share > MOST_NEGATIVE:
        raise BadDataError(
            f"the series is no magnitude: {share:.0%} of its signal (sum of sizes) is negative",
            file=file,
            fix="give magnitudes; phase images are named part-phase. If they are magnitudes, "
            "convert them again: large values may have run over the range of their integers",
        )


def _noise(signal: NDArray[Any], options: FitOptions, file: Path) -> float:
    """Standard deviation of the noise where an option needs it, else 0."""
    if not (options.noise_floor or options.rician):
        return 0.0
    try:
        return noise_sigma(signal)
    except BadDataError as error:
        raise BadDataError(
            f"the noise cannot be measured in the air of the image: {error.problem}",
            file=file,
            fix="omit --noise-floor and --rician for this series",
        ) from error


def _counts(fit: R2StarFit) -> dict[str, int]:
    return {
        "NumberOfInvalidVoxels": fit.n_invalid,
        "NumberOfNonFiniteVoxels": fit.n_nonfinite,
        "NumberOfNegativeVoxels": fit.n_negative,
        "NumberOfZeroVoxels": fit.n_zero,
        "NumberOfVoxelsAtZero": fit.n_at_zero,
        "NumberOfVoxelsAtMaximum": fit.n_at_max,
    }


def _fit_quality(fit: R2StarFit, signal: NDArray[Any]) -> dict[str, float]:
    """Over voxels with signal: S0 above half of its 90th percentile (air and bone left out)."""
    valid = fit.s0 > 0
    quality = {"FitInvalidFraction": round(fit.n_invalid / fit.s0.size, 4)}
    if not valid.any():
        return quality
    tissue = fit.s0 > 0.5 * np.percentile(fit.s0[valid], 90)
    if fit.n_echoes_used is None:  # with a noise floor, echoes of 0 are left out of the fit
        missing = missing_echo_fraction(signal, tissue)
        quality["FitMissingEchoFraction"] = round(missing, 4)
    residual = float(np.median(fit.sigma[tissue] / fit.s0[tissue]))
    return {**quality, "FitResidual": round(residual, 5)}
