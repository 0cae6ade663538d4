"""Rules: the first that applies is told, with texts that may depend on the subject."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_xai.errors import UsageError
from bids_xai.workflows.rules import OptionRule, check_rules

RULES: tuple[OptionRule[int], ...] = (
    OptionRule(lambda n: n < 0, lambda n: f"{n} is negative", "give a positive number"),
    OptionRule(lambda n: n % 2 == 1, "it is odd", lambda n: f"use {n + 1}", lambda n: Path(str(n))),
    OptionRule(lambda n: n > 8, "it is too large", "use less"),
)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (-1, "-1 is negative. Fix: give a positive number."),
        (3, "it is odd [3]. Fix: use 4."),
        (9, "it is odd [9]. Fix: use 10."),
        (10, "it is too large. Fix: use less."),
    ],
)
def test_the_first_rule_that_applies_is_told(number: int, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_rules(RULES, number)
    assert str(caught.value) == text


def test_where_none_applies_nothing_happens() -> None:
    check_rules(RULES, 4)
    check_rules((), -1)
