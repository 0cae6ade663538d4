"""Being asked to stop: finish the step, keep everything, leave with a status of its own."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from bids_xai.errors import InterruptedRunError

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class TrainingInterrupted(InterruptedRunError):
    """A signal stopped the training; the same call goes on from its checkpoint."""


class StopRequest:
    """Whether, and by which signal, training was asked to stop."""

    def __init__(self) -> None:
        self.name: str | None = None

    def __bool__(self) -> bool:
        return self.name is not None

    def error(self, checkpoint: Path | None = None) -> TrainingInterrupted:
        """What to raise once the checkpoint is written, or where there is none yet."""
        by = self.name or "a signal to another process"
        return TrainingInterrupted(
            f"Training was stopped by {by}; nothing is lost",
            file=checkpoint,
            fix="run the same command again; it continues from there",
        )


_active: list[StopRequest] = []


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Within it, SIGTERM, SIGUSR1 and SIGINT raise a flag instead of ending the process.

    Within another one it is the same flag, so that no signal is lost between the two. The
    handlers found are put back at the end. A second SIGINT is a ``KeyboardInterrupt``.
    Outside the main thread, where Python allows no handlers, the flag stays down.
    """
    if threading.current_thread() is not threading.main_thread():
        yield StopRequest()
        return
    if _active:
        yield _active[0]
        return
    request = StopRequest()

    def note(number: int, frame: FrameType | None) -> None:
        if request and number == signal.SIGINT:
            raise KeyboardInterrupt
        request.name = signal.Signals(number).name

    former = {number: signal.signal(number, note) for number in SIGNALS}
    _active.append(request)
    try:
        yield request
    finally:
        _active.clear()
        for number, handler in former.items():
            # None stands for a handler that was not installed from Python
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
