"""The scans and splits of a study, as the step cohort left them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bids_xai.errors import BadDataError, NoInputError
from bids_xai.group.cohort import step as cohort
from bids_xai.group.context import GroupContext
from bids_xai.group.scans import Scan, known_scan, load_scans, load_splits
from bids_xai.tables.cohort import COHORT, SPLITS, CohortScan, SplitMember


def people(*rows: tuple[str, str]) -> str:
    return "participant_id\tage\tdiagnosis\n" + "".join(
        f"{name}\t{60 + i}\t{value}\n" for i, (name, value) in enumerate(rows)
    )


def everybody(derivatives: Any, n: int = 4) -> tuple[tuple[str, str], ...]:
    """n controls and n patients with one scan each."""
    names = [(f"sub-{c}{i:02d}", c) for c in ("NC", "AD") for i in range(n)]
    for name, _ in names:
        derivatives.scan(name.removeprefix("sub-"))
    return tuple(names)


def test_scans_point_to_their_files(derivatives: Any) -> None:
    good = everybody(derivatives)
    derivatives.scan("AD00", "2", "1")
    derivatives.scan("AD00", "2", "2")
    derivatives.people(people(*good))
    context = derivatives.context()
    cohort.run(context)
    scans = {scan.name: scan for scan in context.scans()}
    assert len(scans) == 10
    scan = scans["sub-AD00_ses-2_run-2"]
    folder = derivatives.out / "sub-AD00/ses-2/anat"
    assert scan.map_file == folder / "sub-AD00_ses-2_run-2_space-T1w_R2starmap.nii.gz"
    assert scan.mask_file == folder / "sub-AD00_ses-2_desc-brain_mask.nii.gz"
    assert scan.to_template.name == (
        "sub-AD00_ses-2_from-T1w_to-MNI152NLin2009aSym_mode-image_xfm.h5"
    )
    assert (scan.participant, scan.session, scan.class_name) == ("AD00", "2", "AD")
    assert (scan.participant_id, scan.session_id) == ("sub-AD00", "ses-2")
    assert (scans["sub-NC00"].participant_id, scans["sub-NC00"].session_id) == ("sub-NC00", None)
    assert all(s.map_file.is_file() and s.mask_file.is_file() for s in scans.values())


def test_a_table_of_an_earlier_step_is_asked_for(derivatives: Any) -> None:
    for read in (GroupContext.scans, GroupContext.splits):
        with pytest.raises(NoInputError, match="--steps cohort first"):
            read(derivatives.context())


def test_an_included_scan_without_a_mask_is_refused(tmp_path: Path) -> None:
    row = CohortScan(
        participant_id="sub-1",
        session_id=None,
        class_name="AD",
        included=True,
        reason=None,
        map_file=Path("sub-1/anat/sub-1_space-T1w_R2starmap.nii.gz"),
        mask_file=None,
        to_template=None,
    )
    COHORT.write(tmp_path / "cohort.tsv", [row])
    with pytest.raises(BadDataError, match=r"sub-1 is included without.*--steps cohort again"):
        load_scans(tmp_path, tmp_path)


def test_splits_come_in_their_order_with_everybody_in_a_set(tmp_path: Path) -> None:
    rows = [
        SplitMember(participant_id=f"sub-{label}", split=split, set_name=name)
        for split in (10, 2)
        for label, name in (("1", "train"), ("2", "test" if split == 2 else "validation"))
    ]
    SPLITS.write(tmp_path / "splits.tsv", rows)
    assert load_splits(tmp_path) == [{"1": "train", "2": "test"}, {"1": "train", "2": "validation"}]


def test_the_scan_of_a_heatmap_must_be_in_the_cohort(tmp_path: Path) -> None:
    scan = Scan("sub-1_ses-2", "1", "2", "AD", Path("map"), Path("mask"), None)
    scans = {scan.name: scan}
    assert known_scan(tmp_path, scans, "sub-1_ses-2") is scan
    with pytest.raises(BadDataError, match=r"sub-2 is no longer in the cohort.*predictions\.tsv"):
        known_scan(tmp_path, scans, "sub-2")
