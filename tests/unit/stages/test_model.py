"""A table of regions for every atlas of the command line, and anew where an atlas changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from atlas_halves import CARD, user_atlas

from bids_xai.attribution.request import Request
from bids_xai.bids.images import Volume
from bids_xai.errors import UsageError
from bids_xai.settings import EMBEDDED_TEMPLATE
from bids_xai.stages import model as model_stage
from bids_xai.stages.explain import Explanation
from bids_xai.stages.products import Origin
from bids_xai.templates.grid import TemplateGrid, load_atlases, load_template_grid


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> str:
    """``--atlas`` of a user's own atlas."""
    (embedded,) = load_atlases(EMBEDDED_TEMPLATE, ())
    return f"Halves={user_atlas(tmp_path_factory.mktemp('atlas'), embedded)}"


def test_the_grid_has_every_atlas_the_first_named_first(halves: str) -> None:
    assert [a.name for a in load_template_grid(EMBEDDED_TEMPLATE).atlases] == ["TissueNuclei"]
    grid = load_template_grid(EMBEDDED_TEMPLATE, (halves,))
    assert [a.name for a in grid.atlases] == ["Halves", "TissueNuclei"]
    assert grid.atlas is grid.atlases[0]
    assert all(a.volume.data.shape == grid.template.brain.data.shape for a in grid.atlases)
    assert TemplateGrid(grid.space, grid.template, None).atlases == ()
    with pytest.raises(UsageError, match="two atlases are called TissueNuclei"):
        load_atlases(EMBEDDED_TEMPLATE, (halves.replace("Halves", "TissueNuclei"),))


def test_a_scan_gets_a_table_an_atlas(tmp_path: Path, halves: str) -> None:
    grid = load_template_grid(EMBEDDED_TEMPLATE, (halves,))
    data = np.random.default_rng(0).random(grid.template.brain.data.shape, np.float32)
    warped = Volume(data, grid.template.brain.affine)
    found = Explanation(warped, "all", float(data.sum()), 0.5)
    products = model_stage._relevance(
        tmp_path,
        Origin({"sub": "01"}, ()),
        CARD,
        Request("lrp-zplus", "lrp-zplus"),
        found,
        warped,
        grid,
    )
    tables = [p for p in products if p.suffix == "regions"]
    assert [p.entities["atlas"] for p in tables] == ["Halves", "TissueNuclei"]
    assert {p.entities["space"] for p in tables} == {EMBEDDED_TEMPLATE}
    read = [(tmp_path / p.file).read_text().splitlines() for p in tables]
    assert [len(lines) for lines in read] == [1 + 2, 1 + 12]
    left = dict(zip(read[0][0].split("\t"), read[0][1].split("\t"), strict=True))
    inside = grid.atlases[0].volume.data == 5
    assert left["name"] == "Left half"
    assert float(left["sum"]) == pytest.approx(data[inside].sum(dtype=np.float64), rel=1e-5)
