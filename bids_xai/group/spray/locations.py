"""Where the heatmaps of a cluster differ from the others', in words and as covariates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage

from bids_xai.arrays import Floats32, Floats64, Ints
from bids_xai.core.spray.audit import SUSPECT, Covariate
from bids_xai.core.spray.spots import spots
from bids_xai.group.spray.stack import Stack
from bids_xai.templates.grid import TemplateGrid

SPOT_MM = 25.0
"""Edge of the cube in which a cluster's relevance is looked for outside the brain."""
LEAST_SPOT = (0.01, 5.0)
"""Share of relevance there, and its ratio to other clusters', from which it counts."""
_SELDOM = 0.05  # share of the scans whose brain may reach a place that counts as outside


def cluster_means(stack: Stack, labels: Ints) -> dict[int, Floats32]:
    """Mean map (x, y, z) of every cluster, from 0."""
    return {cluster: stack.mean(labels == cluster) for cluster in range(int(labels.max()) + 1)}


def locations_in_words(
    stack: Stack,
    means: Mapping[int, Floats32],
    sizes: Ints,
    *,
    grid: TemplateGrid | None = None,
    brain: Floats64 | None = None,
) -> dict[int, str]:
    """For every cluster, where its mean map exceeds that of all other scans most.

    sizes : (k,) scans of each cluster
    grid : for maps in template space, whose positions and regions have a meaning
    brain : for maps on the network's grid, the share of the scans (x, y, z) whose brain is there
    """
    if len(means) < 2:
        return {}
    total = sum(mean.astype(np.float64) * sizes[cluster] for cluster, mean in means.items())
    sentences = {}
    for cluster, mean in means.items():
        others = (total - mean * float(sizes[cluster])) / max(1, sizes.sum() - sizes[cluster])
        excess = ndimage.uniform_filter(mean - others, 3, mode="constant")
        index = np.unravel_index(int(np.argmax(excess)), excess.shape)
        where = (
            _in_template(index, stack, grid) if grid is not None else _in_image(index, stack, brain)
        )
        sentences[cluster] = f"Its heatmaps exceed those of the other clusters most {where}."
    return sentences


def spot_covariates(
    stack: Stack, labels: Ints, participants: Sequence[str], brain: Floats64, seed: int = 0
) -> list[Covariate]:
    """For every cluster, the share of relevance in one small spot outside the brain.

    labels, participants : (n,) of each map; brain : share of the scans (x, y, z) whose brain is
    there, on the network's grid
    """
    edges = np.sqrt((stack.affine[:3, :3] ** 2).sum(axis=0))
    x, y, z = (2 * round(SPOT_MM / 2 / edge - 0.5) + 1 for edge in edges)
    cube = (max(1, x), max(1, y), max(1, z))
    often = brain[np.ix_(*(_nearest(n, m) for n, m in zip(stack.shape, brain.shape, strict=True)))]
    allowed = ndimage.maximum_filter(often, cube) < _SELDOM
    cluster_spots = spots(stack.maps, labels, participants, stack.inside, allowed, cube, seed)
    return [
        Covariate(
            "relevance_spot",
            spot.shares,
            SUSPECT,
            f"relevance in one spot outside the brain, {_from_the_middle(spot.index, stack)},",
            is_share=True,
            misplaced=True,
            least=LEAST_SPOT,
            cluster=cluster,
        )
        for cluster, spot in cluster_spots.items()
    ]


def _nearest(n: int, m: int) -> Ints:
    """For each of n voxels of an axis, the one of m that covers the same stretch."""
    return np.minimum(((np.arange(n) + 0.5) / n * m).astype(np.int64), m - 1)


def _in_template(index: tuple[np.intp, ...], stack: Stack, grid: TemplateGrid) -> str:
    x, y, z = stack.affine[:3, :3] @ np.array(index) + stack.affine[:3, 3]
    where = f"at x {x:.0f}, y {y:.0f}, z {z:.0f} mm"
    if grid.atlas is None or grid.atlas.volume.data.shape != stack.shape:
        return where
    label = int(grid.atlas.volume.data[index])
    name = dict(grid.atlas.labels).get(label)
    return f"{where} ({name})" if name else where


def _in_image(index: tuple[np.intp, ...], stack: Stack, brain: Floats64 | None) -> str:
    where = _from_the_middle(index, stack)
    if brain is None:
        return where
    voxel = tuple(
        int(_nearest(n, m)[i]) for i, n, m in zip(index, stack.shape, brain.shape, strict=True)
    )
    return f"{where}, inside the brain in {100 * float(brain[voxel]):.0f} % of the scans"


def _from_the_middle(index: Sequence[np.intp] | Sequence[int], stack: Stack) -> str:
    """Relative to the middle of the image: brains are not aligned there."""
    middle = (np.array(stack.shape) - 1) / 2
    offset = stack.affine[:3, :3] @ (np.array(index) - middle)
    names = (("left", "right"), ("back", "front"), ("down", "up"))
    parts = [
        f"{abs(mm):.0f} mm {pair[int(mm > 0)]}" for mm, pair in zip(offset, names, strict=True)
    ]
    return f"{', '.join(parts)} from the middle of the image"
