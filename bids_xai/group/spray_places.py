"""Where the heatmaps of a cluster differ from the others', in words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_xai.group.spray_maps import Stack
from bids_xai.interfaces.explain import TemplateGrid

Floats = NDArray[np.floating]


def cluster_means(stack: Stack, labels: NDArray[np.int64]) -> dict[int, NDArray[np.float32]]:
    """Mean map (x, y, z) of every cluster, from 0."""
    return {cluster: stack.mean(labels == cluster) for cluster in range(int(labels.max()) + 1)}


def places_in_words(
    stack: Stack,
    means: Mapping[int, NDArray[np.float32]],
    sizes: NDArray[np.int64],
    *,
    grid: TemplateGrid | None = None,
    brain: NDArray[np.float64] | None = None,
) -> dict[int, str]:
    """For every cluster, where its mean map exceeds that of all other scans most.

    sizes : (k,) scans of each cluster
    grid : for maps in template space, whose positions and regions have a meaning
    brain : for maps on the network's grid, the share of the scans (x, y, z) whose brain is there
    """
    if len(means) < 2:
        return {}
    total = sum(mean.astype(np.float64) * sizes[cluster] for cluster, mean in means.items())
    found = {}
    for cluster, mean in means.items():
        others = (total - mean * float(sizes[cluster])) / max(1, sizes.sum() - sizes[cluster])
        excess = ndimage.uniform_filter(mean - others, 3, mode="constant")
        index = np.unravel_index(int(np.argmax(excess)), excess.shape)
        where = (
            _in_template(index, stack, grid) if grid is not None else _in_image(index, stack, brain)
        )
        found[cluster] = f"Its heatmaps exceed the others' most {where}."
    return found


def _in_template(index: tuple[np.intp, ...], stack: Stack, grid: TemplateGrid) -> str:
    x, y, z = stack.affine[:3, :3] @ np.array(index) + stack.affine[:3, 3]
    where = f"at x {x:.0f}, y {y:.0f}, z {z:.0f} mm"
    if grid.atlas is None or grid.atlas.volume.data.shape != stack.shape:
        return where
    label = int(grid.atlas.volume.data[index])
    name = dict(grid.atlas.labels).get(label)
    return f"{where} ({name})" if name else where


def _in_image(
    index: tuple[np.intp, ...], stack: Stack, brain: NDArray[np.float64] | None
) -> str:  # fmt: skip
    """Relative to the middle of the image: brains are not aligned there."""
    middle = (np.array(stack.shape) - 1) / 2
    offset = stack.affine[:3, :3] @ (np.array(index) - middle)
    names = (("left", "right"), ("back", "front"), ("down", "up"))
    parts = [
        f"{abs(mm):.0f} mm {pair[int(mm > 0)]}" for mm, pair in zip(offset, names, strict=True)
    ]
    where = f"{', '.join(parts)} from the middle of the image"
    if brain is None:
        return where
    own = tuple(
        min(int((i + 0.5) / n * m), m - 1)
        for i, n, m in zip(index, stack.shape, brain.shape, strict=True)
    )
    return f"{where}, inside the brain in {100 * float(brain[own]):.0f} % of the scans"
