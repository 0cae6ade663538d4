"""The methods of a study in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from study_cases import described, paragraphs

from bids_xai.reports.blocks import Details, Items
from bids_xai.reports.study.methods.section import methods
from bids_xai.reports.study.methods.settings import settings


def test_methods_are_those_of_the_settings(tmp_path: Path) -> None:
    study = described("tinauer2025", tmp_path)
    section = methods(study)
    methods_text = paragraphs(section)
    for words in (
        "AD (positive class) from NC, by the column diagnosis of participants.tsv",
        "R2starmap maps in subject space",
        "divided by 40.",
        "matched 1:1 by propensity score on age and sex",
        "at random, 10 times: within each class 70 % for training, 15 % for validation, 15 % for",
        "The network graz (Tinauer et al. 2025) was trained with Adam (Kingma and Ba 2015)",
        "for at most 60 epochs, with learning rate 0.001 and 6 scans per step.",
        "Configuration B: maps without the skull, not relevance guided.",
        "inside the mask (brain) with weight −1",
        "lrp-zplus, starting at all softmax outputs (Montavon et al. 2017;",
        "12 nearest neighbours",
        "Software: bids_xai 1.2, torch 2.7.",
    ):
        assert words in methods_text
    (references,) = (block for block in section.blocks if isinstance(block, Items))
    assert any("10.1016/j.patcog.2016.11.008" in item for item in references.items)
    every = next(b for b in settings(study).blocks if isinstance(b, Details))
    rows = dict(every.blocks[0].rows)
    assert rows["training.plateau.patience"] == "5"
    assert rows["configurations.B.skull_strip"] == "yes"


@pytest.mark.parametrize(
    "name",
    [
        "boehle2019",
        "cam-lrp-digits",
        "cam-lrp-thesis",
        "eitel-ritter2019",
        "eitel2019-pretraining",
        "eitel2021-pif",
        "klingenberg2021",
        "quick",
        "rieke2018",
    ],
)
def test_every_study_of_the_package_has_its_methods(name: str, tmp_path: Path) -> None:
    section = methods(described(name, tmp_path))
    assert "None" not in paragraphs(section)
    assert isinstance(section.blocks[-1], Items)
