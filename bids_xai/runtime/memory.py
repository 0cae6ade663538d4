"""How the C library handles the memory of large arrays.

glibc gives every large block back to the system when it is freed, and the system fills it with
zeros when it is asked for again. A training step on the CPU asks for gigabytes of short-lived
blocks: more than half of its time can go there.
"""

from __future__ import annotations

import ctypes
import os
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of <malloc.h>
_MOST = 2**31 - 1
_MOST_OF_OLD = 32 * 2**20  # older glibc refuses a larger M_MMAP_THRESHOLD
_VARIABLES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "LD_PRELOAD")


def keep_memory() -> bool:
    """Have this process keep freed memory for its next arrays; takes about 40 % more of it.

    Nothing is done, and False returned, without glibc and where the user has chosen an allocator
    or its settings (``MALLOC_TRIM_THRESHOLD_``, ``MALLOC_MMAP_THRESHOLD_``, ``LD_PRELOAD``, …).
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in _VARIABLES):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    taken = mallopt(_MMAP_THRESHOLD, _MOST) or mallopt(_MMAP_THRESHOLD, _MOST_OF_OLD)
    return bool(taken and mallopt(_TRIM_THRESHOLD, _MOST))


def give_back() -> bool:
    """Give freed memory back that :func:`keep_memory` kept; whether there was any (glibc)."""
    return platform.libc_ver()[0] == "glibc" and bool(ctypes.CDLL(None).malloc_trim(0))
