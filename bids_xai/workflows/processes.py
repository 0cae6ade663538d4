"""Worker processes that do not outlive the run that started them."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>


def end_with_parent() -> None:
    """Have this process killed when its parent ends, however that ends (Linux only).

    A killed run started again would otherwise meet the workers of the former one in its folders.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
