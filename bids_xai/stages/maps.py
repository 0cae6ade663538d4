"""Stages on the images that networks see: R2* from echoes, FLAIR, precomputed maps.

Each function works in a folder of its own and returns the manifest; nothing here knows nipype.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.arrays import Bools
from bids_xai.bids.files import write_nifti
from bids_xai.bids.images import Volume, read_volume
from bids_xai.core.masks import dilate
from bids_xai.core.registration_quality import edge_alignment, normalised_mutual_information
from bids_xai.core.relaxometry.fit import R2StarFit, fit_r2star
from bids_xai.core.relaxometry.noise import noise_sigma
from bids_xai.errors import BadDataError
from bids_xai.settings import OutputSpace
from bids_xai.stages import ants_tools
from bids_xai.stages.brain import correct_bias
from bids_xai.stages.products import Made, Origin, StageFolder, resolution_text
from bids_xai.templates.lookup import load_template

_REACH_MM = 8.0  # registration looks this far beyond the brain


@dataclass(frozen=True)
class MapKind:
    """What an image is called and measured in.

    suffix, desc : of its name; units : of its values ("arbitrary" for weighted images)
    moving : name of its own grid in transform names and ``space-`` (``MEGRE``, ``FLAIR``)
    """

    suffix: str
    units: str
    moving: str
    desc: str = ""

    @property
    def names(self) -> dict[str, str]:
        """The entities that all its images share."""
        return {"desc": self.desc} if self.desc else {}


@dataclass(frozen=True)
class FitOptions:
    """How R2* is fitted: see :func:`bids_xai.core.relaxometry.fit.fit_r2star`.

    noise_floor : cut late echoes below this many standard deviations of the noise in air; 0: none
    rician : maximum likelihood under Rician noise with that standard deviation
    """

    method: str = "nlls"
    noise_floor: float = 0.0
    rician: bool = False


def relaxometry(
    folder: Path,
    origin: Origin,
    files: Sequence[Path],
    echo_times_s: Sequence[float],
    options: FitOptions,
) -> Made:
    """Fit R2*, S0 and the quality of the fit on the native grid."""
    echoes = [read_volume(Path(file)) for file in files]
    shape, affine = echoes[0].data.shape, echoes[0].affine
    signal = np.stack([echo.data.ravel() for echo in echoes])
    del echoes
    noise = _noise(signal, options, files[0])
    fit = fit_r2star(
        signal,
        np.asarray(echo_times_s),
        options.method,
        noise_floor=options.noise_floor * noise if options.noise_floor else None,
        rician_sigma=noise if options.rician else None,
    )
    about = {
        "EchoTime": list(echo_times_s),
        "EstimationAlgorithm": options.method,
        "EstimationReference": "S(t) = S0 exp(-t R2*), magnitude, voxel by voxel",
        "SkullStripped": False,
    }
    if noise:
        about |= {"NoiseSigma": noise, "NoiseFloorSigmas": options.noise_floor}
        about["RicianLikelihood"] = options.rician
    out = StageFolder(folder, origin)
    sidecar = {"Units": "1/s", **about, **_counts(fit), "Quality": _fit_quality(fit)}
    r2star = out.image("R2starmap", fit.r2star.reshape(shape), affine, sidecar)
    arbitrary = {"Units": "arbitrary", **about}
    out.image("S0map", fit.s0.reshape(shape), affine, arbitrary)
    residual = {**arbitrary, "Description": "standard deviation of the residuals of the fit"}
    out.image("S0map", fit.sigma.reshape(shape), affine, residual, desc="residual")
    quality = {"Description": "1 - residual / total sum of squares of the echoes", **about}
    out.image("fitquality", fit.r_squared.reshape(shape), affine, quality)
    return {"manifest": out.close(), "r2star": r2star}


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
            fix="leave out --noise-floor and --rician for this series",
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


def _fit_quality(fit: R2StarFit) -> dict[str, float]:
    """Over voxels with signal: S0 above half of its 90th percentile (air and bone left out)."""
    valid = fit.s0 > 0
    quality = {"FitInvalidFraction": round(fit.n_invalid / fit.s0.size, 4)}
    if valid.any():
        tissue = fit.s0 > 0.5 * np.percentile(fit.s0[valid], 90)
        residual = float(np.median(fit.sigma[tissue] / fit.s0[tissue]))
        quality["FitResidual"] = round(residual, 5)
    return quality


def unbias(folder: Path, origin: Origin, image: Path, *, seed: int) -> Made:
    """Correct the bias of a weighted image (FLAIR) on its own grid."""
    corrected = correct_bias(read_volume(image), seed=seed)
    path = write_nifti(folder / "corrected.nii.gz", corrected.data, corrected.affine)
    return {"manifest": StageFolder(folder, origin).close(), "corrected": path}


def coregister(
    folder: Path,
    origin: Origin,
    image: Path,
    t1w: Path,
    mask: Path,
    *,
    moving: str,
    kind: str,
    seed: int,
) -> Made:
    """Estimate the transform of an image to the T1w image.

    image : with contrast like T1w between tissues and head, for MEGRE the first echo
    kind : ``Rigid`` or ``Affine``
    """
    ants = ants_tools.ants_module(seed)
    fixed = read_volume(t1w)
    reach = dilate(read_volume(mask).data > 0, _REACH_MM, fixed.voxel_mm)
    forward = ants_tools.register_linear(
        ants,
        fixed,
        read_volume(image),
        folder / "forward.txt",
        kind=kind,
        fixed_mask=reach,
        seed=seed,
    )
    inverse = ants_tools.invert_linear(ants, forward, folder / "inverse.txt")
    moved = ants_tools.resample(ants, read_volume(image), fixed, [forward])
    inside = (read_volume(mask).data > 0) & (moved > 0)
    quality = {
        "MutualInformation": normalised_mutual_information(fixed.data, moved, inside),
        "EdgeAlignment": edge_alignment(fixed.data, moved, inside, fixed.voxel_mm),
    }
    sidecar = {"Registration": kind, "Quality": {k: round(v, 4) for k, v in quality.items()}}
    out = StageFolder(folder, origin)
    out.add(forward, "xfm", ".txt", sidecar, **{"from": moving, "to": "T1w", "mode": "image"})
    out.add(inverse, "xfm", ".txt", {}, **{"from": "T1w", "to": moving, "mode": "image"})
    return {"manifest": out.close(), "forward": forward, "inverse": inverse}


def map_to_t1w(
    folder: Path,
    origin: Origin,
    image: Path,
    kind: MapKind,
    t1w: Path,
    mask: Path,
    forward: Path | None,
    inverse: Path | None,
    spatial_reference: str,
) -> Made:
    """Bring a map to the T1w grid and, where it has a transform, the brain mask to its own.

    forward, inverse : to and from the T1w image; ``None``: it lies there already, by its header
    """
    ants = ants_tools.ants_module(0)
    native, anatomy, brain_mask = read_volume(image), read_volume(t1w), read_volume(mask)
    there = [forward] if forward else []
    mapped = ants_tools.resample(ants, _finite(native), anatomy, there)
    quality = _map_quality(ants, native, mapped, anatomy, brain_mask.data > 0, there)
    if kind.suffix == "R2starmap" and "BrainMedian" in quality:
        quality["BrainMedianR2star"] = quality.pop("BrainMedian")
    out = StageFolder(folder, origin)
    sidecar = {
        "Units": kind.units,
        "SkullStripped": False,
        "SpatialReference": spatial_reference,
        "Interpolation": "linear",
        "Quality": quality,
    }
    if kind.units == "arbitrary":
        sidecar["IntensityScale"] = intensity_scale(mapped, brain_mask.data > 0)
    out.image(kind.suffix, mapped, anatomy.affine, sidecar, space="T1w", **kind.names)
    if inverse:
        native_mask = ants_tools.resample(ants, brain_mask, native, [inverse]) > 0.5
        out.image(
            "mask",
            native_mask.astype(np.uint8),
            native.affine,
            {"Type": "Brain", "SpatialReference": origin.sources[0]},
            space=kind.moving,
            desc="brain",
        )
    return {"manifest": out.close()}


def map_to_template(
    folder: Path,
    origin: Origin,
    image: Path,
    kind: MapKind,
    space: OutputSpace,
    to_t1w: Path | None,
    to_template: Path,
) -> Made:
    """Bring a map from its own grid to the template in one interpolation."""
    ants = ants_tools.ants_module(0)
    template = load_template(space)
    transforms = [to_template, *([to_t1w] if to_t1w else [])]
    mapped = ants_tools.resample(ants, _finite(read_volume(image)), template.brain, transforms)
    out = StageFolder(folder, origin)
    out.image(
        kind.suffix,
        mapped,
        template.brain.affine,
        {
            "Units": kind.units,
            "SkullStripped": False,
            "Interpolation": "linear",
            "Resolution": resolution_text(template.brain),
        },
        **space.entities,
        **kind.names,
    )
    return {"manifest": out.close()}


def intensity_scale(data: NDArray[Any], inside: Bools) -> dict[str, Any]:
    """What to divide a weighted image by so that the brain spans about 0 to 1 (nothing is shifted).

    data, inside : (x, y, z) intensities and brain mask; the value is the 99th percentile inside.
    """
    values = data[inside & np.isfinite(data)]
    value = float(np.percentile(values, 99)) if values.size else 0.0
    return {"Method": "99th percentile in the brain mask", "Value": value if value > 0 else 1.0}


def _map_quality(
    ants: Any,
    native: Volume,
    mapped: NDArray[Any],
    anatomy: Volume,
    inside: Bools,
    transforms: Sequence[Path],
) -> dict[str, float]:
    ones = Volume(np.ones(native.data.shape, np.float32), native.affine)
    covered = ants_tools.resample(ants, ones, anatomy, transforms)[inside] > 0.5
    values = mapped[inside][covered]
    quality = {
        "BrainCovered": round(float(covered.mean()), 4),
        "UndefinedVoxels": int((~np.isfinite(native.data)).sum()),
    }
    if values.size:
        quality["BrainMedian"] = round(float(np.median(values)), 4)
    return quality


def _finite(volume: Volume) -> Volume:
    """Undefined voxels as 0: one of them would spread over its neighbours in interpolation."""
    return Volume(np.nan_to_num(volume.data, nan=0.0, posinf=0.0, neginf=0.0), volume.affine)
