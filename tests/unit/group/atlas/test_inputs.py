"""Which files belong to a prediction, and what is read of them when."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from atlas_cases import AFFINE, SHAPE, atlases, prediction

from bids_xai.bids.files import write_nifti
from bids_xai.bids.images import Volume
from bids_xai.errors import BadDataError
from bids_xai.group.atlas.inputs import AtlasFiles, HeatmapFiles, PredictionFiles, ScanFiles, load
from bids_xai.settings import OutputSpace
from bids_xai.studies.tables import Target
from bids_xai.templates.grid import TemplateGrid
from bids_xai.templates.lookup import Template

TARGET = Target("diagnosis", "NC", "AD")


@pytest.fixture
def grid() -> TemplateGrid:
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:-2, 2:-2, 2:-2] = 1
    template = Template("T", Volume(mask * 1.0, AFFINE), Volume(mask, AFFINE))
    first, *others = atlases()
    return TemplateGrid(OutputSpace("T", 2), template, first, tuple(others))


@pytest.fixture
def files(tmp_path: Path) -> AtlasFiles:
    """Two scans: of the first everything is there, of the second a heatmap alone."""
    rng = np.random.default_rng(0)
    labels = atlases()[0].volume.data
    scan = ScanFiles(
        "sub-01",
        (write_nifti(tmp_path / "sub-01_space-T1w_atlas-X_dseg.nii.gz", labels, AFFINE),),
        write_nifti(tmp_path / "lesion.nii.gz", (labels > 320).astype(np.uint8), AFFINE),
    )
    rows = []
    for name, of_scan in (("sub-01", scan), ("sub-02", None)):
        data = rng.random(SHAPE).astype(np.float32)
        heatmap = write_nifti(tmp_path / f"{name}.nii.gz", data, AFFINE)
        row = prediction(participant_id=name, session_id="ses-1")
        rows.append(PredictionFiles(row, heatmap, heatmap, of_scan))
    sessions = tmp_path / "sub-01_sessions.tsv"
    sessions.write_text("session_id\tage\nses-1\t70\nses-2\t68\n")
    return AtlasFiles(tuple(rows), TARGET, None, {"sub-01": sessions}, 3)


def test_a_label_image_goes_by_the_whole_name_of_its_atlas() -> None:
    names = [Path(f"sub-01_space-T1w_atlas-{name}_dseg.nii.gz") for name in ("XY", "Y", "X")]
    scan = ScanFiles("sub-01", tuple(names))
    assert scan.label_image("X") == names[2]
    assert scan.label_image("Z") is None


def test_files_are_those_that_exist_each_once(files: AtlasFiles, tmp_path: Path) -> None:
    assert {file.name for file in files.files} == {
        "sub-01.nii.gz",
        "sub-02.nii.gz",
        "lesion.nii.gz",
        "sub-01_space-T1w_atlas-X_dseg.nii.gz",
        "sub-01_sessions.tsv",
    }
    assert len(files.files) == 5
    (tmp_path / "lesion.nii.gz").unlink()
    assert len(files.files) == 4


def test_scans_are_measured_and_what_they_lack_is_unknown(
    files: AtlasFiles, grid: TemplateGrid
) -> None:
    inputs = load(files, grid)
    assert [row.participant_id for row in inputs.predictions] == ["sub-01", "sub-02"]
    assert (inputs.seed, inputs.target) == (3, TARGET)
    assert inputs.brain.sum() == (grid.template.mask.data > 0).sum()
    assert list(inputs.biology.volumes) == ["X"]  # no scan has the other one
    labels = atlases()[0].volume.data
    volumes = inputs.biology.volumes["X"].ml
    assert volumes[0, 0] == pytest.approx((labels == 300).sum() * 8 / 1000)
    assert np.isnan(volumes[1]).all()
    load_ml = inputs.biology.lesions.load_ml
    assert load_ml[0] == pytest.approx((labels > 320).sum() * 8 / 1000)
    assert np.isnan(load_ml[1])


def test_sessions_follow_their_ages_and_where_there_are_none_their_labels(
    files: AtlasFiles, grid: TemplateGrid
) -> None:
    times_of = load(files, grid).times_of
    assert times_of("sub-01", ["ses-1", "ses-2"]).sessions == ("ses-2", "ses-1")
    assert times_of("sub-02", ["ses-2", "ses-1"]).sessions == ("ses-1", "ses-2")


def test_the_table_of_the_user_takes_the_place_of_the_warped_atlas(
    files: AtlasFiles, grid: TemplateGrid, tmp_path: Path
) -> None:
    table = tmp_path / "v.tsv"
    table.write_text("participant_id\tStem\n02\t5\n")
    own = AtlasFiles(files.predictions, TARGET, table, {}, 0)
    volumes = load(own, grid).biology.volumes
    assert list(volumes) == ["X"]
    assert (volumes["X"].source, volumes["X"].rows) == ("table", ())
    assert np.nansum(volumes["X"].ml) == 5


def test_without_an_atlas_nothing_is_measured(files: AtlasFiles, grid: TemplateGrid) -> None:
    bare = TemplateGrid(grid.space, grid.template, None)
    biology = load(files, bare).biology
    assert biology.volumes == {}
    assert np.isnan(biology.lesions.load_ml).all()


def test_heatmaps_are_read_as_they_are_taken_in(files: AtlasFiles, grid: TemplateGrid) -> None:
    heatmaps = iter(load(files, grid).heatmaps)
    second = files.predictions[1].warped_heatmap
    write_nifti(second, np.full(SHAPE, 7, np.float32), AFFINE)  # after loading
    assert next(heatmaps).name == str(files.predictions[0].warped_heatmap)
    assert (next(heatmaps).relevance == 7).all()


def test_a_heatmap_of_another_grid_is_refused(tmp_path: Path) -> None:
    file = write_nifti(tmp_path / "map.nii.gz", np.ones((3, 3, 3), np.float32), AFFINE)
    with pytest.raises(BadDataError, match="not on the template grid") as caught:
        next(iter(HeatmapFiles([file], SHAPE)))
    assert caught.value.file == str(file)
