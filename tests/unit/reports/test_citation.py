"""The methods text says what was done, with versions, and nothing that was not."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import bids_xai
from bids_xai.attribution import METHODS
from bids_xai.core.relaxometry.fit import R2STAR_METHODS
from bids_xai.models import MODELS
from bids_xai.models.card import ModelCard
from bids_xai.reports.citation import (
    Methods,
    explanation_methods,
    preprocessing_methods,
    write_citation,
)
from bids_xai.reports.session_references import MODEL_REFERENCES
from bids_xai.settings import EMBEDDED_TEMPLATE, OutputSpace, RunSettings

CARD = ModelCard(
    architecture="graz",
    input_shape=(4, 5, 6),
    voxel_mm=None,
    suffix="R2starmap",
    space="T1w",
    scale=40.0,
    maximum=None,
    skull_strip=False,
    classes=("NC", "AD"),
    positive="AD",
    seed=7,
    study="s",
    configuration="C",
    split=2,
    split_hash="",
    training_participants=("0815",),
    relevance_guided=True,
    metrics={},
    versions={"torch": "2.0"},
    weights_sha256="abcd" * 16,
)
EMBEDDED, FETCHED = OutputSpace(EMBEDDED_TEMPLATE), OutputSpace("MNI152NLin6Asym", 1)


def text(folder: Path, **options: Any) -> str:
    options.setdefault("output_spaces", (EMBEDDED,))
    path = write_citation(RunSettings(Path("/in"), folder, "participant", **options))
    assert path == folder / "logs" / "CITATION.md"
    return path.read_text()


def test_the_default_run(tmp_path: Path) -> None:
    citation = text(tmp_path)
    assert f"bids_xai {bids_xai.__version__}" in citation
    assert f"antspyx {version('antspyx')}" in citation
    assert "nonlinear least squares" in citation
    assert "by a rigid transform" in citation
    assert "Avants BB et al. (2008)" in citation
    assert "TemplateFlow" not in citation
    assert "--sloppy" not in citation
    assert "FLAIR" not in citation
    assert "Valverde" not in citation


def test_other_templates_are_cited(tmp_path: Path) -> None:
    citation = text(tmp_path, output_spaces=(EMBEDDED, FETCHED), sloppy=True)
    assert "Ciric R et al. (2022)" in citation
    assert "MNI152NLin6Asym:res-1" in citation
    assert "--sloppy was set" in citation


@pytest.mark.parametrize("method", R2STAR_METHODS)
@pytest.mark.parametrize("registration", ["none", "linear", "nonlinear"])
@pytest.mark.parametrize("mask", ["auto", "derivatives", "synthstrip"])
@pytest.mark.parametrize("engine", ["ants", "greedy"])
def test_every_choice_has_a_text(
    tmp_path: Path, method: str, registration: str, mask: str, engine: str
) -> None:
    citation = text(
        tmp_path,
        r2star_method=method,
        registration=registration,
        brain_mask=mask,
        registration_engine=engine,
    )
    assert ("Hoopes A" in citation) == (mask == "synthstrip")
    assert ("Pei M" in citation) == (method == "arlo")
    assert ("Yushkevich PA" in citation) == ((engine, registration) == ("greedy", "nonlinear"))
    assert ("Avants BB" in citation) == ((engine, registration) == ("ants", "nonlinear"))


def test_inputs_and_options_of_the_fit_are_told(tmp_path: Path) -> None:
    citation = text(tmp_path, inputs=("T1w", "FLAIR", "R1map"), derivatives=(("q", Path("/q")),))
    assert "multi-echo" not in citation
    assert "The FLAIR image" in citation
    assert "Precomputed maps (R1map)" in citation
    assert "Valverde S" in citation
    citation = text(tmp_path, rician=True, noise_floor=3.0, megre_transform="affine")
    assert "Rician" in citation
    assert "below 3 standard deviations" in citation
    assert "by a affine" not in citation


def test_equal_settings_give_equal_bytes(tmp_path: Path) -> None:
    first = text(tmp_path / "a", output_spaces=(FETCHED,))
    assert text(tmp_path / "b", output_spaces=(FETCHED,)) == first


def of_model(card: ModelCard = CARD, **options: Any) -> Methods:
    settings = RunSettings(
        Path("/in"), Path("/out"), "participant", output_spaces=(EMBEDDED,), **options
    )
    return explanation_methods(settings, card)


def test_a_model_and_its_explanation_are_told() -> None:
    recorded = of_model(attribution=("lrp-zplus", "saliency"), target="AD", renormalise=True)
    citation = " ".join(recorded.paragraphs)
    for words in (
        "study s, configuration C, split 2",
        "SHA-256 of its weights abcdabcdabcdabcd.",
        "Its network is graz (Tinauer et al. 2025), trained with seed 7 (torch 2.0)",
        "relevance guidance, Tinauer et al. 2025",
        "4 × 5 × 6 voxels",
        "Relevance for the class AD",
        "saliency (Simonyan et al. 2014; Rieke et al. 2018)",
        "scaled to the sum it had before",
    ):
        assert words in citation
    assert "0815" not in citation
    assert recorded.versions["torch"] == version("torch")
    assert len(recorded.references) == 5
    cited = " ".join(recorded.references)
    assert all(name in cited for name in ("Tinauer C", "Simonyan K", "Rieke J", "Bach S"))
    plain = of_model(replace(CARD, relevance_guided=False, architecture="gap3"))
    assert "guidance" not in " ".join(plain.paragraphs)
    assert "Tinauer" not in str(plain)


def test_every_method_and_network_has_its_references() -> None:
    for name, method in METHODS.items():
        works = re.findall(r"[A-Z]\w+ (?:et al\.|and [A-Z]\w+) \d{4}", method.source)
        assert len(works) == len(re.findall(r"\d{4}", method.source)) > 0
        assert set(works) <= set(MODEL_REFERENCES)
        assert len(of_model(attribution=(name,)).references) >= len(set(works))
    for name in MODELS:
        recorded = of_model(replace(CARD, architecture=name, relevance_guided=False))
        assert len(recorded.references) == 2 + (not name.startswith("gap")), name


def test_the_text_of_a_run_with_a_model_has_both(tmp_path: Path) -> None:
    settings = RunSettings(Path("/in"), tmp_path, "participant", output_spaces=(EMBEDDED,))
    citation = write_citation(settings, CARD).read_text()
    assert citation.count("Software: ") == citation.count("nibabel ") == 1
    assert f"torch {version('torch')}" in citation
    assert "Montavon G et al. (2017)" in citation
    assert "Pei M" not in citation


def test_methods_come_back_from_a_stamp() -> None:
    methods = preprocessing_methods(RunSettings(Path("/in"), Path("/out"), "participant"))
    assert Methods.of_stamp({"digest": "d", "methods": methods.plain}) == methods
    assert Methods.of_stamp({"digest": "d"}) is None
