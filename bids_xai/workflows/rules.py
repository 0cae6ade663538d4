"""Rules about options: when one is broken, what is wrong, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from bids_xai.errors import UsageError

Subject = TypeVar("Subject")
"""What a rule looks at: the settings of a run, alone or with something read for it."""


@dataclass(frozen=True)
class OptionRule(Generic[Subject]):
    """Something that must not be asked for.

    applies : whether it is; problem, fix : one sentence each without a full stop, or a function
        of the subject that returns one
    file : the file or folder at fault, where there is one
    """

    applies: Callable[[Subject], bool]
    problem: str | Callable[[Subject], str]
    fix: str | Callable[[Subject], str]
    file: Callable[[Subject], Path | None] = lambda _: None

    def error(self, subject: Subject) -> UsageError:
        """The error of a subject to which the rule applies."""
        problem, fix = (
            text if isinstance(text, str) else text(subject) for text in (self.problem, self.fix)
        )
        return UsageError(problem, file=self.file(subject), fix=fix)


def check_rules(rules: Iterable[OptionRule[Subject]], subject: Subject) -> None:
    """Raise the :class:`UsageError` of the first rule that applies."""
    for rule in rules:
        if rule.applies(subject):
            raise rule.error(subject)
