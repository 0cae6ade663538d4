"""Relevance that is spread evenly is told where it matters."""

from __future__ import annotations

from bids_xai.reports.blocks import Text
from bids_xai.reports.floor_share import floor_notes


def test_it_is_told_where_it_matters() -> None:
    assert floor_notes("lrp-zplus", []) == []
    assert floor_notes("lrp-zplus", [None, 0.0, 0.001]) == []
    (note,) = floor_notes("lrp-zplus", [0.1, 0.3, None])
    assert isinstance(note, Text)
    assert "lrp-zplus: 20.0 % of the relevance (at most 30.0 % of a scan)" in str(note.text)
    (single,) = floor_notes("lrp-zplus", [0.25])
    assert isinstance(single, Text)
    assert "25.0 % of the relevance belongs" in str(single.text)
