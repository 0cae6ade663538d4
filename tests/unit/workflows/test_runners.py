"""What a failing graph leaves in the log at which level."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest
from nipype.pipeline import engine as pe

from bids_xai.bids import run_log
from bids_xai.bids.stamps import write_stamp
from bids_xai.runtime.run_lock import alone_in
from bids_xai.settings import RunSettings
from bids_xai.workflows import runners
from bids_xai.workflows.jobs import SessionJob
from bids_xai.workflows.runners import _run_graph

TEXT = "Traceback (most recent call last): node fit_0"


class _FailingGraph:
    def __init__(self, **_: Any) -> None:
        pass

    def add_nodes(self, nodes: list[Any]) -> None:
        assert len(nodes) == 1

    def run(self, plugin: Any) -> None:
        raise RuntimeError(TEXT)


@pytest.mark.parametrize(("level", "n_told"), [(logging.DEBUG, 0), (run_log.TRACE, 1)])
def test_tracebacks_of_nodes_are_for_vv_alone(
    level: int,
    n_told: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(pe, "Workflow", _FailingGraph)
    caplog.set_level(level, "bids_xai")
    job = SessionJob("sub-01", "sub01", tmp_path / "s.json", "digest", lambda name: cast(Any, name))
    error = _run_graph(job, RunSettings(tmp_path, tmp_path / "out", "participant", nprocs=1))
    assert str(error) == TEXT
    assert sum(TEXT in line for line in caplog.messages) == n_told


@pytest.mark.parametrize("other_finishes", [True, False])
def test_a_session_of_another_run_is_left_to_it_and_done_only_if_it_does_not(
    other_finishes: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Two runs in one working folder removed each other's files: sessions failed."""
    ran: list[str] = []
    first, second = (
        SessionJob(f"sub-{i}", str(i), tmp_path / f"{i}.json", "digest", lambda name: name)
        for i in (1, 2)
    )

    class Graph:
        def __init__(self, **_: Any) -> None:
            self.names: list[Any] = []

        def add_nodes(self, nodes: list[Any]) -> None:
            self.names += nodes

        def run(self, plugin: Any) -> None:
            ran.extend(self.names)

    def looked(seconds: float) -> None:  # while this run waits, the other one ends
        if other_finishes:
            write_stamp(first.stamp, "digest", tmp_path, [])
        other.close()

    monkeypatch.setattr(pe, "Workflow", Graph)
    monkeypatch.setattr(runners.time, "sleep", looked)
    settings = RunSettings(tmp_path, tmp_path, "participant", nprocs=1)
    with ExitStack() as other, caplog.at_level(logging.WARNING, "bids_xai"):
        other.enter_context(alone_in(first.lock))
        results = list(runners.run_here([first, second], settings, 1, tmp_path))
    assert [(job.label, problem) for job, problem in results] == [("sub-2", None), ("sub-1", None)]
    assert ran == (["sub-2"] if other_finishes else ["sub-2", "sub-1"])
    assert caplog.text.count("another run is working here: process") == 1
