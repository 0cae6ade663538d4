"""One thread a library: tests run side by side, and threads that wait for each other spin."""

from __future__ import annotations

import gc
import os

import pytest

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# ITK looks once, at its first use, which may be in a test that calls antspyx by itself
os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")

gc.disable()  # until everything is imported


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Let the garbage collector look at what tests make, not at a million objects of libraries."""
    gc.collect()
    gc.freeze()
    gc.enable()
