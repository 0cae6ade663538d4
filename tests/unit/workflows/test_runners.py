"""What a failing graph leaves in the log at which level."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, cast

import pytest
from nipype.pipeline import engine as pe

from bids_xai.bids import run_log
from bids_xai.settings import RunSettings
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
