"""The section on clusters of heatmaps: verdicts first."""

from __future__ import annotations

import pytest

from bids_xai.errors import BadDataError
from bids_xai.reports.blocks import Items, Text
from bids_xai.reports.study.spray.section import spectral
from bids_xai.reports.study_files import StudyFiles


def test_verdicts_come_first(study: StudyFiles) -> None:
    blocks = spectral(study).blocks
    assert isinstance(blocks[0], Text)
    assert "may show a shortcut" in blocks[0].text
    assert isinstance(blocks[1], Items)
    assert blocks[1].look == "problem"
    assert blocks[1].items == (
        "Configuration A, subject space: Cluster <x> (suspicious). Look at: sub-01, sub-03.",
    )
    texts = [block.text for block in blocks if isinstance(block, Text)]
    assert "Configuration A, subject space: 2 clusters, 1 suspicious." in texts
    (study.folder / "spray" / "verdicts.tsv").unlink()
    first = spectral(study).blocks[0]
    assert isinstance(first, Text)
    assert "--steps spray" in first.text


def test_a_table_without_its_columns_is_named(study: StudyFiles) -> None:
    (study.folder / "spray" / "verdicts.tsv").write_text("configuration\nA\n")
    with pytest.raises(BadDataError, match=r"space, .*finding.*verdicts\.tsv"):
        spectral(study)
