"""Does the app find what was put into the data? A strong, known effect in the deep grey matter."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from conftest import EMBEDDED, Finished, Run, command, simulate

from bids_xai.core.cohort.splits import random_splits
from bids_xai.group.cohort.assignment import SETS
from bids_xai.studies.schema import load_study

pytestmark = pytest.mark.slow

EFFECT_PERCENT = 100  # R2* of the patients' nuclei: strong, so that a small cohort is enough
NUCLEI = 6
PLAIN_EPOCHS = 12  # guidance_after of the preset
SPLIT = "0"
LEFT_OUT = ("sub-14",)  # a brain of more than 2200 ml


@pytest.fixture(scope="module")
def strong(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Raw data to heatmaps of the test set.

    Networks see maps on the T1w grid, which no template has moved. Only who is tested is looked at
    in the template, so only they are deformed to it; the others get an affine transform, with
    which nobody fails the quality check.
    """
    folder = tmp_path_factory.mktemp("strong")
    raw, out = folder / "raw", folder / "out"
    cohort = ("--n-participants", 60, "--voxel-mm", 3, "--sessions", 1, "--seed", 3)
    done = simulate(raw, *cohort, "--effect", EFFECT_PERCENT)
    assert done.status == 0, done.err

    def level(*options: object) -> None:
        space = ("--output-spaces", f"{EMBEDDED}:res-3", "--sloppy", "--nprocs", 2)
        done = command(raw, out, "participant", *space, *options)
        assert done.status == 0, done.err

    def group(*options: object) -> Finished:
        study = ("--study", "quick", "--nprocs", 2, "--omp-nthreads", 1)
        done = command(raw, out, "group", *study, *options)
        assert done.status == 0, done.err
        return done

    expected = expected_test_set(raw)
    level("--participant-label", *sorted(expected))
    others = sorted(everybody(raw) - expected)
    level("--participant-label", *others, "--registration", "linear")
    group("--steps", "cohort")
    if unexpected := tested(out) - expected:
        level("--participant-label", *sorted(unexpected))
    group("--steps", "train", "--configuration", "C", "--split", SPLIT)
    return Run(raw, out, group("--steps", "explain", "atlas"))


def everybody(raw: Path) -> set[str]:
    return {row["participant_id"] for row in rows(raw / "participants.tsv")}


def tested(out: Path) -> set[str]:
    members = rows(out / "group" / "quick" / "splits.tsv")
    return {m["participant_id"] for m in members if (m["split"], m["set"]) == (SPLIT, "test")}


def expected_test_set(raw: Path) -> set[str]:
    """Who will be tested, if the quality check leaves out whom it did so far."""
    people = {row["participant_id"]: row["diagnosis"] for row in rows(raw / "participants.tsv")}
    people = {name: people[name] for name in people if name not in LEFT_OUT}
    splits = load_study("quick").splits
    shares = dict(zip(SETS, splits.fractions, strict=True))
    split = random_splits([*people], [*people.values()], shares, splits.repeats)[int(SPLIT)]
    return {name for name in split if split[name] == "test"}


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
