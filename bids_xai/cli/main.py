"""``bids_xai BIDS_DIR OUTPUT_DIR {participant,group}``."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from bids_xai import errors
from bids_xai.bids import run_log
from bids_xai.cli.folder_rules import FOLDER_RULES
from bids_xai.cli.parser import asks_for_threads, parse_settings
from bids_xai.errors import CannotCreateError, UserError
from bids_xai.settings import LEVELS, RunSettings
from bids_xai.workflows.rules import check_rules

LOG = logging.getLogger("bids_xai")
INTERRUPTED, TERMINATED = 130, 143  # by SIGINT, by SIGTERM
_SHARED_MEMORY = "/dev/shm"
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the app; return the exit status (BIDS execution specification, ``sysexits.h``)."""
    _set_environment()
    words = sys.argv[1:] if argv is None else argv
    run_log.start(["bids_xai", *words])
    try:
        with _hearing_sigterm():
            return _run(words)
    except Exception:
        LOG.log(run_log.TRACE, "ended by a bug", exc_info=True)
        raise  # keeps its traceback
    finally:
        run_log.stop()


class _Terminated(KeyboardInterrupt):
    """SIGTERM came."""


@contextmanager
def _hearing_sigterm() -> Iterator[None]:
    """Within it SIGTERM (``docker stop``, ``scancel``) ends the run as Ctrl-C does.

    Its workers end with it and its working files are removed; process 1 of a container would not
    hear the signal at all. Training listens for itself while it lasts.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    former = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if former is None else former)


def _run(words: Sequence[str]) -> int:
    """Do what the command line asks for; what the user can mend becomes a status."""
    settings: RunSettings | None = None
    try:
        settings = parse_settings(words)
        run_log.say_more(settings.verbose)
        if settings.analysis_level not in LEVELS:
            LOG.error(
                "unknown analysis level '%s'. Fix: use %s.",
                settings.analysis_level,
                " or ".join(LEVELS),
            )
            return errors.UNKNOWN_LEVEL
        _check_folders(settings)
        return (
            _participant(settings, words)
            if settings.analysis_level == "participant"
            else _group(settings, words)
        )
    except UserError as error:
        LOG.error("error: %s", error, exc_info=True)
        return error.status
    except KeyboardInterrupt as stop:
        LOG.error("interrupted. Finished work is kept; the same command continues from there.")
        return TERMINATED if isinstance(stop, _Terminated) else INTERRUPTED
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        if _is_of_shared_memory(error):
            LOG.error(
                "error: %s [%s]. Fix: make it writable (processes share their locks there), in a "
                "container by its own tmpfs (docker run --tmpfs /dev/shm).",
                error.strerror,
                _SHARED_MEMORY,
                exc_info=True,
            )
            return errors.FileAccessError.status
        LOG.error(
            "error: %s [%s]. Fix: check the disk of the output and work folders; the same command "
            "continues from the finished work.",
            error.strerror,
            error.filename or (settings and settings.output_dir),
            exc_info=True,
        )
        return errors.FileAccessError.status


def _is_of_shared_memory(error: OSError) -> bool:
    """Whether a lock between processes could not be made: unlike files, such errors have no name,
    and a full disk raises another one."""
    read_only = error.errno == errno.EROFS and error.filename is None
    return read_only and not os.access(_SHARED_MEMORY, os.W_OK)


def _set_environment() -> None:
    """Threads and telemetry, before any library reads them; what the user set stays."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    # threads that spin at barriers for long collapse where others want the processors, too; without
    # any spinning, small operations of two threads take ten times as long (GNU's OpenMP)
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")
    os.environ.setdefault("NO_ET", "1")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    _set_home()


def _set_home() -> None:
    """Give libraries a home they can use where a container's user has none."""
    home = Path(os.environ.get("HOME") or "/")
    spare = Path(tempfile.gettempdir()) / f"bids_xai-home-{os.getuid()}"
    if home.exists() and not os.access(home, os.R_OK | os.X_OK):
        os.environ.update(HOME=str(spare))
    if "MPLCONFIGDIR" not in os.environ and not os.access(home, os.W_OK):
        os.environ.update(MPLCONFIGDIR=str(spare / "matplotlib"))


def _check_folders(settings: RunSettings) -> None:
    check_rules(FOLDER_RULES, settings)
    if settings.dry_run:
        return
    for folder in (settings.output_dir.resolve(), settings.work_folder.resolve()):
        _check_writable(folder)


def _check_writable(folder: Path) -> None:
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise CannotCreateError(
            "cannot write into the folder", file=folder, fix="choose a writable one"
        )


def _participant(settings: RunSettings, words: Sequence[str]) -> int:
    from bids_xai.cli.summary import say_failed, say_participants
    from bids_xai.workflows.participant import run_participants

    started = time.monotonic()
    run = run_participants(settings)
    if settings.dry_run:
        LOG.info("dry run: nothing was written")
        say_failed(run)
    else:
        say_participants(settings, words, run, time.monotonic() - started)
    return errors.SOME_FAILED if run.failed else errors.SUCCESS


def _group(settings: RunSettings, words: Sequence[str]) -> int:
    from bids_xai.cli.summary import GroupSummary
    from bids_xai.group.run import run_group

    summary = GroupSummary(settings, words)
    try:
        page = run_group(settings, threads_by_load=not asks_for_threads(words))
    except UserError as error:
        if run_log.log_file() is not None:
            summary.say_stopped(error)
        raise
    if settings.dry_run:
        LOG.info("dry run: nothing was written")
    elif run_log.log_file() is not None:  # not in the other processes of torchrun
        summary.say_done(page)
    if page is not None:
        print(page)
    return errors.SUCCESS


if __name__ == "__main__":
    sys.exit(main())
