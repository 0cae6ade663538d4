"""Memory that is kept: large arrays come without the system's help, unless the user objects."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

_CODE = """
import resource, sys
from bids_xai.runtime.memory import keep_memory
print(keep_memory() if sys.argv[1] == "keep" else "not asked")
import numpy as np
before = 0
for i in range(30):
    if i == 3:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    array = np.ones(9_000_000)
    del array
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def run(how: str, **variables: str) -> tuple[str, int]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", _CODE, how],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    said, faults = done.stdout.split("\n")[:2]
    return said, int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_memory_is_used_again() -> None:
    said, faults = run("keep")
    assert said == "True"
    assert faults < 1000
    assert run("not")[1] > 10 * max(faults, 100)  # each array's pages, fetched and zeroed anew


def test_what_the_user_has_set_stays() -> None:
    said, _ = run("keep", MALLOC_TRIM_THRESHOLD_="131072")
    assert said == "False"


_GIVE_BACK = """
import numpy as np
from bids_xai.runtime.memory import give_back, keep_memory

def resident():
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024

assert keep_memory()
blocks = [np.ones(2**21) for _ in range(20)]  # of 16 MiB
last = np.ones(2**21)  # above the others: the end of the heap is not free
del blocks
kept_mib = resident()
assert give_back()
print(kept_mib - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")
def test_memory_that_was_kept_can_be_given_back() -> None:
    """Also what lies below blocks that are in use."""
    done = subprocess.run(
        [sys.executable, "-c", _GIVE_BACK], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) > 300
