"""From the sidecars of a session's products to one table of quality figures."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from bids_xai.bids.manifest import Product, save_manifest
from bids_xai.tables.session_quality import QUALITY, QUALITY_COLUMNS, quality_rows, write_quality

T1W = {"sub": "01", "ses": "2", "run": "1"}


@pytest.fixture
def manifests(tmp_path: Path) -> list[Path]:
    template = {**T1W, "space": "MNI", "res": "2", "desc": "preproc"}
    products = {
        "a": [
            Product(
                "m",
                {**T1W, "desc": "brain"},
                "mask",
                ".nii.gz",
                {"Quality": {"BrainVolumeMl": 1400.0}},
            ),
            Product("x", T1W, "T1w", ".nii.gz", {"SkullStripped": False}),
        ],
        "b": [
            Product(
                "t",
                template,
                "T1w",
                ".nii.gz",
                {"Quality": {"MaskDice": 0.5, "Correlation": float("nan")}},
            )
        ],
    }
    made = []
    for name, content in products.items():
        (tmp_path / name).mkdir()
        made.append(save_manifest(tmp_path / name, content))
    return made


def test_every_figure_is_a_row_with_its_limits(manifests: list[Path]) -> None:
    rows = quality_rows(manifests)
    assert [(row["image"], row["metric"], row["flagged"]) for row in rows] == [
        ("sub-01_ses-2_run-1_desc-brain_mask", "BrainVolumeMl", False),
        ("sub-01_ses-2_run-1_space-MNI_res-2_desc-preproc_T1w", "Correlation", True),
        ("sub-01_ses-2_run-1_space-MNI_res-2_desc-preproc_T1w", "MaskDice", True),
    ]
    assert (rows[2]["low"], rows[2]["high"]) == (QUALITY["MaskDice"].low, None)


def test_the_table_lies_beside_the_images_of_the_session(
    manifests: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    table, sidecar = write_quality(manifests, out)
    assert table == out / "sub-01" / "ses-2" / "anat" / "sub-01_ses-2_qc.tsv"
    assert sidecar.is_file()
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert list(rows[0]) == list(QUALITY_COLUMNS)
    assert [row["value"] for row in rows] == ["1400", "n/a", "0.5"]


def test_without_figures_there_is_no_table(tmp_path: Path) -> None:
    manifest = save_manifest(tmp_path, [Product("x", T1W, "T1w", ".nii.gz", {})])
    assert write_quality([manifest], tmp_path / "out") == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("metric", "value", "flagged"),
    [
        ("MaskDice", 0.9, False),
        ("MaskDice", 0.8999, True),
        ("BrainVolumeMl", 2300, True),
        ("UndefinedVoxels", 0, False),
        ("UndefinedVoxels", 1, True),
        ("MaskDice", float("nan"), True),
    ],
)
def test_limits_belong_to_the_good_side(metric: str, value: float, flagged: bool) -> None:
    assert QUALITY[metric].flags(value) is flagged
