"""As many sessions at a time as fit into memory, of the machine or of the job."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from bids_xai.settings import RunSettings
from bids_xai.workflows import nipype_setup
from bids_xai.workflows.jobs import SessionJob


def settings(tmp_path: Path, mem_mb: int | None = None) -> RunSettings:
    return RunSettings(
        bids_dir=tmp_path,
        output_dir=tmp_path,
        analysis_level="participant",
        nprocs=4,
        mem_mb=mem_mb,
    )


@pytest.mark.parametrize(
    ("free_gib", "mem_mb", "at_once"),
    [(100, None, 4), (7, None, 2), (1, None, 1), (None, None, 4), (7, 10_000, 3), (100, 4000, 1)],
)
def test_sessions_wait_where_memory_is_short(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    free_gib: int | None,
    mem_mb: int | None,
    at_once: int,
) -> None:
    """A container of 7 GiB ended runs of four sessions: the kernel killed one after the other."""
    monkeypatch.setattr(nipype_setup, "host_bytes", lambda: free_gib and free_gib * 2**30)
    jobs = [
        SessionJob(str(i), str(i), tmp_path / "stamp.json", "digest", lambda name: name, 3.0)
        for i in range(6)
    ]
    with caplog.at_level(logging.WARNING):
        assert nipype_setup.workers_of(jobs, settings(tmp_path, mem_mb)) == at_once
    assert ("may take 3.0 GB" in caplog.text) == (at_once < 4)


def test_nipype_is_told_of_the_memory_of_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nipype_setup, "host_bytes", lambda: 7 * 2**30)
    assert nipype_setup.multiproc_arguments(settings(tmp_path))["memory_gb"] == 7
    assert nipype_setup.multiproc_arguments(settings(tmp_path, 2048))["memory_gb"] == 2
