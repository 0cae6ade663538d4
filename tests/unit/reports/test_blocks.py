"""Blocks as HTML."""

from __future__ import annotations

import json

import pytest
from markupsafe import Markup

from bids_xai.reports.blocks import Details, Html, Section, Text, embedded, embedded_json, render


def test_html_and_details_are_drawn_and_drawings_keep_their_room() -> None:
    image = embedded(b'<svg height="72pt" version="1.1" width="144.4pt">', "a", "b")
    assert (image.width, image.height) == (193, 96)
    inner = Details("Open <me>", (Text("inside"), image))
    page = render("t", "l", [Section("S", (Html(Markup("<b>x</b>")), inner))])
    assert "<b>x</b>" in page
    assert "<summary>Open &lt;me&gt;</summary>" in page
    assert '<p class="plain">inside</p>' in page
    assert 'loading="lazy"' in page
    assert 'width="193" height="96"' in page


@pytest.mark.parametrize(
    "text", ["</script>", "<!--<script>", "]]>", "a & b", "\u2028", "caudate <left>", '"\\']
)
def test_no_text_within_json_ends_the_script_it_is_in(text: str) -> None:
    """As a browser reads it: up to the first end tag, comments included."""
    markup = embedded_json({"names": [text]})
    assert not set(markup) & {"<", ">", "&"}
    assert json.loads(markup) == {"names": [text]}
