"""One scan under two participants never gets into a study."""

from __future__ import annotations

import json
import os
import shutil
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from small_maps import write_map

from bids_xai.bids import integrity
from bids_xai.errors import BadDataError
from bids_xai.group.cohort import doubles
from bids_xai.group.cohort import step as cohort
from bids_xai.group.cohort.doubles import CACHE
from bids_xai.reports.study_files import StudyFiles

LABELS = [f"{kind}{i}" for kind in ("NC", "AD") for i in range(6)]


@pytest.fixture
def everybody(derivatives: Any) -> Any:
    rows = "".join(f"sub-{label}\t{label[:2]}\n" for label in LABELS)
    derivatives.people("participant_id\tdiagnosis\n" + rows)
    for label in LABELS:
        derivatives.scan(label)
    return derivatives


def map_of(derivatives: Any, label: str) -> Any:
    return derivatives.out / f"sub-{label}/anat/sub-{label}_space-T1w_R2starmap.nii.gz"


@pytest.mark.parametrize("how", ["copy", "other header"])
def test_the_same_voxels_under_two_participants_are_refused_with_both_names(
    everybody: Any, how: str
) -> None:
    source, target = map_of(everybody, "NC2"), map_of(everybody, "AD4")
    if how == "copy":
        shutil.copy2(source, target)
    else:
        image = nib.load(source)
        nib.save(nib.Nifti1Image(image.get_fdata(), np.diag([2.0, 2, 2, 1])), target)
    context = everybody.context()
    with pytest.raises(BadDataError, match="one scan has two participants") as caught:
        cohort.run(context)
    assert "sub-AD4 and sub-NC2" in str(caught.value)
    assert not (context.folder / "cohort.tsv").exists()


def test_who_is_left_out_does_no_harm(everybody: Any) -> None:
    shutil.copy2(map_of(everybody, "NC2"), map_of(everybody, "AD4"))
    rows = "".join(f"sub-{label}\t{label[:2]}\n" for label in LABELS if label != "AD4")
    everybody.people("participant_id\tdiagnosis\n" + rows)
    assert cohort.run(everybody.context())


def test_scans_that_are_alike_are_told_in_the_log_and_on_the_page(
    everybody: Any, caplog: pytest.LogCaptureFixture
) -> None:
    voxels = np.asarray(nib.load(map_of(everybody, "NC2")).dataobj)
    write_map(map_of(everybody, "AD4"), voxels + np.random.default_rng(0).normal(size=(4, 4, 4)))
    context = everybody.context()
    cohort.run(context)
    (pair,) = json.loads((context.folder / "study.json").read_text())["near_copies"]
    assert (pair["first"], pair["second"]) == ("sub-AD4", "sub-NC2")
    assert pair["correlation"] > 0.9
    assert "sub-AD4 and sub-NC2 are more alike than scans of two people" in caplog.text
    (known,) = StudyFiles.at(context.output_dir, "quick").description.near_copies
    assert (known.first, known.correlation) == ("sub-AD4", pair["correlation"])


def test_maps_are_read_once_and_again_when_they_change(
    everybody: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    make = doubles._print_of
    monkeypatch.setattr(
        doubles, "_print_of", lambda scan: (read.append(scan.participant), make(scan))[1]
    )
    context = everybody.context()
    cohort.run(context)
    assert len(read) == len(LABELS)
    cache = (context.folder / CACHE).read_bytes()
    cohort.run(context)
    assert len(read) == len(LABELS)
    write_map(map_of(everybody, "AD1"), np.arange(64).reshape(4, 4, 4))
    cohort.run(context)
    assert read[len(LABELS) :] == ["sub-AD1"]
    assert (context.folder / CACHE).read_bytes() != cache
    (context.folder / CACHE).write_bytes(b"x")
    os.utime(context.folder / CACHE)
    cohort.run(context)
    assert len(read) == 2 * len(LABELS) + 1


def test_a_flipped_bit_in_the_cache_makes_it_anew(everybody: Any) -> None:
    context = everybody.context()
    cohort.run(context)
    file = context.folder / CACHE
    whole = file.read_bytes()
    for place in range(len(whole) // 4, len(whole), len(whole) // 4):
        damaged = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        file.write_bytes(damaged)
        cohort.run(context)
        assert file.read_bytes() in (whole, damaged)  # not every byte of a zip file counts
    file.write_bytes(whole[: len(whole) // 2])
    cohort.run(context)
    assert file.read_bytes() == whole


def test_files_without_a_stamp_are_not_hashed_again(
    everybody: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Maps of other derivatives: gigabytes that a run with nothing to do would read."""
    context = everybody.context()
    cohort.run(context)
    monkeypatch.setattr(integrity, "sha256_of", lambda file: pytest.fail(f"{file} is read"))
    cohort.run(context)
