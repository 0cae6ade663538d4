"""The page of a participant: its sections, and what stands on top."""

from __future__ import annotations

import re
from pathlib import Path

from bids_xai.reports.participant.page import write_participant_page


def test_sections_in_their_order(drawn_dir: Path) -> None:
    file = write_participant_page(drawn_dir, "01", ["sub-01_ses-9: no echo times"])
    assert file == drawn_dir / "sub-01.html"
    page = file.read_text()
    order = re.findall(r'<h2 id="([^"]+)"', page)
    assert order == [
        *("problems", "summary", "input-map", "heatmaps", "quality", "how-this-was-made")
    ]
    assert "sub-01_ses-9: no echo times" in page
    assert "Predicted: AD, with a probability of 80.0 % (model A)." in page
    assert "87.6 %" in page  # of the relevance lies in the brain mask
    assert "ses-2: MaskDice 0.71 is" in page


def test_nothing_there_is_told(tmp_path: Path) -> None:
    page = write_participant_page(tmp_path, "07", []).read_text()
    assert re.findall(r'<h2 id="([^"]+)"', page) == ["problems"]
    assert "None reported." in page
