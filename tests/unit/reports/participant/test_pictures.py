"""Pictures on the page: their order, titles and captions."""

from __future__ import annotations

from pathlib import Path

from bids_xai.reports.participant.pictures import RELMAP, pictures
from bids_xai.reports.participant.session_pictures import session_figures


def test_order_titles_and_anchors(participant_dir: Path) -> None:
    session_figures(participant_dir, {"sub": "01", "ses": "1"})
    shown = pictures(participant_dir, "01", "1")
    titles = [picture.look.title for picture in shown]
    assert titles == [
        "Brain mask on the T1w image",
        "R2* map with the histogram of its values",
        "R2* map on the T1w grid with outlines from the T1w image",
        "T1w image in template space (MNI152NLin2009aSym)",
        "Relevance for AD by gradient in MNI152NLin2009aSym (model A)",
        "Relevance for AD by lrp-zplus on the T1w image (model A)",
    ]
    assert [picture.is_heatmap for picture in shown] == [False] * 4 + [True] * 2
    assert [picture.shows_input("R2starmap") for picture in shown].index(True) == 1
    assert shown[0].shows_input("T1w")
    assert len({picture.look.anchor for picture in shown}) == len(shown)
    heading, block = shown[-1].blocks("Session 1: ")
    assert f'id="{shown[-1].look.anchor}"' in str(heading.text)
    assert "Session 1: Relevance" in str(heading.text)
    assert block is shown[-1].picture
    assert pictures(participant_dir, "01", "2") == []
    assert shown[-1].look.suffix == RELMAP
