"""Processes of the app that are forked from one which has imported the libraries.

A new interpreter takes seconds before it does anything: torch, ANTs and nipype are imported. A
server imports them once; every command is then a process of its own as before, with its own state,
environment, session, exit status and end by a signal. What it shares with the other commands is
what libraries read while they are imported, and the seed of ``hash``: whether two runs give the
same bytes must be asked of one in a new interpreter as well.

Nothing is run in the server itself, so no command sees what another has left.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, NoReturn

LIBRARIES = (
    "ants",
    "bids",
    "h5py",
    "jinja2",
    "nilearn.datasets",
    "nipype.pipeline.engine",
    "nipype.pipeline.plugins",
    "safetensors.torch",
    "torch",
    "bids_xai.cli.main",
    "bids_xai.cli.simulate",
    "bids_xai.cli.summary",
    "bids_xai.group.run",
    *(f"bids_xai.group.{room}.step" for room in ("atlas", "cohort", "explain", "qc", "spray")),
    *(f"bids_xai.group.{room}.step" for room in ("baselines", "train", "trust")),
    "bids_xai.reports.participant.page",
    "bids_xai.reports.participant.session_pictures",
    "bids_xai.reports.participant.viewer",
    "bids_xai.reports.study.page",
    "bids_xai.simulation.write",
    "bids_xai.stages.model",
    "bids_xai.workflows.explanation",
    "bids_xai.workflows.participant",
    "bids_xai.workflows.session",
)
"""What a command may need; the app itself loads each where there is work for it."""
WORK_MM = 2.0  # most runs find masks on this grid
_SERVE = "import sys; sys.path.insert(0, sys.argv[1]); from ready_processes import serve; serve()"
_LONGEST = 1 << 20  # bytes of a request


class Command:
    """A command that runs or has ended.

    returncode : as in :mod:`subprocess`; ``None`` while it runs
    out, err : what it has said, once it has ended
    """

    def __init__(self, connection: socket.socket, streams: tuple[IO[bytes], IO[bytes]]) -> None:
        self._connection, self._streams = connection, streams
        self.pid = int(connection.recv(64))
        self.returncode: int | None = None
        self.out = self.err = ""

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, or minus the number of the signal.

        Raises :class:`subprocess.TimeoutExpired`; the command goes on then.
        """
        if self.returncode is None:
            self._connection.settimeout(timeout)
            try:
                self.returncode = int(self._connection.recv(64))
            except (TimeoutError, BlockingIOError) as error:
                raise subprocess.TimeoutExpired("command", timeout or 0) from error
            self.out, self.err = map(_content, self._streams)
            self._connection.close()
        return self.returncode

    def poll(self) -> int | None:
        """``returncode``, looked at now."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def terminate(self) -> None:
        """Send SIGTERM to the command alone."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)

    def kill_all(self) -> None:
        """Send SIGKILL to the command and to all that it has started."""
        if self.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)


def _content(stream: IO[bytes]) -> str:
    with stream:
        stream.seek(0)
        return stream.read().decode()


class Server:
    """Starts commands. It ends with the process that made it."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words = [sys.executable, "-c", _SERVE, str(Path(__file__).parent), str(theirs.fileno())]
        self._process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], env=_without_chatter()
        )
        theirs.close()

    def start(self, module: str, words: list[str], env: Mapping[str, str] | None = None) -> Command:
        """Begin ``main(words)`` of ``module`` with this process's environment and ``env``."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        streams = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - see wait
        request = json.dumps([module, words, os.getcwd(), {**os.environ, **(env or {})}]).encode()
        assert len(request) < _LONGEST
        fds = [theirs.fileno(), *(stream.fileno() for stream in streams)]
        socket.send_fds(self._socket, [request], fds)
        theirs.close()
        return Command(ours, streams)

    def close(self) -> None:
        """End the server, and with it what still runs."""
        self._socket.close()
        self._process.wait()


def _without_chatter() -> dict[str, str]:
    """The environment of the server: no telemetry, one thread in ITK, as the app has it."""
    return {"NO_ET": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1", **os.environ}


def serve() -> None:
    """Fork for each request, until nobody asks any more."""
    for name in LIBRARIES:
        importlib.import_module(name)
    from bids_xai.templates import embedded

    embedded.atlas(WORK_MM)  # what is read from files for it is kept in memory
    asked = socket.socket(fileno=int(sys.argv[2]))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that watch commands
    gc.collect()
    gc.freeze()  # so that no command copies the pages of the libraries
    while True:
        request, fds, _, _ = socket.recv_fds(asked, _LONGEST, 3)
        if not request:
            return
        if os.fork() == 0:
            asked.close()
            _watch(request, *fds)
        for fd in fds:
            os.close(fd)


def _watch(request: bytes, connection: int, out: int, err: int) -> NoReturn:
    """Fork once more: the child becomes the command, this process tells how it ended.

    Where nobody listens any more, the command is ended with all that it has started.
    """
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        os.write(connection, str(os.getpid()).encode())
        for fd in (connection, ended, wake):
            os.close(fd)
        _become(request, out, err)
    if ended not in select.select([connection, ended], [], [])[0]:
        os.killpg(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with contextlib.suppress(BrokenPipeError):
        os.write(connection, str(status).encode())
    os._exit(0)


def _become(request: bytes, out: int, err: int) -> NoReturn:
    """Be the command: its folder, environment, words and streams, to its end."""
    import numpy as np

    module, words, folder, env = json.loads(request)
    os.chdir(folder)
    for fd, stream in ((out, 1), (err, 2)):
        os.dup2(fd, stream)
        os.close(fd)
    os.environ.clear()
    os.environ.update(env)
    np.random.seed()  # noqa: NPY002 - else its state were the same in all
    sys.argv = ["-c", *words]
    try:
        status = importlib.import_module(module).main()
    except SystemExit as stop:
        status = stop.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    _end(status)


def _end(status: object) -> NoReturn:
    """End as an interpreter does, but for taking apart all modules, which takes a second."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    assert isinstance(status, int)
    os._exit(status)
