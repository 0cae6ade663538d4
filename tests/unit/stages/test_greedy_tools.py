"""The optional engine: its absence, its matrices, and (where installed) a registration."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bids_xai.bids.images import Volume
from bids_xai.core.masks import dice
from bids_xai.errors import UsageError
from bids_xai.stages import ants_tools, greedy_tools, registration

INSTALLED = importlib.util.find_spec("picsl_greedy") is not None


def test_without_greedy_the_user_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(greedy_tools, "import_module", missing)
    with pytest.raises(UsageError, match="picsl_greedy") as caught:
        greedy_tools.greedy_modules()
    assert "--registration-engine ants" in str(caught.value)


def test_matrices_turn_from_lps_to_ras() -> None:
    matrix = np.eye(3) + np.random.default_rng(0).normal(0, 0.1, (3, 3))
    centre, shift = np.array([3.0, -5.0, 8.0]), np.array([1.0, 2.0, -4.0])
    linear = SimpleNamespace(
        GetMatrix=lambda: tuple(matrix.ravel()),
        GetCenter=lambda: tuple(centre),
        GetTranslation=lambda: tuple(shift),
    )
    ras = np.array([11.0, -7.0, 20.0])
    lps = ras * [-1, -1, 1]
    expected = (matrix @ (lps - centre) + centre + shift) * [-1, -1, 1]
    np.testing.assert_allclose((greedy_tools.ras_matrix(linear) @ [*ras, 1])[:3], expected)


def blob(centre: tuple[float, float, float], axes: tuple[float, ...]) -> NDArray[np.bool_]:
    index = np.moveaxis(np.indices((50, 54, 46)), 0, -1)
    return np.asarray((((index - centre) / np.array(axes)) ** 2).sum(-1) < 1)


@pytest.mark.skipif(not INSTALLED, reason="picsl_greedy is not installed")
def test_greedy_finds_a_stretched_nucleus(tmp_path: Path) -> None:
    ants = ants_tools.ants_module(0)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = [-50, -54, -46]
    brain = blob((25, 27, 23), (20, 22, 18))
    there, here = blob((20, 27, 23), (6, 9, 6)), blob((21.5, 27, 23), (8, 7, 6))
    template, mask, subject = (
        Volume(values.astype(np.float32), affine)
        for values in (brain * 80.0 + there * 60, brain, brain * 80.0 + here * 60)
    )
    found = []
    for name in ("first", "second"):
        forward, inverse = tmp_path / f"{name}f.h5", tmp_path / f"{name}i.h5"
        registration.register_to_template(
            ants,
            template,
            mask,
            subject,
            mask,
            method="nonlinear",
            forward=forward,
            inverse=inverse,
            deformable=greedy_tools.register_deformable,
        )
        nucleus = Volume(here.astype(np.float32), affine)
        found.append(ants_tools.resample(ants, nucleus, template, [forward], nearest=True))
    np.testing.assert_array_equal(found[0], found[1])
    assert dice(found[0], there) > max(0.93, dice(here, there))
    back = ants_tools.resample(
        ants, Volume(there.astype(np.float32), affine), subject, [inverse], nearest=True
    )
    assert dice(back, here) > 0.93
