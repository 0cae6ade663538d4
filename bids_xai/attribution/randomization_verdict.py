"""Does a method depend on the weights? The verdict on maps of a network that has lost them all.

Source: Adebayo et al. 2018.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LIMIT = 0.5
"""Largest rank correlation and structural similarity of a map that has lost all weights."""


def verdict(ssim: Sequence[float], spearman_abs: Sequence[float]) -> tuple[bool | None, str]:
    """Whether a method depends on the weights, and why, in words; None where it cannot be told.

    ssim, spearman_abs : (n_scans,) likeness of the original map and the one of the network whose
        layers are all random. The method passes where the medians of both are below ``LIMIT``.
    """
    finite = [np.asarray(v, float)[np.isfinite(v)] for v in (ssim, spearman_abs)]
    if not all(values.size for values in finite):
        return None, "no map to compare: whether it depends on the network is undecided"
    likeness, correlation = (float(np.median(values)) for values in finite)
    passed = likeness < LIMIT and correlation < LIMIT
    numbers = (
        f"with all layers random, its map has structural similarity {likeness:.2f} and rank "
        f"correlation {correlation:.2f} with the original (medians; below {LIMIT:g} each to pass)"
    )
    if passed:
        return True, f"passes: it depends on the network; {numbers}"
    same = "it shows much the same" if likeness >= LIMIT else "its voxels keep much the same order"
    return False, f"fails: {same} whatever the network has learnt; {numbers}"
