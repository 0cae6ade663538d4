"""Errors of users: their text, their status, and their way between processes."""

from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from bids_xai import errors
from bids_xai.errors import BadDataError, UserError

STATUSES = {
    "InvalidBidsError": 16,
    "NothingMatchedError": 18,
    "UsageError": 64,
    "BadDataError": 65,
    "NoInputError": 66,
    "CannotCreateError": 73,
    "OtherRunError": 73,
    "FileAccessError": 74,
    "InterruptedRunError": 75,
}


def kinds() -> list[type[UserError]]:
    found = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    return [kind for kind in found if issubclass(kind, UserError) and kind is not UserError]


def test_every_kind_has_its_status() -> None:
    assert {kind.__name__: kind.status for kind in kinds()} == STATUSES
    assert (errors.SUCCESS, errors.SOME_FAILED, errors.UNKNOWN_LEVEL) == (0, 1, 17)


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("file", [None, "a/b.json"])
@pytest.mark.parametrize("fix", [None, "write it"])
def test_an_error_survives_pickling(
    kind: type[UserError], file: str | None, fix: str | None
) -> None:
    error = kind("it is wrong", file=file, fix=fix)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        back = pickle.loads(pickle.dumps(error, protocol))
        assert type(back) is kind
        assert (back.problem, back.file, back.fix) == ("it is wrong", file, fix)
        assert str(back) == str(error)
        assert back.status == error.status


def fail(path: str) -> None:
    raise BadDataError("EchoTime is missing", file=path, fix="add it")


def test_an_error_crosses_processes() -> None:
    with (
        ProcessPoolExecutor(1, mp_context=get_context("forkserver")) as pool,
        pytest.raises(BadDataError) as caught,
    ):
        pool.submit(fail, "x.nii.gz").result()
    assert str(caught.value) == "EchoTime is missing [x.nii.gz]. Fix: add it."


@pytest.mark.parametrize(
    ("file", "fix", "text"),
    [
        (None, None, "it is wrong."),
        ("a/b.json", None, "it is wrong [a/b.json]."),
        (None, "write it", "it is wrong. Fix: write it."),
        (Path("a/b.json"), "write it", "it is wrong [a/b.json]. Fix: write it."),
    ],
)
def test_the_text_says_what_where_and_what_to_do(
    file: str | Path | None, fix: str | None, text: str
) -> None:
    assert str(UserError("it is wrong", file=file, fix=fix)) == text


def test_the_text_is_one_line() -> None:
    text = str(UserError("the image is damaged (Expected 5 bytes,\n got 3\n )", file="x.nii"))
    assert text == "the image is damaged (Expected 5 bytes, got 3 ) [x.nii]."
