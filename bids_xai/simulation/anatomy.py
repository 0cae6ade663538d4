"""The head that is deformed: the embedded brain in a CSF rim, a skull and a scalp.

The shells follow the distance from the brain mask; the nuclei are the ellipsoids of
``core.nuclei``. There is no neck and no face.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_xai.arrays import Floats
from bids_xai.core.regions.nuclei import label_points, nuclei_labels
from bids_xai.simulation.deformation import Grid, interpolate, transform
from bids_xai.templates import embedded

NUCLEUS_TISSUES = ("caudate", "putamen", "pallidum")
BRAIN_TISSUES = ("white", "grey", "csf", *NUCLEUS_TISSUES)
SHELLS = ("csf", "skull", "scalp")
THICKNESS_MM = {"csf": 2.5, "skull": 5.5, "scalp": 5.0}
T1W_INTENSITY = {"csf": 0.2, "skull": 0.06, "scalp": 0.95}  # the template's white matter is 0.87
HEAD_CENTRE_MM = np.array([0.0, -18.0, 4.0])  # of the head model, template mm

_PADDING_MM = 32.0
_EDGE_MM = 1.5  # partial volume between shells
_REACH_MM = 30.0  # nothing of the head lies further from the brain


@dataclass(frozen=True)
class HeadModel:
    """Maps in template space, all (x, y, z) float32 on one grid.

    ``t1w`` 0 to 1, 0 outside the brain; ``brain`` and ``tissues`` are proportions;
    ``outside_mm`` is the distance to the brain.
    """

    affine: Floats
    t1w: Floats
    brain: Floats
    tissues: dict[str, Floats]
    outside_mm: Floats


@dataclass(frozen=True)
class HeadSample:
    """The head at n points: indices of those points within reach of the head, and values there.

    ``proportions`` tissue -> (len(where),), summing to 1 in the head and 0 in air;
    ``brain`` their part that is brain; ``t1w`` noiseless T1-weighted intensity, template scale.
    """

    where: NDArray[np.intp]
    brain: Floats
    proportions: dict[str, Floats]
    t1w: Floats


@lru_cache(maxsize=2)
def head_model(resolution_mm: float) -> HeadModel:
    """Build the head model on a padded grid of the embedded template."""
    width = int(np.ceil(_PADDING_MM / resolution_mm))
    image = embedded.brain(resolution_mm)
    affine = np.array(image.affine)
    affine[:3, 3] -= width * resolution_mm
    brain = np.pad(np.asarray(embedded.brain_mask(resolution_mm).dataobj), width)
    grey, white, t1w = (
        np.pad(np.asarray(each(resolution_mm).dataobj), width)
        for each in (embedded.grey_matter, embedded.white_matter, embedded.brain)
    )
    outside = ndimage.distance_transform_edt(brain == 0, sampling=resolution_mm)
    return HeadModel(
        affine=affine,
        t1w=t1w * brain,
        brain=brain.astype(np.float32),
        tissues={"grey": grey, "white": white, **_soft_nuclei(Grid(affine, brain.shape))},
        outside_mm=ndimage.gaussian_filter(outside, 1.0).astype(np.float32),
    )


def sample_head(
    model: HeadModel, points: Floats, thickness: Floats, layer_factors: dict[str, float]
) -> HeadSample:
    """Tissue proportions and T1-weighted intensity at template points.

    points : (3, n) template mm
    thickness : (n,) factor on the thickness of all shells at each point
    layer_factors : shell -> this person's factor on its thickness
    """
    distance = interpolate(model.outside_mm, model.affine, points)
    where = np.flatnonzero(distance < _REACH_MM)
    near, distance = points[:, where], distance[where] / thickness[where]
    brain = interpolate(model.brain, model.affine, near)
    shells = {name: part * (1 - brain) for name, part in _shells(distance, layer_factors).items()}
    proportions = _brain_tissues(model, near, brain)
    t1w = interpolate(model.t1w, model.affine, near)
    for name, part in shells.items():
        t1w = t1w + T1W_INTENSITY[name] * part
        proportions[name] = proportions.get(name, 0) + part
    return HeadSample(where, brain, proportions, t1w)


def _brain_tissues(model: HeadModel, points: Floats, brain: Floats) -> dict[str, Floats]:
    """Proportions of the brain's tissues at (3, n) points; they sum to ``brain`` (n,)."""
    share = {
        name: interpolate(values, model.affine, points) for name, values in model.tissues.items()
    }
    rest = 1 - sum(share[name] for name in NUCLEUS_TISSUES)
    grey, white = share.pop("grey"), share.pop("white")
    matter = np.maximum(grey + white, 1)
    grey, white = grey / matter * rest, white / matter * rest
    share |= {"grey": grey, "white": white, "csf": rest - grey - white}
    return {name: share[name] * brain for name in BRAIN_TISSUES}


def _shells(distance_mm: Floats, factors: dict[str, float]) -> dict[str, Floats]:
    """Proportions of CSF rim, skull and scalp at (n,) distances from the brain."""
    parts: dict[str, Floats] = {}
    border_mm, within_last = 0.0, np.zeros_like(distance_mm)
    for name in SHELLS:
        border_mm += THICKNESS_MM[name] * factors[name]
        within = np.clip((border_mm - distance_mm) / _EDGE_MM + 0.5, 0, 1)
        parts[name] = within - within_last
        within_last = within
    return parts


def _soft_nuclei(grid: Grid) -> dict[str, Floats]:
    """Proportion of each nucleus (both sides) in each voxel, from eight points in every voxel."""
    hard = nuclei_labels(grid.affine, grid.shape) > 0
    near = np.flatnonzero(ndimage.binary_dilation(hard, np.ones((3, 3, 3))))
    indices = np.stack(np.unravel_index(near, grid.shape)).astype(np.float32)
    counts = np.zeros((len(NUCLEUS_TISSUES), *grid.shape), dtype=np.float32)
    flat = counts.reshape(len(NUCLEUS_TISSUES), -1)
    for offset in product((-0.25, 0.25), repeat=3):
        moved = indices + np.array(offset, dtype=np.float32)[:, None]
        labels = label_points(transform(grid.affine, moved).T)
        for number in range(len(NUCLEUS_TISSUES)):
            flat[number, near] += (labels + 1) // 2 == number + 1
    return dict(zip(NUCLEUS_TISSUES, counts / 8, strict=True))
