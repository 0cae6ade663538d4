"""Tables of people as users write them: read, or refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from bids_xai.errors import BadDataError
from bids_xai.group.people import read_participants, read_sessions


def people(*rows: tuple[str, str]) -> str:
    return "participant_id\tage\tdiagnosis\n" + "".join(
        f"{name}\t{60 + i}\t{value}\n" for i, (name, value) in enumerate(rows)
    )


@pytest.mark.parametrize("line", ["\n", "\r\n", "\r"])
def test_tables_of_excel_are_read(derivatives: Any, line: str) -> None:
    """Byte order mark, any line end, umlauts, rows without their last cells, blank lines."""
    text = (
        people(
            ("sub-NC00", "NC"),
            ("sub-NC01", "NC"),
            ("sub-NC02", "NC"),
            ("sub-NC03", "NC"),
            ("sub-AD00", "AD"),
            ("sub-AD01", "AD"),
            ("sub-AD02", "AD"),
            ("sub-AD03", "AD"),
        )
        + "sub-short\nsub-long\t70\tAD\t\n\nsub-Jörg\t1\tAD\n"
    )
    derivatives.people("\ufeff" + text.replace("\n", line))
    found = read_participants(derivatives.raw, ("diagnosis",))
    assert found["sub-NC00"]["diagnosis"] == "NC"
    assert found["sub-short"]["diagnosis"] == ""
    assert found["sub-Jörg"]["diagnosis"] == "AD"
    assert len(found) == 11


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_tables_that_are_not_utf8_are_named(derivatives: Any, encoding: str) -> None:
    derivatives.people(people(("sub-Jörg", "AD")), encoding)
    with pytest.raises(BadDataError, match=r"not UTF-8.*participants\.tsv.*save it as UTF-8"):
        read_participants(derivatives.raw, ("diagnosis",))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (
            "participant_id\tage\nsub-01\t3\n",
            "no column 'diagnosis'.*there are participant_id, age",
        ),
        ("id\tdiagnosis\nsub-01\tAD\n", "no column 'participant_id'"),
        ("participant_id,diagnosis\nsub-01,AD\n", "separated by ','.*tabs"),
        ("participant_id;diagnosis\nsub-01;AD\n", "separated by ';'.*tabs"),
        ("Participant_ID\tdiagnosis\nsub-01\tAD\n", "did you mean Participant_ID"),
        ("", "no column 'participant_id'"),
    ],
)
def test_missing_columns_are_named(derivatives: Any, text: str, match: str) -> None:
    derivatives.people(text)
    with pytest.raises(BadDataError, match=match) as caught:
        read_participants(derivatives.raw, ("diagnosis",))
    assert "participants.tsv" in str(caught.value)


def test_an_open_quote_does_not_swallow_people(derivatives: Any) -> None:
    derivatives.people('participant_id\tnote\tdiagnosis\nsub-1\t"tall\tAD\nsub-2\tn/a\tNC\n')
    try:
        found = read_participants(derivatives.raw, ("diagnosis",))
    except BadDataError:
        return
    assert set(found) == {"sub-1", "sub-2"}


def test_a_participant_listed_twice_is_refused(derivatives: Any) -> None:
    derivatives.people(people(("sub-1", "AD"), ("sub-1", "NC")))
    with pytest.raises(BadDataError, match=r"sub-1 .*lines 2 and 3"):
        read_participants(derivatives.raw, ("diagnosis",))


def test_a_cell_over_several_lines_is_refused(derivatives: Any) -> None:
    derivatives.people('participant_id\tnote\tdiagnosis\nsub-1\t"a\tAD\nsub-2\tb"\tNC\n')
    with pytest.raises(BadDataError, match="line 3 spans several lines"):
        read_participants(derivatives.raw, ("diagnosis",))


def test_sessions_are_read_of_one_participant(derivatives: Any) -> None:
    assert read_sessions(derivatives.raw, "sub-1", ("stage",)) == {}
    folder = derivatives.raw / "sub-1"
    folder.mkdir()
    file = folder / "sub-1_sessions.tsv"
    file.write_text("session_id\tstage\nses-1\tNC\n2\tAD\n")
    found = read_sessions(derivatives.raw, "sub-1", ("stage",))
    assert {name: row["stage"] for name, row in found.items()} == {"ses-1": "NC", "ses-2": "AD"}
    with pytest.raises(BadDataError, match="no column 'age'"):
        read_sessions(derivatives.raw, "sub-1", ("age",))
