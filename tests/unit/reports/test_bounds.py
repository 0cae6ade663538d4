"""The group page stays small, whatever the number of configurations, methods and clusters."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from study_tables import write_rows

from bids_xai.bids.files import write_bytes, write_json, write_nifti
from bids_xai.reports import bounds
from bids_xai.reports.blocks import Details, Folded, Picture, Subheading, TableBlock, Text
from bids_xai.reports.bounds import bounded
from bids_xai.reports.study import maps
from bids_xai.reports.study.page import write_group_page
from bids_xai.reports.study.spray import explorer, pictures
from bids_xai.reports.study.spray.analyses import SPACES
from bids_xai.tables.spray import CLUSTERS, EMBEDDING

NAME = "wide"
CONFIGURATIONS, METHODS, N_CLUSTERS = 8, 6, 7


def picture(alt: str, size: int) -> Picture:
    return Picture("x" * size, alt, "")


def test_first_figures_stay_and_the_rest_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MOST_BYTES", 100)
    first, small = picture("first", 60), picture("small", 30)
    inside = Details("more", (picture("large", 50), small))
    lost = Details("none", (picture("last", 50),))
    blocks = bounded([Subheading("a"), first, inside, lost], "group/x/means")
    assert blocks[:3] == [Subheading("a"), first, Details("more", (small,))]
    assert isinstance(blocks[3], Text)
    assert blocks[3].text == (
        "2 figures are omitted to keep the page small, beginning with “large”. The files they "
        "show are in group/x/means."
    )
    assert bounded([first], "w") == [first]


def test_long_tables_are_cut_and_say_so() -> None:
    rows = tuple((str(n),) for n in range(bounds.MOST_LINES + 1))
    long = TableBlock("Everything.", ("n",), rows)
    cut, folded = bounded([long, Folded("more", long)], "group/x")
    assert isinstance(cut, TableBlock)
    assert len(cut.rows) == bounds.MOST_LINES
    assert cut.caption == "Everything. The first 300 of 301 lines; all of them are in group/x."
    assert folded == Folded("more", cut)


def test_the_page_of_a_wide_study_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures of half a megabyte each: 8 configurations, 6 methods, 7 clusters, 16 analyses."""
    group, ids = tmp_path / "group" / NAME, [f"C{i}" for i in range(CONFIGURATIONS)]
    data = np.random.default_rng(0).random((6, 7, 8)).astype(np.float32)
    tile = {"height": 1, "width": 1, "tiles": 4}
    analyses = [f"{c}_{s}" for c, s in product(ids, SPACES)]
    for c, name in product(ids, ("AD", *(f"AD_desc-m{k}" for k in range(1, METHODS)))):
        write_nifti(
            group / "means" / f"configuration-{c}_group-{name}_mean.nii.gz", data, np.eye(4)
        )
    rows = [
        {
            "participant_id": f"sub-{i}",
            "session_id": "n/a",
            "split": 0,
            "cluster": 1 + i % N_CLUSTERS,
            "true_class": "AD",
            "outcome": "TP",
            "x": i,
            "y": i,
            "scan": f"sub-{i}",
        }
        for i in range(40)
    ]
    for analysis in analyses:
        for table in (CLUSTERS, EMBEDDING):
            write_rows(table, group / "spray" / analysis, rows)
        for k in range(1, N_CLUSTERS + 1):
            write_nifti(group / "spray" / analysis / f"cluster-{k}_mean.nii.gz", data, np.eye(4))
        write_bytes(group / "spray" / analysis / "mosaics.png", b"x" * 2_000_000)
    write_json(
        group / "study.json",
        {
            "classes": ["NC", "AD"],
            "configurations": [{"id": c} for c in ids],
            "spray": {name: {"tile": tile} for name in analyses},
        },
    )
    large = lambda *_, **__: b"\x89PNG" + bytes(375_000)  # noqa: E731
    for module, names in (
        (maps, ("mosaic", "strips")),
        (pictures, ("cluster_maps", "embedding_panels")),
    ):
        for name in names:
            monkeypatch.setattr(module, name, large)
    page = write_group_page(tmp_path, NAME)
    text = page.read_text()
    assert text.count("omitted to keep the page small") == 2
    assert text.count("shows no pictures of these heatmaps") == len(analyses) - 4
    assert "mosaics.png" in text
    figures = 2 * bounds.MOST_BYTES + 4 / 3 * explorer.MOST_BYTES
    assert 0.8 * figures < page.stat().st_size < figures + 500_000
