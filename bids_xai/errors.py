"""Errors that a user can mend: what is wrong, in which file, and what to do about it.

Every class carries the exit status that the command line ends with (BIDS execution
specification and ``sysexits.h``). A bug is any other exception and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import PathLike

SUCCESS = 0
SOME_FAILED = 1
UNKNOWN_LEVEL = 17


class UserError(Exception):
    """A problem with what the user gave, with the file it is in and the way out.

    Parameters
    ----------
    problem : what is wrong, one sentence without a full stop.
    file : the file or folder at fault, where there is one.
    fix : what to do, one sentence without a full stop.
    """

    status = 65

    def __init__(
        self, problem: str, *, file: str | PathLike[str] | None = None, fix: str | None = None
    ) -> None:
        self.problem = " ".join(problem.split())  # libraries' texts have line breaks
        self.file = None if file is None else str(file)
        self.fix = fix
        super().__init__(self.problem, self.file, fix)

    def __str__(self) -> str:
        where = f" [{self.file}]" if self.file else ""
        fix = f" Fix: {self.fix}." if self.fix else ""
        return f"{self.problem}{where}.{fix}"

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.problem, self.file, self.fix))


def _rebuild(cls: type[UserError], problem: str, file: str | None, fix: str | None) -> UserError:
    return cls(problem, file=file, fix=fix)


@contextmanager
def naming(file: str | PathLike[str]) -> Iterator[None]:
    """Within it, a :class:`UserError` that names no file names this one."""
    try:
        yield
    except UserError as error:
        if error.file is not None:
            raise
        raise _rebuild(type(error), error.problem, str(file), error.fix) from error


class InvalidBidsError(UserError):
    """The input folder is not a BIDS dataset (exit status 16)."""

    status = 16


class NothingMatchedError(UserError):
    """Labels or filters matched no data (exit status 18)."""

    status = 18


class UsageError(UserError):
    """The command line is off (exit status 64)."""

    status = 64


class BadDataError(UserError):
    """A file holds something that cannot be worked with (exit status 65)."""

    status = 65


class NoInputError(UserError):
    """A file or folder that is needed does not exist (exit status 66)."""

    status = 66


class CannotCreateError(UserError):
    """An output cannot be created (exit status 73)."""

    status = 73


class OtherRunError(CannotCreateError):
    """Another run is working on the same study or training (exit status 73)."""


class FileAccessError(UserError):
    """Reading or writing failed part-way (exit status 74)."""

    status = 74


class InterruptedRunError(UserError):
    """A signal stopped the run; the same command goes on from there (exit status 75)."""

    status = 75


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """``; did you mean quick`` where one of the ``words`` is near, else nothing."""
    near = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}" if near and near[0] != word else ""


def error_text(error: Exception) -> str:
    """Return what went wrong and what to do about it, also for what is no :class:`UserError`."""
    if isinstance(error, UserError):
        return str(error)
    text = " ".join(str(error).split()) or "no details available"
    name = type(error).__name__
    if isinstance(error, MemoryError) or name == "OutOfMemoryError":  # the second is torch's
        return f"out of memory ({text}). Fix: use a smaller batch, larger voxels or more memory."
    if isinstance(error, OSError):
        return f"{text}. Fix: check free space and permissions, and run the same command again."
    return (
        f"{name}: {text}. This looks like a bug. Fix: run the same command again; if it fails "
        "again, report it with the traceback in the terminal."
    )
