"""From the sidecars of a session's products to one table of quality figures, and back."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from bids_xai.bids.files import write_text
from bids_xai.bids.manifest import Product, save_manifest
from bids_xai.core.qc_limits import LIMITS
from bids_xai.errors import BadDataError
from bids_xai.tables.qc import (
    SESSION_QC,
    Measure,
    collect_qc,
    kind_of,
    measures_of,
    qc_file,
    qc_path,
    write_session_qc,
)

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
    files = []
    for name, content in products.items():
        (tmp_path / name).mkdir()
        files.append(save_manifest(tmp_path / name, content))
    return files


def test_every_figure_is_a_row_with_its_limits(manifests: list[Path]) -> None:
    rows = measures_of(manifests)
    assert [(row.image, row.metric, row.flagged) for row in rows] == [
        ("sub-01_ses-2_run-1_desc-brain_mask", "BrainVolumeMl", False),
        ("sub-01_ses-2_run-1_space-MNI_res-2_desc-preproc_T1w", "Correlation", True),
        ("sub-01_ses-2_run-1_space-MNI_res-2_desc-preproc_T1w", "MaskDice", True),
    ]
    assert (rows[2].low, rows[2].high) == (LIMITS["MaskDice"].low, None)


def test_the_table_lies_beside_the_images_of_the_session(
    manifests: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    table, sidecar = write_session_qc(manifests, out)
    assert table == out / "sub-01" / "ses-2" / "anat" / "sub-01_ses-2_qc.tsv"
    assert sidecar.is_file()
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert list(rows[0]) == [*("image", "metric", "value", "low", "high", "flagged", "meaning")]
    assert [row["value"] for row in rows] == ["1400", "n/a", "0.5"]


def test_without_figures_there_is_no_table(tmp_path: Path) -> None:
    manifest = save_manifest(tmp_path, [Product("x", T1W, "T1w", ".nii.gz", {})])
    assert write_session_qc([manifest], tmp_path / "out") == []
    assert not (tmp_path / "out").exists()


def measure(value: float | None, low: float | None = None, high: float | None = None) -> Measure:
    inside = (low is None or (value is not None and value >= low)) and (
        high is None or (value is not None and value <= high)
    )
    return Measure(
        image="sub-01_T1w",
        metric="MaskDice",
        value=value,
        low=low,
        high=high,
        flagged=value is None or not inside,
        meaning="overlap of masks",
    )


@pytest.mark.parametrize(
    ("figure", "limits", "verdict"),
    [
        (measure(0.71, 0.9), "≥ 0.9", "below 0.9"),
        (measure(0.95, 0.9), "≥ 0.9", "within"),
        (measure(200.0, high=150), "≤ 150", "above 150"),
        (measure(2300.0, 700, 2200), "700 to 2200", "above 2200"),
        (measure(500.0, 700, 2200), "700 to 2200", "below 700"),
        (measure(None, 0.9), "≥ 0.9", "undefined"),
        (measure(None), "–", "undefined"),
        (measure(3.0), "–", "no limit"),
    ],
)
def test_limits_and_verdict_in_words(figure: Measure, limits: str, verdict: str) -> None:
    assert (figure.limits, figure.verdict) == (limits, verdict)


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "sub-01_qc.tsv"
    image = "sub-01_space-MNI152NLin2009aSym_res-2_desc-preproc_T1w"
    rows = [
        Measure.of(image, "MaskDice", 0.71),
        Measure.of(image, "BrainMedian", float("nan")),
        Measure.of(image, "BrainVolumeMl", None),
    ]
    SESSION_QC.write(path, rows)
    assert SESSION_QC.read(path) == rows
    first, second, third = rows
    assert first == Measure(
        image=image,
        metric="MaskDice",
        value=0.71,
        low=0.9,
        high=None,
        flagged=True,
        meaning=LIMITS["MaskDice"].meaning,
    )
    assert second.value is None
    assert second.flagged
    assert (third.low, third.high, third.flagged) == (700, 2200, True)


@pytest.mark.parametrize(
    "text",
    [
        "image\tmetric\na\tb\n",
        "image\tmetric\tvalue\tlow\thigh\tflagged\tmeaning\na\tb\tx\tn/a\tn/a\ttrue\tm\n",
        "image\tmetric\tvalue\tlow\thigh\tflagged\tmeaning\na\tb\t1\tn/a\tn/a\tmaybe\tm\n",
        "image\tmetric\tvalue\tlow\thigh\tflagged\tmeaning\na\tb\t1\n",
    ],
)
def test_a_damaged_table_is_named(tmp_path: Path, text: str) -> None:
    path = write_text(tmp_path / "sub-01_qc.tsv", text)
    with pytest.raises(BadDataError, match=r"table.*sub-01_qc\.tsv.*participant level"):
        SESSION_QC.read(path)


def test_tables_are_found_by_session(tmp_path: Path) -> None:
    for participant, session in (("02", ""), ("01", "2"), ("01", "1")):
        name = f"sub-{participant}_ses-{session}" if session else f"sub-{participant}"
        path = tmp_path / qc_path(participant, session)
        SESSION_QC.write(path, [Measure.of(f"{name}_run-1_T1w", "BrainMedian", 3.0)])
        assert qc_file(path.parent) == path
    sessions = collect_qc(tmp_path)
    assert [session.name for session in sessions] == ["sub-01_ses-1", "sub-01_ses-2", "sub-02"]
    assert [session.session for session in sessions] == ["ses-1", "ses-2", ""]
    assert all(list(s.measures) == [("BrainMedian", "run-1_T1w")] for s in sessions)
    assert qc_file(tmp_path) is None


def test_the_kind_of_an_image_names_nobody() -> None:
    assert kind_of("sub-01_ses-2_acq-hr_space-T1w_R2starmap") == "acq-hr_space-T1w_R2starmap"
