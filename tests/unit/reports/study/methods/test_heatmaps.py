"""How heatmaps were computed, checked and clustered, in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from study_cases import described

from bids_xai.attribution import METHODS
from bids_xai.reports.study.methods.heatmaps import (
    attribution_words,
    method_words,
    quality_words,
    spray_words,
)
from bids_xai.studies.tables import Attribution, Quality, Spray


def test_a_method_has_its_start_and_source() -> None:
    source = METHODS["lrp-zplus"].source
    expected = f"lrp-zplus, starting at all softmax outputs ({source})"
    assert method_words("lrp-zplus", {}) == expected
    words = method_words("half", {"method": "lrp-zplus", "start": "logit", "beta": 0.5})
    assert words == (
        f"half, which is lrp-zplus (beta 0.5), starting at the logit of one class ({source})"
    )
    assert method_words("future", {"depth": 2}) == "future (depth 2)"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("positive", "AD"),
        ("predicted", "the predicted class"),
        ("true", "the true class"),
        ("MCI", "MCI"),
    ],
)
def test_the_class_explained_is_named(target: str, words: str) -> None:
    text = attribution_words(Attribution(("saliency", "lrp-zplus"), target), "AD")
    assert "; lrp-zplus, starting" in text
    assert text.endswith(f"start at one class explain {words}.")


def test_checks_that_were_not_done_are_not_said() -> None:
    assert quality_words(Quality(scans=0, randomization_scans=0)) == ""
    words = quality_words(Quality(scans=7, cube_mm=12.5, randomization_scans=0))
    assert "of at most 7 test scans per configuration, with cubes of 12.5 mm and 5 random" in words
    assert "Adebayo" not in words
    assert quality_words(Quality(scans=0)).startswith("They were checked by weight randomisation")


def test_clustering_names_spaces_and_embedding(tmp_path: Path) -> None:
    words = spray_words(Spray(spaces=("template",), bootstraps=9), described("quick", tmp_path))
    assert "in template space, at 2 mm, with 12 nearest neighbours" in words
    assert "Stability is from 9 bootstrap samples." in words
    assert words.endswith("The embedding is by t-SNE (van der Maaten and Hinton 2008).")
