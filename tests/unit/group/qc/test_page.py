"""The page of all sessions: the worst first, with links to pages that exist."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from qc_cases import table, usual_but_two

from bids_xai.bids.files import write_json, write_text
from bids_xai.bids.stamps import session_stamp
from bids_xai.group.qc import page as page_module
from bids_xai.group.qc.step import write_group_qc
from bids_xai.tables.qc import collect_qc


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Ten usual sessions, one flagged, one far from the others but within the limits."""
    return usual_but_two(tmp_path)


class _Names(HTMLParser):
    """Row headings of the first table, and every link that leaves the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "link", "img", "br"}:
            self.open.append(tag)
        self.links += [v for k, v in attrs if k == "href" and v and not v.startswith(("#", "data"))]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_lists_the_worst_first_and_links_to_pages_that_exist(out: Path) -> None:
    write_text(out / "sub-low.html", "a page")
    write_group_qc(out)
    text = (out / "group_qc.html").read_text()
    assert _Names(text).links == ["sub-low.html"]
    lines = re.findall(r'<th scope="row">(?:<a[^>]*>)?(sub-[^<]+)', text)
    assert lines[:2] == ["sub-low_ses-2", "sub-big"]
    assert len(lines) == 12
    assert "MaskDice 0.71 below 0.9" in text
    assert re.search(r"BrainVolumeMl 2100 \(z = \d", text)
    assert text.count("data:image/png") == 3  # one a kind of image
    assert not re.search(r"(src|href)=.(https?:)?//", text)


def test_a_long_list_is_cut_and_says_so(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "MOST_LINES", 3)
    write_group_qc(out)
    text = (out / "group_qc.html").read_text()
    assert "9 more, which are better, are in group_qc.tsv" in text
    assert len(re.findall(r'<th scope="row">sub-', text)) == 3
    assert len(table(out)) == 12


def test_sessions_that_were_made_for_a_test_are_counted_on_the_page(out: Path) -> None:
    page = out / "group_qc.html"
    write_group_qc(out)
    assert "sloppy" not in page.read_text()
    label = collect_qc(out)[0].name
    write_json(session_stamp(out, label), {"settings": {"sloppy": True}})
    write_group_qc(out)
    assert "1 session had coarse masks" in page.read_text()
