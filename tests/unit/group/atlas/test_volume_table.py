"""The user's own table of volumes: whose lines, which columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from atlas_cases import prediction

from bids_xai.bids.images import Volume
from bids_xai.errors import BadDataError, NoInputError
from bids_xai.group.atlas.volume_table import matched_columns, user_volumes
from bids_xai.templates.lookup import Atlas

LABELS = ((1, "Left-Thalamus"), (2, "Right-Thalamus"), (3, "Left-Insula"), (4, "Right-Insula"))
ATLAS = Atlas("Z", Volume(np.zeros((2, 2, 2), np.int32), np.eye(4)), LABELS)


def table(folder: Path, text: str) -> Path:
    path = folder / "volumes.tsv"
    path.write_text(text.replace(" ", "\t"))
    return path


def test_columns_are_matched_whatever_their_case_and_separators() -> None:
    header = ["participant_id", "THALAMUS", "left_thalamus", "Insula", "age"]
    assert matched_columns(header, LABELS) == {"left_thalamus": [0], "Insula": [2, 3]}
    assert matched_columns(["thalamus"], LABELS) == {"thalamus": [0, 1]}
    assert matched_columns(["age"], LABELS) == {}


def test_a_joined_column_goes_to_the_first_side_so_that_the_sum_is_right(tmp_path: Path) -> None:
    path = table(tmp_path, "participant_id insula left_thalamus\n01 3.5 n/a\nsub-02 4 2\n")
    rows = [prediction(participant_id=f"sub-{name}") for name in ("02", "01", "03")]
    np.testing.assert_array_equal(
        user_volumes(path, rows, ATLAS), [[2, np.nan, 4, 0], [np.nan, np.nan, 3.5, 0], [np.nan] * 4]
    )


def test_the_line_of_the_session_goes_before_that_of_the_participant(tmp_path: Path) -> None:
    text = "participant_id session_id insula\n01 n/a 1\n01 ses-2 2\n01 3 3\n"
    rows = [prediction(session_id=session) for session in (None, "ses-2", "ses-3", "ses-4")]
    volumes = user_volumes(table(tmp_path, text), rows, ATLAS)
    assert volumes[:, 2].tolist() == [1, 2, 3, 1]


def test_a_table_without_a_region_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    volumes = user_volumes(table(tmp_path, "participant_id age\n01 70\n"), [prediction()], ATLAS)
    assert np.isnan(volumes).all()
    assert "no column named like a region of atlas Z" in caplog.text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("person insula\n01 3\n", "no column 'participant_id'"),
        ("participant_id insula\n01 3\nsub-01 4\n", "sub-01 n/a is listed twice, in lines 2 and 3"),
        ("participant_id left_insula Left-Insula\n01 3 4\n", "left_insula and Left-Insula"),
        ("participant_id insula\n02 3\n01 much\n", "'much' in line 3, column insula"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(BadDataError, match=problem):
        user_volumes(table(tmp_path, text), [prediction()], ATLAS)
    with pytest.raises(NoInputError, match="no such table"):
        user_volumes(tmp_path / "none.tsv", [prediction()], ATLAS)
