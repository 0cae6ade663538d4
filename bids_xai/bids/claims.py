"""Files that several processes need and one of them makes; folders that several processes use.

Nothing breaks where two make the same file, since files are written whole: a claim saves work. It
is a file of its own, which works on network file systems, too.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from bids_xai.errors import CannotCreateError
from bids_xai.runtime.run_lock import is_alive

STALE_S = 300.0
"""A claim of another machine that is older is of a process that was killed."""

_CLAIM, _LOCK = ".claim", ".in-use"
_TRIES = 5


@contextlib.contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Within it, whether this process is the one to make ``path``; its folder must exist."""
    file = path.with_name(f".{path.name}{_CLAIM}")
    ours = _take(file)
    try:
        yield ours
    finally:
        if ours:
            file.unlink(missing_ok=True)


def _take(file: Path) -> bool:
    who = f"{socket.gethostname()} {os.getpid()}"
    try:
        with file.open("x") as stream:
            stream.write(who)
    except FileExistsError:
        if not _is_stale(file):
            return False
        file.write_text(who)
    except OSError:  # such as a full disk, which writing the file itself will tell
        return True
    return True


def _is_stale(file: Path) -> bool:
    """Whether the process that made a claim is gone."""
    try:
        host, _, process = file.read_text().partition(" ")
        age = time.time() - file.stat().st_mtime
    except OSError:  # just taken back
        return False
    if host == socket.gethostname() and process.isdigit():
        return int(process) == os.getpid() or not is_alive(int(process))
    return age > STALE_S


@contextlib.contextmanager
def in_use(folder: Path) -> Iterator[Path]:
    """Within it, the folder exists and :func:`remove_unused` of other processes leaves it.

    Raises :class:`CannotCreateError` where it cannot be made.
    """
    try:
        lock = _open_lock(folder)
    except OSError as error:
        raise CannotCreateError(
            f"cannot make the folder for working files: {error.strerror or error}",
            file=folder,
            fix="give a folder that can be written by --work-dir",
        ) from error
    with lock as stream:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield folder


def _open_lock(folder: Path) -> TextIO:
    for _ in range(_TRIES):
        with contextlib.suppress(FileNotFoundError):  # another process is just removing the folder
            folder.mkdir(parents=True, exist_ok=True)
            return (folder / _LOCK).open("a")
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / _LOCK).open("a")


def remove_unused(folder: Path) -> bool:
    """Remove a folder and all in it unless another process uses it; tell whether it is gone.

    On a file system without locks nobody knows who uses it, and it is removed.
    """
    try:
        with (folder / _LOCK).open("a") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        return False
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()
