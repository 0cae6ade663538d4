"""Charts of perturbation and of random weights."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable

import numpy as np
import pytest

from bids_xai.figures.trust import Band, LayerLikeness, perturbation_curves, randomization_curves


def band(height: float) -> Band:
    mean = height * np.linspace(0, 1, 6)
    return Band(mean, mean - 0.02, mean + 0.02)


def curves(panels: int) -> bytes:
    orders = {"morf": band(0.4), "random": band(0.1), "lerf": band(-0.05)}
    return perturbation_curves({f"method {n}": orders for n in range(panels)})


def layers(panels: int) -> bytes:
    names = [f"{n} Conv3d" for n in range(14)]
    values = np.linspace(1, -0.5, 14)
    some = {"ssim": values, "spearman": -values, "spearman_abs": np.full(14, np.nan)}
    return randomization_curves(
        {f"m {n}": LayerLikeness(names, some, some) for n in range(panels)}, 0.5
    )


@pytest.mark.parametrize("draw", [curves, layers])
@pytest.mark.parametrize("panels", [1, 2, 4, 7])
def test_charts_are_valid_and_always_the_same(draw: Callable[[int], bytes], panels: int) -> None:
    first = draw(panels)
    assert ET.fromstring(first).tag.endswith("svg")
    assert draw(panels) == first
