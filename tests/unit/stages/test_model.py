"""A table of regions for every atlas of the command line, and anew where an atlas changes."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from atlas_halves import CARD, user_atlas
from cards import model_card

from bids_xai.attribution.request import Request
from bids_xai.bids.images import Volume
from bids_xai.errors import BadDataError, UsageError
from bids_xai.models import build
from bids_xai.models.card import save_model
from bids_xai.models.training_scans import ScanFacts, summary_of
from bids_xai.settings import EMBEDDED_TEMPLATE
from bids_xai.stages import model as model_stage
from bids_xai.stages.explain import Explanation, open_scan
from bids_xai.stages.network_grid import InputRule
from bids_xai.stages.products import Origin
from bids_xai.tables.participant import CLASS_PROBABILITIES
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


@pytest.mark.parametrize(
    ("factor", "n_remarks", "is_said"), [(1.0, 0, True), (2.0, 1, True), (10.0, 1, False)]
)
def test_a_scan_unlike_the_training_is_warned_of_or_gets_no_prediction(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, factor: float, n_remarks: int, is_said: bool
) -> None:
    """Echo times in the wrong unit, as milliseconds that were divided twice, give such maps."""
    shape = (16, 16, 16)
    data = np.random.default_rng(0).uniform(10, 40, shape).astype(np.float32)
    files = tmp_path / "sub-01_space-T1w_R2starmap.nii.gz", tmp_path / "sub-01_mask.nii.gz"
    for file, values in zip(files, (factor * data, np.ones(shape, np.float32)), strict=True):
        nib.save(nib.Nifti1Image(values, np.eye(4)), file)
    low, middle, high = np.quantile(data, [0.05, 0.5, 0.95])
    scan = ScanFacts(voxel_mm=(1, 1, 1), quantiles=(float(low), float(middle), float(high)))
    card = model_card(input_shape=shape, training_scans=summary_of([scan]), weights_sha256="")
    save_model(tmp_path / "model", build("graz", shape), card)
    folder = tmp_path / "out"
    folder.mkdir()
    products = model_stage.model_products(
        folder,
        Origin({"sub": "01"}, ("bids::x",)),
        *files,
        to_template=None,
        model_path=tmp_path / "model",
        template=EMBEDDED_TEMPLATE,
        methods=("input-x-gradient",),
        target=None,
        device="cpu",
    )
    rows = CLASS_PROBABILITIES.read(folder / "prediction.tsv")
    assert [row.probability is not None for row in rows] == [is_said] * 2
    assert any(row.predicted for row in rows) == is_said
    text = products.manifest.read_text()
    assert text.count("of the map in the brain is") == n_remarks
    assert ('"UnlikeTraining": true' in text) == (not is_said)
    assert caplog.text.count("in the training scans it is") == n_remarks


def test_probabilities_that_are_no_numbers_are_an_error(tmp_path: Path) -> None:
    model = build("graz", (16, 16, 16))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(3e38)
    files = tmp_path / "map.nii.gz", tmp_path / "mask.nii.gz"
    for file in files:
        nib.save(nib.Nifti1Image(np.ones((16, 16, 16), np.float32), np.eye(4)), file)
    card = model_card(input_shape=(16, 16, 16))
    with pytest.raises(BadDataError, match=r"no finite probabilities.*map\.nii\.gz"):
        open_scan(model, card, InputRule((16, 16, 16)), *files, "cpu")
