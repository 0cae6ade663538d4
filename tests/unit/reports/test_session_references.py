"""The papers that the methods text of a session cites."""

from __future__ import annotations

import pytest

from bids_xai.attribution import METHODS
from bids_xai.reports.references import REFERENCES
from bids_xai.reports.session_references import MODEL_REFERENCES, PREPROCESSING_REFERENCES


@pytest.mark.parametrize("references", [MODEL_REFERENCES, PREPROCESSING_REFERENCES])
def test_every_reference_is_complete_and_stands_once(references: dict[str, str]) -> None:
    assert len(set(references.values())) == len(references)
    for text in references.values():
        assert any(f"({year})" in text for year in range(1990, 2030)), text


def test_a_paper_has_the_same_first_author_and_year_on_both_pages() -> None:
    for key in MODEL_REFERENCES.keys() & REFERENCES.keys():
        year = key.split()[-1]
        for text in (MODEL_REFERENCES[key], REFERENCES[key]):
            assert f"({year})" in text
        first, second = (t[key].split(",")[0].split()[0] for t in (MODEL_REFERENCES, REFERENCES))
        assert first == second


def test_every_method_has_a_source_among_them() -> None:
    for method in METHODS.values():
        assert any(key in method.source for key in MODEL_REFERENCES), method.source
