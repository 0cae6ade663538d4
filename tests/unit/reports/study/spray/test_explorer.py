"""A drawing of the embedding to explore."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bids_xai.bids.files import write_bytes, write_json
from bids_xai.figures.cluster_tiles import projection_tile, tile_sheet
from bids_xai.reports.blocks import Html, Section, render
from bids_xai.reports.study.spray import explorer as explorer_module
from bids_xai.reports.study.spray.analyses import Analysis, analyses_of
from bids_xai.reports.study.spray.explorer import explorer
from bids_xai.reports.study_description import AnalysisDescription
from bids_xai.reports.study_files import StudyFiles
from bids_xai.tables.spray import TileSheet

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def with_tiles(study: StudyFiles, tiles: int) -> Analysis:
    """An analysis with a sheet of so many pictures."""
    tile = TileSheet(height=2, width=3, tiles=tiles)
    return dataclasses.replace(analyses_of(study)[-1], description=AnalysisDescription(tile=tile))


def data_of(block: Html) -> dict[str, Any]:
    match = re.search(r'id="spray-data">(.*?)</script>', block.text, re.DOTALL)
    assert match is not None
    loaded: dict[str, Any] = json.loads(match.group(1))
    return loaded


def test_the_explorer_holds_every_point(study: StudyFiles) -> None:
    analysis = analyses_of(study)[0]
    none = dataclasses.replace(analysis, folder=study.folder / "spray" / "none")
    (study.folder / "spray" / "covariates.tsv").write_text(
        "scan\tsite\tempty\nsub-00_ses-1\t</script><b>\tn/a\n"
    )
    (block,) = explorer(study, [analysis, none])
    data = data_of(block)
    (entry,) = data["analyses"]
    assert len(entry["points"]) == 24
    assert entry["points"][0]["scan"] == "sub-00_ses-1"
    assert data["columns"] == ["site"]
    assert data["scans"] == {"sub-00_ses-1": ["</script><b>"]}
    assert block.text.count("</script>") == 2
    assert explorer(study, [none]) == []


def test_pictures_are_bounded(study: StudyFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    analysis = with_tiles(study, 4)
    write_bytes(analysis.folder / "mosaics.png", b"x" * 1000)
    sheet = data_of(explorer(study, [analysis])[0])["analyses"][0]["sheet"]
    assert sheet["tiles"] == 4
    monkeypatch.setattr(explorer_module, "MOST_BYTES", 999)
    assert data_of(explorer(study, [analysis])[0])["analyses"][0]["sheet"] is None


def test_heatmaps_without_a_picture_are_told(study: StudyFiles) -> None:
    analysis = with_tiles(study, 4)
    write_bytes(analysis.folder / "mosaics.png", b"x")
    words = "Configuration C, template space: the first 4 heatmaps have a picture."
    assert words in explorer(study, [analysis])[0].text
    assert "have a picture" not in explorer(study, [with_tiles(study, 24)])[0].text


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_shows_the_scan_of_a_point(study: StudyFiles, tmp_path: Path) -> None:
    """From a file, without network: a link to a point opens its card."""
    analysis = analyses_of(study)[0]
    tiles = [projection_tile(np.random.default_rng(i).random((9, 9, 9)) ** 9) for i in range(24)]
    write_bytes(analysis.folder / "mosaics.png", tile_sheet(tiles))
    tile = TileSheet(height=54, width=168, tiles=24)
    analysis = dataclasses.replace(analysis, description=AnalysisDescription(tile=tile))
    blocks = tuple(explorer(study, [analysis, analysis]))
    page = tmp_path / "page.html"
    page.write_text(render("x", "y", [Section("SpRAy", blocks)]))
    write_json(tmp_path / "unused.json", {})
    shown = subprocess.run(
        [
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--dump-dom",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"{page.as_uri()}#spray-1-5",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    card = unescape(shown.split('class="card"')[1].split("</div>")[0])
    assert "sub-02_ses-2" in card
    assert "<canvas" in card
    assert shown.count('role="button"') == 24
    assert 'class="now"' in shown
