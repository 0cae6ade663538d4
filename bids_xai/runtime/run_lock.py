"""One run at a time in a folder, also where several machines share the disk.

A lock is a file beside the folder that says which process works there and since when; it is made
by exclusive creation, which works on network file systems without locks of their own. A process of
this machine is asked whether it lives. One of another machine (or of another container) cannot be
asked: it shows that it lives by touching its lock every ``BEAT_S`` seconds. Whoever meets such a
lock watches whether that happens, so that clocks which differ do no harm.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from bids_xai.errors import OtherRunError

LOG = logging.getLogger("bids_xai")

ENDING = ".running"
"""How the names of locks end; they are hidden files and no results."""
BEAT_S = 20.0
"""How often a run shows that it lives."""
SILENCE_S = 180.0
"""A run of another machine that is silent for longer is over: attributes of files on a network
file system are up to 60 s old."""

_LOOK_S = 1.0
_TRIES = 5


@dataclass(frozen=True)
class Owner:
    """Who holds a lock.

    host, process : as a person would look for it; since : date and time, ISO 8601
    machine : what else tells machines and containers apart (numbers of processes mean something
        in the same machine and process namespace alone)
    started : of the process, in clock ticks since the machine started, since numbers of processes
        are used again; None where the system does not say
    """

    host: str
    process: int
    since: str
    machine: str
    started: int | None

    @classmethod
    def here(cls) -> Owner:
        """This process, from now on."""
        now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        process = os.getpid()
        return cls(socket.gethostname(), process, now, _machine(), _start_of(process))

    @classmethod
    def of(cls, text: str) -> Owner | None:
        """Read what a lock holds; None where it is not (yet) whole."""
        try:
            owner = cls(**json.loads(text))
        except (ValueError, TypeError):
            return None
        is_whole = isinstance(owner.process, int) and owner.process > 0
        return owner if is_whole else None

    @property
    def is_here(self) -> bool:
        """Whether this process could ask whether the owner lives."""
        return (self.host, self.machine) == (socket.gethostname(), _machine())

    @property
    def lives(self) -> bool:
        """Whether an owner that is here lives."""
        now = _start_of(self.process)
        is_another = None not in (self.started, now) and self.started != now
        return is_alive(self.process) and not is_another


def is_alive(process: int) -> bool:
    """Whether this machine has a process of that number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # of somebody else
        return True
    return True


@contextlib.contextmanager
def alone_in(path: Path) -> Iterator[None]:
    """Within it, no other run that asks is working on ``path``, a file or folder.

    Raises :class:`OtherRunError` where one is. The lock of a process that has ended is taken over.
    Where none can be written (a full disk, a folder of somebody else) the run goes on without: what
    it writes will say what is wrong.
    """
    lock = path.with_name(f".{path.name}{ENDING}")
    text = _take(lock)
    if not text:
        yield
        return
    over = threading.Event()
    beats = threading.Thread(target=_beat, args=(lock, text, over), daemon=True)
    beats.start()
    try:
        yield
    finally:
        over.set()
        beats.join()
        _give_back(lock, text)


def _take(lock: Path) -> str:
    """Make the lock, and return what it holds; empty where it cannot be made."""
    text = json.dumps(asdict(Owner.here()))
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(_TRIES):
            if _make(lock, text):
                return text
            _remove_stale(lock)
    except OSError as error:
        LOG.debug("no lock: %s [%s]", error.strerror or error, lock)
        return ""
    raise _refusal(lock, None)


def _make(lock: Path, text: str) -> bool:
    """Tell whether the lock could be made; False where there is one."""
    try:
        stream = lock.open("x", encoding="utf-8")
    except FileExistsError:
        return False
    try:
        with stream:
            stream.write(text)
    except OSError:  # such as a full disk
        lock.unlink(missing_ok=True)
        raise
    return True


def _remove_stale(lock: Path) -> None:
    """Remove the lock of a run that is over; raise :class:`OtherRunError` where it is not."""
    content = _content(lock)
    owner = Owner.of(content)
    if owner is not None and owner.is_here:
        if owner.lives:
            raise _refusal(lock, owner)
    elif _beats_on(lock, owner):
        raise _refusal(lock, owner)
    aside = lock.with_name(f"{lock.name}-{uuid.uuid4().hex}")
    try:
        os.rename(lock, aside)
    except FileNotFoundError:  # another run has taken it over
        return
    try:
        if _content(aside) != content:  # the lock of who was faster: it is put back
            _put_back(aside, lock)
            return
        LOG.warning("a run that was killed left a lock, which is taken over [%s]", lock)
    finally:
        aside.unlink(missing_ok=True)


def _put_back(aside: Path, lock: Path) -> None:
    try:
        os.link(aside, lock)  # unlike renaming, never over the lock of a third run
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        os.rename(aside, lock)


def _beats_on(lock: Path, owner: Owner | None) -> bool:
    """Watch a lock for as long as a living run may be silent; tell whether it was touched."""
    first = _touched_ns(lock)
    LOG.info(
        "%s may be working here: its lock is watched for up to %.0f s [%s]",
        f"process {owner.process} on {owner.host}" if owner else "another run",
        SILENCE_S,
        lock,
    )
    end = time.monotonic() + SILENCE_S
    while first is not None and time.monotonic() < end:
        time.sleep(_LOOK_S)
        now = _touched_ns(lock)
        if now != first:
            return now is not None
    return False


def _content(lock: Path) -> str:
    """What a lock holds; empty where it is gone, not yet written, or for its owner alone."""
    with contextlib.suppress(FileNotFoundError, PermissionError):
        return lock.read_text(encoding="utf-8", errors="replace")
    return ""


def _touched_ns(lock: Path) -> int | None:
    """When a lock was touched; None where it is gone."""
    _content(lock)  # opened, since network file systems then ask the server
    try:
        return lock.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _beat(lock: Path, text: str, over: threading.Event) -> None:
    while not over.wait(BEAT_S):
        with contextlib.suppress(OSError):
            if _content(lock) != text:
                LOG.warning("another run took this one for dead and works here, too [%s]", lock)
                return
            os.utime(lock)


def _give_back(lock: Path, text: str) -> None:
    with contextlib.suppress(OSError):
        if _content(lock) == text:
            lock.unlink()


def _refusal(lock: Path, owner: Owner | None) -> OtherRunError:
    who = f": process {owner.process} on {owner.host}, since {owner.since}" if owner else ""
    return OtherRunError(
        f"another run is working here{who}",
        file=lock,
        fix="wait until it is over, or end it, and run the same command again",
    )


@cache
def _machine() -> str:
    """The start of the system and the namespace of processes, as far as the system tells."""
    names = []
    with contextlib.suppress(OSError):
        names.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with contextlib.suppress(OSError):
        names.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(names)


def _start_of(process: int) -> int | None:
    """When a process started, in clock ticks; field 22 of ``/proc/N/stat`` (proc(5))."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
        return int(stat.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
