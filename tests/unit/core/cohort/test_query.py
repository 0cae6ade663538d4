"""Queries against plain Python conditions, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.core.cohort.query import select
from bids_xai.errors import BadDataError

ROWS = [
    {"participant_id": "01", "age": "58", "sex": "F", "site": "A", "mmse score": "29"},
    {"participant_id": "02", "age": "60.0", "sex": "M", "site": "B", "mmse score": "n/a"},
    {"participant_id": "03", "age": "71.5", "sex": "F", "site": "C", "mmse score": "21"},
    {"participant_id": "04", "age": "n/a", "sex": "F", "site": "A", "mmse score": "30"},
    {"participant_id": "05", "age": "100", "sex": "n/a", "site": "10", "mmse score": "60"},
]


def _chosen(query: str) -> str:
    return "".join(str(i + 1) for i in np.flatnonzero(select(ROWS, query).mask))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("age >= 60", "235"),
        ("age == 60", "2"),  # by number, not by text
        ("60 <= age < 100", "23"),
        ("100 > age", "123"),
        ("age > -5.5e0", "1235"),
        ("age < -60", ""),
        ('sex == "F"', "134"),
        ("sex != 'F'", "2"),
        ('site in ["A", "B"]', "124"),
        ('site in ("A",)', "14"),
        ('site not in {"A", "B"}', "35"),
        ("age in [58, 100]", "15"),
        ('age < "60"', "15"),  # by text
        ('sex == "F" and age > 60', "3"),
        ('sex == "F" and age > 60 or site == "B"', "23"),
        ('sex == "F" and (age > 60 or site == "A")', "134"),
        ('not sex == "F"', "2"),
        ("not (age < 60)", "235"),
        ("`mmse score` >= 29", "145"),
        ("`mmse score` < age", "135"),
        ("`age` > 60 and `mmse score` > 20 and `site` == 'C'", "3"),
        ('site == "C" or\n  site == "B"\n', "23"),
        ("   age > 99", "5"),
        ('age == "n/a"', "4"),
        ('age != "n/a" and `mmse score` != ""', "135"),
        ('sex in ["M", "n/a"]', "25"),
        ('site == "`age`" or site == "#"', ""),
    ],
)
def test_queries(query: str, expected: str) -> None:
    assert _chosen(query) == expected


def test_missing_values_leave_a_row_out_unless_the_rest_decides() -> None:
    assert _chosen("age >= 60 or sex == 'F'") == "12345"
    assert _chosen("not (age >= 60 and sex == 'M')") == "134"  # 4 is no man at any age
    assert _chosen("not (age >= 60 and sex == 'F')") == "12"
    assert _chosen("not age >= 60") == "1"
    assert _chosen("not (site == 'A' and age < 60)") == "235"


def test_reasons_say_what_is_missing_or_not_met() -> None:
    found = select(ROWS, "age >= 60 and sex == 'F' and `mmse score` > 0")
    assert found.reasons == (
        "does not meet: age >= 60 and sex == 'F' and `mmse score` > 0",
        "does not meet: age >= 60 and sex == 'F' and `mmse score` > 0",
        None,
        "age missing, needed for: age >= 60 and sex == 'F' and `mmse score` > 0",
        "sex missing, needed for: age >= 60 and sex == 'F' and `mmse score` > 0",
    )
    assert found.mask.tolist() == [False, False, True, False, False]


def test_against_python_on_a_large_table() -> None:
    rng = np.random.default_rng(0)
    rows = [
        {"a": str(rng.integers(0, 9)), "b": rng.choice(["x", "y"]), "c": f"{rng.random():.2f}"}
        for _ in range(300)
    ]
    query = "not (a > 3 and b == 'x') and c < 0.7 or (a in [1, 2.0, 5] and 0.1 <= c <= 0.9)"
    expected = [
        (not (int(row["a"]) > 3 and row["b"] == "x") and float(row["c"]) < 0.7)
        or (int(row["a"]) in (1, 2, 5) and 0.1 <= float(row["c"]) <= 0.9)
        for row in rows
    ]
    assert select(rows, query).mask.tolist() == expected


def test_columns_are_those_of_all_rows() -> None:
    rows = [{"a": "1"}, {"a": "2", "b": "x"}]
    assert select(rows, "b == 'x'").mask.tolist() == [False, True]
    assert select(rows, "`b` != 'y'").reasons[0] == "b missing, needed for: `b` != 'y'"


def test_words_of_python_and_foreign_letters_as_columns() -> None:
    rows = [{"class": "AD", "größe": "3", "一_": "1"}]
    assert select(rows, "`class` == 'AD' and größe > 2 and `一_` == 1 and 一_ == 1").mask.all()


@pytest.mark.parametrize(
    ("query", "problem", "position"),
    [
        ("age >= ", "is not a query", None),
        ("age = 60", "is not a query", 5),
        ("", "is not a query", 1),
        ("class == 'AD'", "is not a query", None),
        ("(age > 60", "is not a query", 1),
        ("  height > 3", "unknown column 'height'", 3),
        ("sex == 'ä' and height > 3", "unknown column 'height'", 16),
        ("`mmse score` > 3 and height > 3", "unknown column 'height'", 22),
        ("`größe x` > 3", "unknown column 'größe x'", 1),
        ("age > 60 and sex", "a comparison is needed here", 14),
        ("age", "a comparison is needed here", 1),
        ("True", "a comparison is needed here", 1),
        ("1 < 2", "a column is needed on one side", 1),
        ("age + 1 > 3", "a column, a number or a text", 1),
        ("age > True", "a column, a number or a text", 7),
        ("age > None", "a column, a number or a text", 7),
        ("age > 3j", "a column, a number or a text", 7),
        ("age == -'x'", "a column, a number or a text", None),
        ("sex == f'{age}'", "a column, a number or a text", 8),
        ("age.real > 3", "a column, a number or a text", 1),
        ("age[0] > 3", "a column, a number or a text", 1),
        ("site in 'AB'", "a list such as", 9),
        ("site in []", "a list such as", 9),
        ("site in [x for x in site]", "a list such as", 9),
        ("sex is 'F'", "compare with ==", 8),
        ("age < 'n/a'", "ask for missing values with ==", 1),
        ("age > 60 # all", "a # outside quotes", 10),
        ("site == 'A' and age < 60 or site > 3", "compares 'site' with a number.*contains 'A'", 29),
        ("__import__('os').system('true')", "a comparison is needed here", 1),
        ("open('x') == 'y'", "a column, a number or a text", 1),
        ("(lambda: 1)() == 1", "a column, a number or a text", 1),
        ("(age := 3) > 2", "a column, a number or a text", None),
        ("age > 3 if sex == 'F' else age < 3", "a comparison is needed here", 1),
        ("age > 3\x00", "The query", None),
    ],
)
def test_anything_else_is_refused_with_its_place(
    query: str, problem: str, position: int | None
) -> None:
    with pytest.raises(BadDataError, match=problem) as caught:
        select(ROWS, query)
    text = str(caught.value)
    assert " ".join(query.split()) in text
    if position is not None:
        assert f"(at character {position})" in text
    if "contains" not in problem:
        assert "columns are age, mmse score, participant_id, sex, site" in text


@pytest.mark.parametrize("query", ["(" * 5000 + "age > 1" + ")" * 5000, "not " * 5000 + "age > 1"])
def test_what_is_nested_too_deep_is_refused(query: str) -> None:
    with pytest.raises(BadDataError, match="query"):
        select(ROWS, query)


def test_no_rows_select_nobody() -> None:
    with pytest.raises(BadDataError, match="unknown column 'age'"):
        select([], "age > 3")
