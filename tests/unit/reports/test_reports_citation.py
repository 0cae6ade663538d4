"""The methods text holds the facts of the run, and no others."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from bids_xai.reports.citation import write_citation

EMBEDDED = "MNI152NLin2009aSym:res-2"
FETCHED = "MNI152NLin6Asym:res-1"


def test_the_text_tells_what_this_run_did(tmp_path: Path) -> None:
    path = write_citation(tmp_path, "nlls", [EMBEDDED], False)
    assert path == tmp_path / "logs" / "CITATION.md"
    text = path.read_text(encoding="utf-8")
    for fact in ("nonlinear least squares", "Tustison", "Avants", EMBEDDED, "2016.44"):
        assert fact in text
    assert f"antspyx {version('antspyx')}" in text
    for other in ("sloppy", "TemplateFlow", "log magnitudes"):
        assert other not in text


def test_options_change_the_text(tmp_path: Path) -> None:
    path = write_citation(tmp_path, "loglin", [EMBEDDED, FETCHED], True)
    text = path.read_text(encoding="utf-8")
    for fact in ("log magnitudes", "TemplateFlow", "--sloppy", f"{EMBEDDED}, {FETCHED}"):
        assert fact in text
    assert "nonlinear" not in text


@pytest.mark.parametrize("sloppy", [False, True])
def test_the_same_run_gives_the_same_bytes(tmp_path: Path, sloppy: bool) -> None:
    first = write_citation(tmp_path / "a", "nlls", [FETCHED], sloppy).read_bytes()
    assert write_citation(tmp_path / "b", "nlls", [FETCHED], sloppy).read_bytes() == first
    assert first.endswith(b"\n")
