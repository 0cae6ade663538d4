"""What a run says: a few words on stderr, everything in ``logs/<run>/run.log``.

The file is begun when the run begins to write: a run that is refused, a dry run and a run that has
nothing to do leave none. Every command has a folder of its own, so the tasks of a job array never
share a file; the worker processes of a command append to its file, a line at a time.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import shlex
import shutil
import sys
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import bids_xai
from bids_xai.bids.files import write_text
from bids_xai.settings import RunSettings, to_toml

LOG = logging.getLogger("bids_xai")

TRACE = 5
"""Level of what only the file and ``-vv`` show: tracebacks of failed steps."""
SETTINGS = "settings.toml"
_FILE = "run.log"
_ADDRESS = "BIDS_XAI_RUN_LOG"  # for worker processes: how much to say, and the file
_LEVELS = (logging.INFO, logging.DEBUG, 1)  # by the number of -v
_ERASE = "\r\x1b[K"


class Console(logging.StreamHandler):  # type: ignore[type-arg]
    """One line a record on stderr, without tracebacks; a terminal rewrites a line of progress."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self._open = False

    def format(self, record: logging.LogRecord) -> str:
        """``bids_xai: <message>``."""
        return f"bids_xai: {record.getMessage()}"

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record over the line of progress, if there is one."""
        text = self.format(record)
        with contextlib.suppress(OSError, ValueError):  # nobody reads any more
            in_place = self.stream.isatty() and getattr(record, "in_place", False)
            if in_place:
                text = text[: shutil.get_terminal_size().columns - 1]
            self.stream.write((_ERASE if self._open else "") + text + ("" if in_place else "\n"))
            self.stream.flush()
            self._open = in_place


class RunLog(logging.Handler):
    """Keeps what is said until the file is begun; then appends every record to it at once."""

    def __init__(self) -> None:
        super().__init__(level=1)
        self.run_id = _new_id()
        self.file: Path | None = None
        self._pending: list[str] = []
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s [%(process)d] %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Take in a record, unless it is for a terminal alone."""
        if getattr(record, "passing", False):
            return
        self._pending.append(self.format(record) + "\n")
        if self.file is not None:
            self.write_pending()

    def write_pending(self) -> None:
        """Append what waits; a full disk is told by whoever writes results to it."""
        text, self._pending = "".join(self._pending), []
        assert self.file is not None
        with contextlib.suppress(OSError), self.file.open("ab", buffering=0) as stream:
            stream.write(text.encode(errors="replace"))


def start(command: Sequence[str]) -> None:
    """Say things on stderr from now on, and keep them for the file.

    command : the words of the command line, for the file
    """
    os.environ.pop(_ADDRESS, None)  # of a command that started this one
    _install(Console(), RunLog())
    LOG.debug("bids_xai %s, Python %s", bids_xai.__version__, platform.python_version())
    LOG.debug("command: %s", shlex.join(command))


def stop() -> None:
    """Undo :func:`start`: the command has ended."""
    os.environ.pop(_ADDRESS, None)
    LOG.handlers.clear()
    LOG.setLevel(logging.NOTSET)
    LOG.propagate = True


def say_more(verbose: int) -> None:
    """Set what stderr shows: 1 (``-v``) also why and with what, 2 tracebacks of steps as well."""
    for handler in LOG.handlers:
        if isinstance(handler, Console):
            handler.setLevel(_LEVELS[min(verbose, len(_LEVELS) - 1)])


def begin(settings: RunSettings) -> None:
    """Write the settings of the run, and begin the file beside them, once a command.

    Raises :class:`CannotCreateError` where the output folder refuses.
    """
    log = _run_log()
    if log is None or log.file is not None:
        return
    folder = settings.output_dir.resolve() / "logs" / log.run_id
    write_text(folder / SETTINGS, to_toml(settings.as_plain()))
    log.file = folder / _FILE
    log.write_pending()
    if settings.use_plugin is None:  # other machines must not append to it
        os.environ[_ADDRESS] = f"{settings.verbose}:{log.file}"


def join(address: str | None = None) -> None:
    """In a worker process: say things as the command does that started it.

    address : what :func:`address_for_workers` gave there (default: from the environment)
    """
    if address:
        os.environ[_ADDRESS] = address
    address = os.environ.get(_ADDRESS)
    if not address or LOG.handlers:
        return
    verbose, _, file = address.partition(":")
    log = RunLog()
    log.file = Path(file)
    _install(Console(), log)
    say_more(int(verbose))


def address_for_workers() -> str:
    """What :func:`join` needs in another process, empty before the file is begun."""
    return os.environ.get(_ADDRESS, "")


def run_id() -> str:
    """The name of this run's folders below ``logs/``."""
    log = _run_log()
    return log.run_id if log else _new_id()


def log_file() -> Path | None:
    """The file of this run, ``None`` before it is begun."""
    log = _run_log()
    return log.file if log else None


def _install(*handlers: logging.Handler) -> None:
    LOG.handlers[:] = handlers
    LOG.setLevel(1)
    LOG.propagate = False
    say_more(0)


def _run_log() -> RunLog | None:
    return next((handler for handler in LOG.handlers if isinstance(handler, RunLog)), None)


def _new_id() -> str:
    return datetime.now(UTC).strftime("%Y%m%d-%H%M%S_") + uuid.uuid4().hex[:8]
