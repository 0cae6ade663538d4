"""Models and predictions of another cohort than that of now."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cards import model_card

from bids_xai.bids.files import write_text
from bids_xai.bids.stamps import write_stamp
from bids_xai.core.cohort.splits import split_hash
from bids_xai.errors import BadDataError
from bids_xai.group.lineage import (
    MODEL_KEY,
    check_heatmaps,
    check_model,
    check_predictions,
    check_stamp,
)
from bids_xai.group.outcomes import prediction
from bids_xai.group.scans import Scan
from bids_xai.models.card import CARD, WEIGHTS
from bids_xai.runtime.digests import sha256_of
from bids_xai.studies.tables import Target

MEMBERS = {"a": "train", "b": "validation", "c": "test", "d": "test"}
TARGET = Target(column="diagnosis", negative="NC", positive="AD")


def _scan(label: str, class_name: str = "AD") -> Scan:
    file = Path(f"sub-{label}_R2starmap.nii.gz")
    return Scan(f"sub-{label}", label, "", class_name, file, file, None)


def _card(folder: Path, **changes: object) -> Path:
    own = {"split_hash": split_hash(MEMBERS), "training_participants": ("a", "b"), **changes}
    return write_text(folder / CARD, model_card(**own).to_json())


def test_a_model_of_this_split_is_taken(tmp_path: Path) -> None:
    _card(tmp_path)
    check_model(tmp_path, MEMBERS, [_scan("c"), _scan("d")], TARGET)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"training_participants": ("a", "c", "d")}, "sub-c and 1 more would be tested by a model"),
        (
            {"classes": ("NC", "MS"), "positive": "MS"},
            "trained on the classes NC, MS .* the study has NC, AD",
        ),
        ({"positive": "NC"}, r"\(positive: NC\), the study has NC, AD \(positive: AD\)"),
        ({"split_hash": "0"}, "another split of the cohort"),
    ],
)
def test_a_model_of_others_is_refused_with_the_way_out(
    changes: dict[str, object], problem: str, tmp_path: Path
) -> None:
    file = _card(tmp_path, **changes)
    with pytest.raises(BadDataError, match=problem) as caught:
        check_model(tmp_path, MEMBERS, [_scan("c"), _scan("d")], TARGET)
    assert caught.value.file == str(file)
    assert "--steps train" in str(caught.value.fix)


def test_a_stamp_of_something_else_is_refused_and_none_is_not(tmp_path: Path) -> None:
    stamp = tmp_path / "stamp.json"
    check_stamp("training A, split 0", stamp, "1")
    write_stamp(stamp, "1", tmp_path, [])
    check_stamp("training A, split 0", stamp, "1")
    with pytest.raises(BadDataError, match=r"training A, split 0: .* have changed since"):
        check_stamp("training A, split 0", stamp, "2")


def test_predictions_are_of_the_test_sets_and_classes_of_now(tmp_path: Path) -> None:
    probabilities = np.array([0.2, 0.8])
    rows = [prediction(TARGET, "A", 0, _scan(label), probabilities) for label in "cd"]
    scans = [_scan(label) for label in "abcd"]
    check_predictions(rows, [MEMBERS], scans, tmp_path)
    check_predictions(rows, [MEMBERS], scans[:3], tmp_path)  # a lost scan is told elsewhere
    for splits, problem in (
        ([{**MEMBERS, "d": "train"}], "sub-d is among .* split 0, but is in its train set"),
        ([{k: v for k, v in MEMBERS.items() if k != "d"}], "but is not in it now"),
        ([], "sub-c is among the predictions of split 0, but is not in it now"),
    ):
        with pytest.raises(BadDataError, match=problem) as caught:
            check_predictions(rows, splits, scans, tmp_path)
        assert "explain" in str(caught.value.fix)
    with pytest.raises(BadDataError, match="class of sub-d is NC now, and was AD"):
        check_predictions(rows, [MEMBERS], [*scans[:3], _scan("d", "NC")], tmp_path)


def test_heatmaps_of_another_model_are_refused(tmp_path: Path) -> None:
    model, stamp = tmp_path / "model", tmp_path / "relevance" / "stamp.json"
    model.mkdir()
    (model / WEIGHTS).write_bytes(b"first")
    write_stamp(stamp, "1", tmp_path, [], **{MODEL_KEY: sha256_of(model / WEIGHTS)})
    check_heatmaps("A, split 0", stamp, model)
    (model / WEIGHTS).write_bytes(b"trained again")
    with pytest.raises(BadDataError, match="heatmaps of A, split 0 were made by another") as caught:
        check_heatmaps("A, split 0", stamp, model)
    assert "--steps explain" in str(caught.value.fix)
    check_heatmaps("A, split 0", stamp.with_name("none.json"), model)
    (model / WEIGHTS).unlink()  # heatmaps may be kept without their models
    check_heatmaps("A, split 0", stamp, model)
