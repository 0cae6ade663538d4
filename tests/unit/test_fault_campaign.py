"""The judge of ``make faults``: what it would overlook, nobody would see."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from fault_campaign import (
    SURVIVED,
    Campaign,
    Verdict,
    difference,
    flip,
    judged,
    kind_of,
    results,
    wrong,
)

TRACEBACK = "Traceback (most recent call last):\n  File x\nKeyError: 'map'"


@pytest.mark.parametrize(
    ("status", "err", "apart", "outcome"),
    [
        (0, "", "", "survived"),
        (0, "", "a.tsv", "wrong"),
        (0, TRACEBACK, "", "wrong"),
        (1, TRACEBACK, "", "wrong"),
        (65, "bids_xai: error: the image is damaged [/out/map.nii.gz].", "", "told"),
        (65, "bids_xai: error: something is damaged.", "", "wrong"),
        (1, "", "", "wrong"),
        (-9, "bids_xai: map.nii.gz", "", "wrong"),
    ],
)
def test_only_right_results_and_messages_that_name_the_file_pass(
    status: int, err: str, apart: str, outcome: str
) -> None:
    assert judged(status, err, apart, ["map.nii.gz"]).outcome == outcome


def test_a_single_flipped_bit_is_a_difference_and_leaves_size_and_time(tmp_path: Path) -> None:
    file = tmp_path / "group" / "cohort.tsv"
    file.parent.mkdir()
    file.write_bytes(b"participant_id\n01\n")
    before, stat = results(tmp_path), file.stat()
    flip(file, random.Random(0))
    after = results(tmp_path)
    assert difference(before, after) == "group/cohort.tsv"
    pairs = zip(before["group/cohort.tsv"], after["group/cohort.tsv"], strict=True)
    (bits,) = [a ^ b for a, b in pairs if a != b]
    assert bits.bit_count() == 1
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)


def test_durations_and_logs_do_not_count_but_leftovers_do(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "run.log").write_text("now")
    (tmp_path / "model.json").write_text('{"seconds": 1.5, "n": 2}')
    before = results(tmp_path)
    (tmp_path / "logs" / "run.log").write_text("then")
    (tmp_path / "model.json").write_text('{"seconds": 2.5, "n": 2}')
    assert difference(before, results(tmp_path)) == ""
    (tmp_path / ".tmp-1").touch()
    assert difference(before, results(tmp_path)) == ".tmp-1"
    (tmp_path / "model.json").write_text('{"seconds": 2.5, "n": 3}')
    assert "model.json" in difference(before, results(tmp_path))


def test_of_faults_tried_together_those_that_are_wrong_are_singled_out() -> None:
    tried: list[Sequence[str]] = []

    def attempt(names: Sequence[str]) -> Verdict:
        tried.append(names)
        return wrong("silent: x") if "e" in names else SURVIVED

    campaign = Campaign()
    assert list(campaign.run_together("flips", list("abcdefgh"), attempt)) == ["e"]
    assert {n: v.outcome for n, v in campaign.verdicts["flips"].items()} == {
        **dict.fromkeys("abcdfgh", "survived"),
        "e": "wrong",
    }
    assert ["b", "d", "f", "h"] in tried  # at once
    assert ["e"] in tried
    assert campaign.table().splitlines()[1].split() == ["flips", "8", "7", "0", "1"]


def test_files_of_one_kind_have_one_name() -> None:
    assert kind_of("sub-01/anat/sub-01_R2starmap.json") == kind_of(
        "sub-12/anat/sub-12_R2starmap.json"
    )
    assert kind_of("models/quick/A/split-0/model.json") == "models/quick/*/split-*/model.json"
