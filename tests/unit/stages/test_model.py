"""A table of regions for every atlas of the command line, and anew where an atlas changes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bids_xai.attribution.request import Request
from bids_xai.bids.files import write_nifti
from bids_xai.bids.images import Volume
from bids_xai.bids.records import Session, SourceImage
from bids_xai.errors import UsageError
from bids_xai.models.card import ModelCard
from bids_xai.settings import EMBEDDED_TEMPLATE, OutputSpace, RunSettings
from bids_xai.stages import model as model_stage
from bids_xai.stages.explain import Explanation
from bids_xai.stages.products import Origin
from bids_xai.templates.grid import TemplateGrid, load_atlases, load_template_grid
from bids_xai.templates.lookup import Atlas
from bids_xai.workflows import participant
from bids_xai.workflows.participant import ReadyModel

CARD = ModelCard(
    architecture="graz",
    input_shape=(4, 5, 6),
    voxel_mm=None,
    suffix="R2starmap",
    space="T1w",
    scale=40.0,
    maximum=None,
    skull_strip=False,
    classes=("NC", "AD"),
    positive="AD",
    seed=0,
    study="s",
    configuration="A",
    split=0,
    split_hash="",
    training_participants=(),
    relevance_guided=False,
    metrics={},
    versions={},
)


def user_atlas(folder: Path, like: Atlas) -> Path:
    """Image and table of an atlas of two regions, left and right half of the embedded one."""
    image = folder / "halves_dseg.nii.gz"
    sides = np.where([name.startswith("Left") for _, name in like.labels], 5, 70000)
    data = np.zeros(like.volume.data.shape, np.int32)
    for (index, _), side in zip(like.labels, sides, strict=True):
        data[like.volume.data == index] = side
    write_nifti(image, data, like.volume.affine)
    (folder / "halves_dseg.tsv").write_text("index\tname\n5\tLeft half\n70000\tRight half\n")
    return image


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


def digest(out: Path, *atlas: str) -> str:
    settings = RunSettings(
        Path("/in"),
        out,
        "participant",
        atlas=atlas,
        output_spaces=(OutputSpace(EMBEDDED_TEMPLATE, 2),),
    )
    t1w = SourceImage(out / "x.nii.gz", "", {"sub": "01"})
    job = participant._explanation(
        Session("01", None, t1w), settings, ReadyModel(out / "m", CARD, "cpu")
    )
    assert job is not None
    return job.digest


def test_a_changed_atlas_is_summed_anew(
    tmp_path: Path, halves: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Nothing:
        files: tuple[Any, ...] = ()

    from bids_xai.workflows import explanation

    monkeypatch.setattr(explanation, "scan_files", lambda *_: [Nothing()])
    plain, mine = digest(tmp_path), digest(tmp_path, halves)
    assert plain != mine
    assert mine == digest(tmp_path, halves)
    image = Path(halves.partition("=")[2])
    for file in (image, image.with_name("halves_dseg.tsv")):
        stat = file.stat()
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 5_000_000_000))
        assert digest(tmp_path, halves) != mine
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
