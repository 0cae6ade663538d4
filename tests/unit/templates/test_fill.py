"""What containers are filled with: what a run needs, checked; or a clear error."""

from __future__ import annotations

from pathlib import Path

import pytest
from flow_homes import UseHome, put_template

from bids_xai.templates.__main__ import main


def test_brain_head_mask_and_atlas_are_named(
    tmp_path: Path, use_home: UseHome, capsys: pytest.CaptureFixture[str]
) -> None:
    put_template(tmp_path)
    put_template(tmp_path, "tpl-Brain_res-01", head=False)
    use_home(tmp_path)
    assert main(["Toy:res-2", "Brain:res-1", "MNI152NLin2009aSym:res-4"]) == 0
    toy, brain, embedded = capsys.readouterr().out.splitlines()
    assert toy == "Toy:res-2: brain and mask (20, 24, 18), head"
    assert brain == "Brain:res-1: brain and mask (20, 24, 18)"
    assert "atlas TissueNuclei (" in embedded


def test_what_cannot_be_had_is_named_with_the_status_of_the_app(
    tmp_path: Path, use_home: UseHome, capsys: pytest.CaptureFixture[str]
) -> None:
    put_template(tmp_path)
    use_home(tmp_path, names=False)
    assert main(["Toy:res-2", "Toy:res-9"]) == 66
    told = capsys.readouterr()
    assert told.out.startswith("Toy:res-2")
    assert "no brain mask of Toy:res-9 (it has res-2)" in told.err


def test_what_a_folder_of_a_few_files_lacks_is_asked_for(
    tmp_path: Path, use_home: UseHome, capsys: pytest.CaptureFixture[str]
) -> None:
    """A T1w image alone was put there: its mask is to be downloaded, not taken for nonexistent."""
    own = tmp_path / "tpl-MNI152NLin6Asym" / "tpl-MNI152NLin6Asym_res-02_T1w.nii.gz"
    own.parent.mkdir()
    own.write_bytes(b"mine")
    use_home(tmp_path)
    assert main(["MNI152NLin6Asym:res-2"]) == 66
    assert "cannot deliver tpl-MNI152NLin6Asym_res-02_desc-brain" in capsys.readouterr().err
    assert own.read_bytes() == b"mine"


def test_nothing_asked_nothing_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out == ""
