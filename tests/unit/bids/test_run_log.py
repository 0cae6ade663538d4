"""The log of a run: all in its file, little on stderr, nothing where nothing is done."""

from __future__ import annotations

import io
import logging
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bids_xai.bids import run_log
from bids_xai.bids.run_log import LOG, TRACE
from bids_xai.settings import RunSettings


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    yield
    run_log.stop()


def settings(out: Path, **options: Any) -> RunSettings:
    return RunSettings(out.parent / "raw", out, "group", **options)


def begun(out: Path, **options: Any) -> Path:
    """The file of a run that has begun to write."""
    run_log.start(["bids_xai", "a b", "out", "group"])
    run_log.begin(settings(out, **options))
    file = run_log.log_file()
    assert file is not None
    return file


def test_nothing_is_written_before_the_run_begins(tmp_path: Path) -> None:
    run_log.start(["bids_xai"])
    LOG.info("looking at the dataset")
    run_log.stop()
    assert list(tmp_path.iterdir()) == []
    assert run_log.log_file() is None


def test_the_file_holds_everything_from_the_command_on(tmp_path: Path) -> None:
    run_log.start(["bids_xai", "a b", "out", "group"])
    LOG.debug("said before")
    run_log.begin(settings(tmp_path / "out", random_seed=7))
    LOG.debug("why")
    LOG.log(TRACE, "traceback of a step")
    file = run_log.log_file()
    assert file is not None
    assert file.parent.parent == (tmp_path / "out" / "logs").resolve()
    assert file.name == "run.log"
    lines = file.read_text().splitlines()
    assert "command: bids_xai 'a b' out group" in lines[1]
    assert [line.partition("] ")[2] for line in lines[2:]] == [
        "said before",
        "why",
        "traceback of a step",
    ]
    assert f"[{os.getpid()}]" in lines[0]
    assert tomllib.loads((file.parent / "settings.toml").read_text())["random_seed"] == 7


def test_beginning_twice_is_beginning_once_and_every_command_has_its_own(tmp_path: Path) -> None:
    first = begun(tmp_path)
    run_log.begin(settings(tmp_path))
    assert run_log.log_file() == first
    assert run_log.run_id() == first.parent.name
    assert begun(tmp_path) != first


def test_who_says_nothing_has_no_file_and_still_a_run_id(tmp_path: Path) -> None:
    run_log.begin(settings(tmp_path))  # as a library, without start()
    assert list(tmp_path.iterdir()) == []
    assert run_log.run_id() != run_log.run_id()


def test_a_file_that_cannot_be_written_any_more_ends_nothing(tmp_path: Path) -> None:
    file = begun(tmp_path)
    shutil.rmtree(file.parent)
    LOG.info("going on")


def shown(monkeypatch: pytest.MonkeyPatch, verbose: int, *, terminal: bool) -> str:
    """What stderr shows of records of every kind."""

    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    stream = Stream()
    monkeypatch.setattr(sys, "stderr", stream)
    run_log.start(["bids_xai"])
    run_log.say_more(verbose)
    stream.truncate(0)
    for done in (1, 2):
        LOG.info("  %d of 9 done", done, extra={"in_place": True, "passing": False})
    try:
        raise ValueError("cause")
    except ValueError:
        LOG.error("error: it is wrong", exc_info=True)
    LOG.debug("why")
    LOG.log(TRACE, "traceback")
    return stream.getvalue().lstrip("\0")


def test_a_log_gets_one_line_each_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, 0, terminal=False).splitlines() == [
        "bids_xai:   1 of 9 done",
        "bids_xai:   2 of 9 done",
        "bids_xai: error: it is wrong",
    ]


def test_a_terminal_rewrites_a_line_of_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    erase = "\r\x1b[K"
    assert shown(monkeypatch, 0, terminal=True) == (
        f"bids_xai:   1 of 9 done{erase}bids_xai:   2 of 9 done{erase}"
        "bids_xai: error: it is wrong\n"
    )


@pytest.mark.parametrize(
    ("verbose", "last"), [(0, "error: it is wrong"), (1, "why"), (2, "traceback"), (3, "traceback")]
)
def test_every_v_shows_more(monkeypatch: pytest.MonkeyPatch, verbose: int, last: str) -> None:
    assert shown(monkeypatch, verbose, terminal=False).splitlines()[-1] == f"bids_xai: {last}"


def test_what_a_terminal_alone_sees_is_not_in_the_file(tmp_path: Path) -> None:
    file = begun(tmp_path)
    LOG.info("each second", extra={"in_place": True, "passing": True})
    LOG.info("now and then", extra={"in_place": True, "passing": False})
    assert "each second" not in file.read_text()
    assert "now and then" in file.read_text()


_WORKER = """
from bids_xai.bids import run_log
run_log.join({place!r})
run_log.join()
run_log.LOG.warning("from a worker")
run_log.LOG.debug("its reason")
"""


@pytest.mark.parametrize("handed_over", [True, False])
def test_worker_processes_write_into_the_same_file(tmp_path: Path, handed_over: bool) -> None:
    file = begun(tmp_path, verbose=0)
    place = run_log.address_for_workers()
    assert place
    environment = {k: v for k, v in os.environ.items() if k != "BIDS_XAI_RUN_LOG"}
    code = _WORKER.format(place=place if handed_over else None)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment if handed_over else dict(os.environ),
    )
    assert done.stderr == "bids_xai: from a worker\n"
    told = [line for line in file.read_text().splitlines() if f"[{os.getpid()}]" not in line]
    assert [line.partition("] ")[2] for line in told] == ["from a worker", "its reason"]


def test_jobs_on_other_machines_do_not_share_the_file(tmp_path: Path) -> None:
    begun(tmp_path, use_plugin=tmp_path / "p.yml")
    assert run_log.address_for_workers() == ""


def test_the_end_of_a_command_leaves_logging_as_it_was(tmp_path: Path) -> None:
    begun(tmp_path)
    run_log.stop()
    assert LOG.handlers == []
    assert LOG.propagate
    assert LOG.level == logging.NOTSET
    assert run_log.address_for_workers() == ""
