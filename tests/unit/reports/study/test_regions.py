"""What the section on regions says, against its tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from study_cases import headings_and_captions, of_kind
from study_tables import read_texts

from bids_xai.bids.files import write_text
from bids_xai.errors import BadDataError
from bids_xai.figures import regions as drawing
from bids_xai.reports.blocks import TableBlock
from bids_xai.reports.study.regions import regions
from bids_xai.reports.study_files import StudyFiles

STUDY = "tiny"  # of conftest.py


def test_bars_show_the_densest_regions_with_their_gain(
    study: StudyFiles, drawn: dict[str, list[Any]]
) -> None:
    section = regions(study)
    gains = [
        r
        for r in read_texts(study.folder / "atlas" / "gain.tsv")
        if (r["configuration"], r["merged"]) == ("B", "false")
    ]
    ill = sorted((r for r in gains if r["group"] == "AD"), key=lambda r: -float(r["mean_density"]))
    healthy = {r["name"]: float(r["mean_density"]) for r in gains if r["group"] == "NC"}
    panel = drawn["region_bars"][0]["B"]
    assert list(panel.regions) == [r["name"] for r in ill[:10]]
    np.testing.assert_allclose(panel.positive, [float(r["mean_density"]) for r in ill[:10]])
    np.testing.assert_allclose(panel.negative, [healthy[r["name"]] for r in ill[:10]])
    assert [np.isnan(g) for g in panel.gain] == [r["gain"] == "n/a" for r in ill[:10]]
    assert of_kind(section, TableBlock)[1].rows[0][0] == ill[0]["name"]
    assert "n/a in 6 of" in headings_and_captions(
        section
    )  # one region in three configurations, apart and joined


def test_the_leading_four_by_share_are_of_joined_sides(
    study: StudyFiles, drawn: dict[str, list[Any]]
) -> None:
    table = of_kind(regions(study), TableBlock)[-1]
    assert table.header == ("Configuration", "AD", "NC")
    controls = [
        r
        for r in read_texts(study.folder / "atlas" / "gain.tsv")
        if (r["configuration"], r["merged"], r["group"]) == ("C", "true", "NC")
    ]
    controls.sort(key=lambda r: -float(r["mean_sum"]))
    expected = "; ".join(
        f"{r['name']} ({100 * float(r['mean_share']):.1f} %)" for r in controls[:4]
    )
    assert table.rows[2] == ("C", table.rows[2][1], expected)


def test_a_table_of_an_older_version_is_named(study: StudyFiles) -> None:
    path = study.folder / "atlas" / "gain.tsv"
    write_text(path, path.read_text().replace("\tname\t", "\tregion\t"))
    with pytest.raises(BadDataError, match=r"lacks the columns name.*run --steps atlas again"):
        regions(study)


def test_a_density_ends_where_the_scans_end() -> None:
    """Relevance of z+ is never negative; a smooth tail below zero would say it is."""
    figure, grid = drawing.grid_of(1, width_in=3, height_in=2)
    values = np.array([0.0, 0.1, 0.2, 0.2, 0.3, 0.4, 0.9, 1.5, 2.0])
    drawing._half_violin(grid[0, 0], 0, values, -1, "red")
    drawing._half_violin(grid[0, 0], 1, values[:3], 1, "red")
    drawing._half_violin(grid[0, 0], 2, np.zeros(20), 1, "red")
    (shape,) = grid[0, 0].collections
    x, y = shape.get_paths()[0].vertices.T
    assert (x.min(), x.max()) == (0.0, 2.0)
    assert y.min() == pytest.approx(-0.44)
    assert len(grid[0, 0].lines) == 2  # few scans, and scans that are all alike, one by one
    assert figure is not None
