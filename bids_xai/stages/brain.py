"""Bias correction and brain mask of a T1w head, without weights and without FSL."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bids_xai.arrays import Bools, Floats32, Floats64
from bids_xai.bids.images import Volume
from bids_xai.core.masks import add_rim, dilate, foreground, refine_brain_mask
from bids_xai.errors import BadDataError
from bids_xai.stages import ants_tools, registration, syn
from bids_xai.stages.bias_field import corrected_around, n4_corrected, without_coil
from bids_xai.templates.lookup import Template

_WORK_MM = ants_tools.WORK_MM  # masks are found on a grid of this size; finer adds nothing
_GROWTHS = 2  # each lets a prior that is too small grow by up to 3 mm of tissue
_SCALP_AND_SKULL_MM = 12.0
LEAST_MATCH = 0.45
"""Correlation of head and template below which the affine registration has failed. Where it found
the brain of real and simulated heads it was 0.5 to 0.8, where it took the scalp for it 0.15 to
0.37 (docs/registration.md)."""
MOST_GROWTH = 1.2
"""How many times as large as the affine prior a mask may become: up to 1.16 in heads without a
strong bias."""
IMPOSSIBLE_MATCH = 0.4
"""Correlation below which there is no result, after the second attempt."""


@dataclass(frozen=True)
class BrainExtraction:
    """``corrected`` T1w on its own grid and the brain ``mask`` (x, y, z) there.

    is_biased : whether the brain was found only after a coil's sensitivity had been taken away
    """

    corrected: Volume
    mask: Bools
    is_biased: bool = False


def extract_brain(
    t1w: Volume, template: Template, *, seed: int = 0, sloppy: bool = False, rim_mm: float = 2.0
) -> BrainExtraction:
    """Return the bias-corrected T1w image and its brain mask.

    template : a brain-only template with its mask.
    rim_mm : how far partial-volume cortex and fluid around the tissue count as brain; 0 gives a
        mask tight around the tissue

    The head is found by intensity, its top aligned with the top of the template; affine and SyN
    registration (metric within the dilated template brain) carry the template mask over, and it
    grows into the tissue it hangs together with (:func:`refine_brain_mask`). What was found is
    registered again, now without skull, and the better prior refined; ``sloppy`` leaves the
    second pass out. Where the affine registration does not match, or the mask grows far beyond the
    prior, as in images that a coil makes bright near the scalp, all of this is tried again without
    the coil's sensitivity.

    Raises :class:`BadDataError` for images without contrast or without a brain, and where head and
    template do not match either way.
    """
    ants = ants_tools.ants_module(seed)
    with tempfile.TemporaryDirectory(prefix="bids_xai-") as name:
        corrected = n4_corrected(ants, t1w, sloppy=sloppy)
        work = ants_tools.coarsen(ants, corrected)
        find = partial(_find, ants, template=template, seed=seed, sloppy=sloppy)
        attempt = find(work, Path(name) / "first")
        is_biased = not attempt.is_plausible
        if is_biased:
            relative = without_coil(ants, t1w)
            second = find(relative, Path(name) / "second")
            is_biased = second.fit.is_match or not attempt.fit.is_match
            if is_biased:  # else the first registration matched, and the second did not
                work, attempt = relative, second
                _check_match(attempt)
        coarse = attempt.mask
    coarse = add_rim(work.data, coarse, work.voxel_mm, rim_mm)
    if is_biased:
        corrected = corrected_around(ants, t1w, Volume(coarse.astype(np.float32), work.affine))
    mask = ants_tools.resample(ants, Volume(coarse.astype(np.float32), work.affine), corrected, [])
    return BrainExtraction(corrected, mask > 0.5, is_biased)


@dataclass(frozen=True)
class _AffineFit:
    """A transform from the head to the template, and how well both match.

    correlation : of head and template within the template's mask, as the transform has it
    n_voxels : of the template's mask, brought to the head
    """

    transform: Path
    correlation: float
    n_voxels: int

    @property
    def is_match(self) -> bool:
        """Whether head and template lie on each other."""
        return self.correlation >= LEAST_MATCH


@dataclass(frozen=True)
class _Attempt:
    """A mask, and the affine registration it began with."""

    fit: _AffineFit
    mask: Bools

    @property
    def is_plausible(self) -> bool:
        """Whether the registration matched, and the mask did not run away from it."""
        is_grown = self.mask.sum() > MOST_GROWTH * self.fit.n_voxels
        return self.fit.is_match and not is_grown


def _find(
    ants: Any, work: Volume, folder: Path, *, template: Template, seed: int, sloppy: bool
) -> _Attempt:
    """The brain of a head at the working size; nothing where the registration does not match."""
    fit = _fit_affine(ants, work, template, folder, seed=seed)
    if fit.correlation < IMPOSSIBLE_MATCH:
        return _Attempt(fit, np.zeros(work.data.shape, bool))
    prior = _warped_prior(ants, work, template, fit, seed=seed, sloppy=sloppy)
    return _Attempt(fit, _refined(ants, work, prior, template, seed=seed, sloppy=sloppy))


def _fit_affine(
    ants: Any, head: Volume, template: Template, folder: Path, *, seed: int
) -> _AffineFit:
    folder.mkdir()
    start = _top_aligned(ants, head, template, folder / "start.mat")
    affine = registration.register_linear(
        ants,
        template.brain,
        head,
        folder / "affine.mat",
        kind="Affine",
        fixed_mask=dilate(template.mask.data > 0, 6.0, template.brain.voxel_mm),
        initial=start,
        seed=seed,
    )
    moved = ants_tools.resample(ants, head, template.brain, [affine])
    inside = template.mask.data > 0
    match = correlation(template.brain.data[inside], moved[inside])
    prior = ants_tools.resample(ants, template.mask, head, [affine], invert=[True]) > 0.5
    n_voxels = int(prior.sum())
    return _AffineFit(affine, match, n_voxels)


def _check_match(attempt: _Attempt) -> None:
    fit = attempt.fit
    if fit.correlation < IMPOSSIBLE_MATCH:
        raise BadDataError(
            "the brain was not found: after affine registration head and template correlate by "
            f"{fit.correlation:.2f}, and {IMPOSSIBLE_MATCH} is the least of a match",
            fix="look at the image; where the coil makes it very bright near the scalp it needs "
            "prescan normalisation; your own mask, as for a brain with a large lesion, can be "
            "supplied with --brain-mask derivatives",
        )


def correlation(first: Floats32, second: Floats32) -> float:
    """Return Pearson's correlation of two series; 0 where one of them is constant."""
    if not (first.std() > 0 and second.std() > 0):
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def _warped_prior(
    ants: Any, head: Volume, template: Template, start: _AffineFit, *, seed: int, sloppy: bool
) -> Bools:
    folder = start.transform.parent
    transforms: list[Path] = [start.transform]
    invert = [True]
    if not sloppy:
        syn.register_deformable(
            ants,
            template.brain,
            head,
            forward=folder / "f.h5",
            inverse=folder / "i.h5",
            fixed_mask=template.mask.data > 0,
            recipe=syn.ROUGH,
            initial=start.transform,
            seed=seed,
        )
        transforms, invert = [folder / "i.h5"], [False]
    return ants_tools.resample(ants, template.mask, head, transforms, invert=invert) > 0.5


def _refined(
    ants: Any, work: Volume, prior: Bools, template: Template, *, seed: int, sloppy: bool
) -> Bools:
    coarse = refine_brain_mask(work.data, prior, work.voxel_mm)
    if sloppy:
        return coarse
    for _ in range(_GROWTHS):
        coarse = refine_brain_mask(work.data, coarse, work.voxel_mm)
    second = _second_prior(ants, work, coarse, template, seed=seed)
    return refine_brain_mask(work.data, second, work.voxel_mm)


def _second_prior(
    ants: Any, head: Volume, first_mask: Bools, template: Template, *, seed: int
) -> Bools:
    """Return the template mask brought to the head by registering the brain found so far."""
    mask = Volume(first_mask.astype(np.float32), head.affine)
    with tempfile.TemporaryDirectory(prefix="bids_xai-") as name:
        inverse = Path(name) / "inverse.h5"
        registration.register_to_template(
            ants,
            template.brain,
            template.mask,
            head,
            mask,
            method="nonlinear",
            forward=Path(name) / "forward.h5",
            inverse=inverse,
            recipe=syn.SECOND_PRIOR,
            seed=seed,
        )
        return ants_tools.resample(ants, template.mask, head, [inverse]) > 0.5


def _top_aligned(ants: Any, head: Volume, template: Template, output: Path) -> Path:
    """Write the translation that puts the top of the head onto the top of the template.

    The neck makes the centre of mass useless; the top of the head is in every head scan.
    """
    points = _points_mm(foreground(head.data), head.affine)
    brain = _points_mm(template.mask.data > 0, template.brain.affine)
    top = np.quantile(points[:, 2], 0.9995)
    upper = points[points[:, 2] > top - 150.0]
    shift = (upper.min(0) + upper.max(0) - brain.min(0) - brain.max(0)) / 2
    shift[2] = top - _SCALP_AND_SKULL_MM - brain[:, 2].max()
    lps = shift * np.array([-1.0, -1.0, 1.0])
    transform = ants.create_ants_transform(
        transform_type="AffineTransform", dimension=3, translation=tuple(lps)
    )
    ants.write_transform(transform, str(output))
    return output


def _points_mm(mask: Bools, affine: Floats64) -> Floats64:
    return np.asarray(np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3])
