"""The methods text says what was done, with versions, and nothing that was not."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import bids_xai
from bids_xai.core.relaxometry import R2STAR_METHODS
from bids_xai.reports.citation import write_citation
from bids_xai.settings import EMBEDDED_TEMPLATE, OutputSpace, RunSettings

EMBEDDED, FETCHED = OutputSpace(EMBEDDED_TEMPLATE), OutputSpace("MNI152NLin6Asym", 1)


def text(folder: Path, **options: Any) -> str:
    options.setdefault("output_spaces", (EMBEDDED,))
    path = write_citation(RunSettings(Path("/in"), folder, "participant", **options))
    assert path == folder / "logs" / "CITATION.md"
    return path.read_text()


def test_the_default_run(tmp_path: Path) -> None:
    said = text(tmp_path)
    assert f"bids_xai {bids_xai.__version__}" in said
    assert f"antspyx {version('antspyx')}" in said
    assert "nonlinear least squares" in said
    assert "by a rigid transform" in said
    assert "Avants BB et al. (2008)" in said
    assert "TemplateFlow" not in said
    assert "--sloppy" not in said
    assert "FLAIR" not in said
    assert "Valverde" not in said


def test_other_templates_are_cited(tmp_path: Path) -> None:
    said = text(tmp_path, output_spaces=(EMBEDDED, FETCHED), sloppy=True)
    assert "Ciric R et al. (2022)" in said
    assert "MNI152NLin6Asym:res-1" in said
    assert "--sloppy was set" in said


@pytest.mark.parametrize("method", R2STAR_METHODS)
@pytest.mark.parametrize("registration", ["none", "linear", "nonlinear"])
@pytest.mark.parametrize("mask", ["auto", "derivatives", "synthstrip"])
@pytest.mark.parametrize("engine", ["ants", "greedy"])
def test_every_choice_has_a_text(
    tmp_path: Path, method: str, registration: str, mask: str, engine: str
) -> None:
    said = text(
        tmp_path, r2star_method=method, registration=registration, brain_mask=mask,
        registration_engine=engine,
    )  # fmt: skip
    assert ("Hoopes A" in said) == (mask == "synthstrip")
    assert ("Pei M" in said) == (method == "arlo")
    assert ("Yushkevich PA" in said) == ((engine, registration) == ("greedy", "nonlinear"))
    assert ("Avants BB" in said) == ((engine, registration) == ("ants", "nonlinear"))


def test_inputs_and_options_of_the_fit_are_told(tmp_path: Path) -> None:
    said = text(tmp_path, inputs=("T1w", "FLAIR", "R1map"), derivatives=(("q", Path("/q")),))
    assert "multi-echo" not in said
    assert "The FLAIR image" in said
    assert "Precomputed maps (R1map)" in said
    assert "Valverde S" in said
    said = text(tmp_path, rician=True, noise_floor=3.0, megre_transform="affine")
    assert "Rician" in said
    assert "below 3 standard deviations" in said
    assert "by a affine" not in said


def test_equal_settings_give_equal_bytes(tmp_path: Path) -> None:
    first = text(tmp_path / "a", output_spaces=(FETCHED,))
    assert text(tmp_path / "b", output_spaces=(FETCHED,)) == first
