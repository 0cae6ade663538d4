"""The papers that a text cites."""

from __future__ import annotations

from bids_xai.attribution import METHODS
from bids_xai.reports.references import REFERENCES, cited


def test_every_source_of_a_method_is_a_reference() -> None:
    for method in METHODS.values():
        assert cited(method.source), method.source
    assert all(cited(key) == [text] for key, text in REFERENCES.items() if key[:10] != "University")
