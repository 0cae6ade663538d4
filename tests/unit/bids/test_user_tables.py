"""Tables of users: every cell is what its column says, or the table is refused with its line."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from bids_xai.bids.user_tables import read_user_table
from bids_xai.errors import BadDataError


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "participants.tsv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_blanks_around_names_and_cells_do_not_count_and_are_told(
    write, caplog: pytest.LogCaptureFixture
) -> None:
    """A class "AD " was another class than "AD", and its people were left out."""
    path = write("participant_id \tgroup\n sub-01\tAD \nsub-02\t\u00a0NC\nsub-03\tNC\u200b\n")
    with caplog.at_level(logging.WARNING):
        people = read_user_table(path, ("group",)).by_key("participant_id", "sub-")
        read_user_table(path, ("group",))
    assert {name: row["group"] for name, row in people.items()} == {
        "sub-01": "AD",
        "sub-02": "NC",
        "sub-03": "NC",
    }
    assert caplog.text.count("4 line(s)") == 1


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("participant_id\tgroup\tgroup\nsub-01\tAD\tNC\n", "several columns are named group"),
        ("participant_id\tgroup\tgroup \nsub-01\tAD\tNC\n", "several columns are named group"),
        ("participant_id\tgroup\t\t\nsub-01\tAD\t\t\n", r"named \(without a name\)"),
        ("participant_id\tgroup\nsub-01\t\tAD\n", "line 2 has 3 cells, but there are 2 columns"),
        ("participant_id\tgroup\nsub-01\tAD\n\tNC\n", "line 3 has no participant_id"),
        ("participant_id\tgroup\nn/a\tNC\n", "line 2 has no participant_id"),
        ("participant_id\tgroup\nsub-01\tAD\n sub-01\tNC\n", "sub-01 is listed twice.*2 and 3"),
        ("participant_id\tgroup\nsub-01\tAD\n01\tNC\n", "sub-01 is listed twice"),
        ("participant_id\tage\tgroup\nsub-01\t65\tAD\nsub-02\t6", "ends within line 3"),
    ],
)
def test_what_could_be_taken_for_something_else_is_refused(write, text: str, match: str) -> None:
    path = write(text)
    with pytest.raises(BadDataError, match=match) as caught:
        read_user_table(path, ("participant_id", "group")).by_key("participant_id", "sub-")
    assert caught.value.file == str(path)
    assert caught.value.fix


def test_a_last_line_without_a_line_break_is_whole_if_it_has_all_cells(write) -> None:
    table = read_user_table(write("participant_id\tgroup\nsub-01\tAD"), ("group",))
    assert table.rows == ((2, {"participant_id": "sub-01", "group": "AD"}),)
