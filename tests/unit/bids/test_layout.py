"""The raw dataset: description, index, participants."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bids_xai.bids.layout import check_dataset, select_participants
from bids_xai.errors import InvalidBidsError, NoInputError, NothingMatchedError


def test_participants_are_chosen_with_or_without_prefix(raw: Any) -> None:
    for name in ("10", "02", "01"):
        raw.image(f"sub-{name}/anat/sub-{name}_T1w.nii.gz")
    assert select_participants(raw.root, ()) == ["01", "02", "10"]
    assert select_participants(raw.root, ("sub-10", "02", "10")) == ["02", "10"]
    with pytest.raises(NothingMatchedError, match=r"no such participant: 1, 99.*01, 02, 10") as e:
        select_participants(raw.root, ("01", "99", "sub-1"))
    assert e.value.status == 18


def test_a_dataset_without_participants_is_refused(raw: Any) -> None:
    with pytest.raises(NothingMatchedError, match=r"no sub-\* folder"):
        select_participants(raw.root, ())


def test_the_description_of_the_dataset_is_checked(raw: Any, tmp_path: Path) -> None:
    assert check_dataset(raw.root)["Name"] == "tiny"
    path = raw.root / "dataset_description.json"
    for content, text in (
        ('{"Name": "x"}', "BIDSVersion is missing"),
        ("[1]", "not an object"),
        ("{", "cannot read the JSON"),
        ("\ufeff", "cannot read the JSON"),
    ):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(InvalidBidsError, match=f"{text}.*dataset_description.json") as caught:
            check_dataset(raw.root)
        assert caught.value.status == 16
    path.unlink()
    with pytest.raises(InvalidBidsError, match=r"not a BIDS dataset.*BIDSVersion"):
        check_dataset(raw.root)
    with pytest.raises(NoInputError, match="no such BIDS folder") as missing:
        check_dataset(tmp_path / "gone")
    assert missing.value.status == 66


def test_a_folder_inside_a_dataset_is_told_from_one_without_description(raw: Any) -> None:
    raw.session("01")
    with pytest.raises(InvalidBidsError, match="give the folder of the whole dataset") as caught:
        check_dataset(raw.root / "sub-01")
    assert str(raw.root) in str(caught.value)


def test_a_description_with_a_byte_order_mark_is_read(raw: Any) -> None:
    path = raw.root / "dataset_description.json"
    path.write_text("\ufeff" + json.dumps({"BIDSVersion": "1.10.0"}), encoding="utf-8")
    assert check_dataset(raw.root)["BIDSVersion"] == "1.10.0"
