"""Mean maps as files, and the tables with what is said beside them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from atlas_cases import AFFINE, SHAPE, predictions_of, view

from bids_xai.bids.images import Volume
from bids_xai.group.atlas.compute import AtlasTables
from bids_xai.group.atlas.gain import gain_rows, ranking_rows
from bids_xai.group.atlas.groups import Groups
from bids_xai.group.atlas.mean_maps import MeanMap, MeanMapKey
from bids_xai.group.atlas.output import MeanMapFolder, gain_note, write
from bids_xai.group.atlas.parts import Part
from bids_xai.group.atlas.region_values import scan_region_rows
from bids_xai.settings import OutputSpace
from bids_xai.studies.tables import Target
from bids_xai.tables.atlas import GAIN, RANKINGS, REGIONS
from bids_xai.templates.grid import TemplateGrid
from bids_xai.templates.lookup import Template

KEY = MeanMapKey("A", "lrp-zplus", "AD")


@pytest.fixture
def tables() -> AtlasTables:
    predictions, maps = predictions_of(["AD", "NC"]), view([[1.0, 2.0], [0.0, 4.0]])
    groups = Groups.of(predictions, Target("diagnosis", "NC", "AD"))
    part = Part("A", "m", 0, 2)
    return AtlasTables(
        regions=scan_region_rows(predictions, [maps]),
        trajectories=iter(()),
        gain=gain_rows(maps, part, groups),
        rankings=ranking_rows(maps, part, groups),
        overlap=[],
        fingerprints=[],
        volumes=[],
        biology=[],
    )


def test_a_mean_map_that_was_put_in_is_given_back(tmp_path: Path) -> None:
    brain = Volume(np.ones(SHAPE, np.float32), AFFINE)
    grid = TemplateGrid(OutputSpace("T", 2), Template("T", brain, brain), None)
    folder = MeanMapFolder(tmp_path / "means", grid, "lrp-zplus")
    data = np.random.default_rng(0).random(SHAPE).astype(np.float32)
    folder[KEY] = MeanMap(data, 5)
    other = KEY._replace(method="guided-backprop", group="a b")
    folder[other] = MeanMap(data + 1, 2)
    np.testing.assert_array_equal(folder[KEY].data, data)
    assert (folder[KEY].n_scans, folder[other].n_scans) == (5, 2)
    assert [file.name for file in folder.files] == [
        "configuration-A_group-AD_mean.nii.gz",
        "configuration-A_group-AD_mean.json",
        "configuration-A_group-ab_desc-guidedbackprop_mean.nii.gz",
        "configuration-A_group-ab_desc-guidedbackprop_mean.json",
    ]
    np.testing.assert_array_equal(nib.load(folder.files[0]).affine, AFFINE)
    assert json.loads(folder.files[3].read_text()) == {
        "Method": "guided-backprop",
        "Group": "a b",
        "Scans": 2,
        "Space": "T:res-2",
    }


def test_every_table_is_written_with_its_json(tables: AtlasTables, tmp_path: Path) -> None:
    names = (
        *("biology", "fingerprints", "gain", "overlap"),
        *("rankings", "regions", "trajectories", "volumes"),
    )
    files = write(tables, tmp_path)
    expected = {f"{name}.{ending}" for name in names for ending in ("tsv", "json")}
    assert {file.name for file in files} == {file.name for file in tmp_path.iterdir()} == expected
    assert RANKINGS.read(tmp_path / "rankings.tsv") == tables.rankings
    rows = REGIONS.read(tmp_path / "regions.tsv")
    assert [(row.index, row.sum) for row in rows] == [(300, 1), (301, 2), (300, 0), (301, 4)]
    gains = GAIN.read(tmp_path / "gain.tsv")
    assert gains[0].gain is None  # NaN in the program
    assert [row.mean_sum for row in gains] == [row.mean_sum for row in tables.gain]


def test_the_meaning_of_gain_has_the_number_of_lines_without(
    tables: AtlasTables, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tables, tmp_path)
    described = json.loads((tmp_path / "gain.json").read_text())
    assert described["gain"]["Description"].endswith("; n/a in 4 of 8 lines of this table")
    assert "no gain in 4 of 8 lines" in caplog.text
    caplog.clear()
    gains = [dataclasses.replace(row, gain=1.0) for row in tables.gain]
    assert gain_note(gains) == "; n/a in 0 of 8 lines of this table"
    assert caplog.text == ""
