"""Does the app find what was put into the data? A strong, known effect in the deep grey matter."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from conftest import EMBEDDED, Run, command, simulate

pytestmark = pytest.mark.slow

EFFECT_PERCENT = 100  # R2* of the patients' nuclei: strong, so that a small cohort is enough
NUCLEI = 6
PLAIN_EPOCHS = 12  # guidance_after of the preset
SPLIT = "0"


@pytest.fixture(scope="module")
def strong(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("strong")
    raw, out = folder / "raw", folder / "out"
    made = simulate(
        raw,
        "--n-participants",
        60,
        "--voxel-mm",
        3,
        "--sessions",
        1,
        "--seed",
        3,
        "--effect",
        EFFECT_PERCENT,
    )
    assert made.status == 0, made.err
    done = command(
        raw, out, "participant", "--output-spaces", f"{EMBEDDED}:res-3", "--nprocs", 2, "--sloppy"
    )
    assert done.status == 0, done.err
    group = (raw, out, "group", "--study", "quick", "--nprocs", 2, "--omp-nthreads", 1)
    for steps in (
        ("--steps", "cohort", "train", "--configuration", "C", "--split", SPLIT),
        ("--steps", "explain", "atlas"),
    ):
        done = command(*group, *steps)
        assert done.status == 0, done.err
    return Run(raw, out, done)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_patients_are_told_from_controls(strong: Run) -> None:
    summary = {
        (row["configuration"], row["metric"]): float(row["mean"])
        for row in rows(strong.out / "group" / "quick" / "performance_summary.tsv")
    }
    assert summary["C", "balanced_accuracy"] >= 0.80


def test_guidance_moves_relevance_into_the_brain(strong: Run) -> None:
    """The share inside the mask of test scans, against that of the same run before guidance."""
    scans = rows(strong.out / "group" / "quick" / "predictions.tsv")
    log = rows(strong.out / "models" / "quick" / "C" / f"split-{SPLIT}" / "training.tsv")
    before = float(log[PLAIN_EPOCHS - 1]["inner_mask_share"])
    shares = [float(row["inner_mask_share"]) for row in scans]
    assert sum(shares) / len(shares) > before + 0.2


def test_relevance_of_the_guided_model_lies_in_the_nuclei(strong: Run) -> None:
    """Density inside caudate, putamen and pallidum at least twice that of the rest of the brain."""
    inside = outside = n_inside = n_outside = 0.0
    for row in rows(strong.out / "group" / "quick" / "atlas" / "regions.tsv"):
        if row["configuration"] != "C":
            continue
        if int(row["index"]) <= NUCLEI:
            inside, n_inside = inside + float(row["sum"]), n_inside + float(row["n_voxels"])
        else:
            outside, n_outside = outside + float(row["sum"]), n_outside + float(row["n_voxels"])
    assert (inside / n_inside) / (outside / n_outside) >= 2
