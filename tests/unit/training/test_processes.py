"""Several processes train one network."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import process_worker
import pytest
import torch
from training_cases import Tiny, make_recipe, make_scans

from bids_xai.errors import UsageError
from bids_xai.training.loop import LOG, train
from bids_xai.training.processes import Processes, current_processes, process_group

N = 2


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("n", [0, 1, 5, 8])
def test_shares_cover_everything_once(size: int, n: int) -> None:
    scans = list(range(100, 100 + n))
    parts = [Processes(rank=rank, size=size).share(scans) for rank in range(size)]
    assert sorted(scan for part in parts for scan in part) == scans
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert Processes(size=size).merged(parts) == scans


def test_alone_nothing_is_exchanged() -> None:
    processes = current_processes()
    assert processes == Processes()
    assert processes.leads
    assert processes.gathered("x") == ["x"]
    assert processes.from_leader(3) == 3
    assert processes.total(np.ones(2)).tolist() == [1, 1]
    model = Tiny()
    assert not processes.sum_gradients(model.parameters(), model.buffers(), False)
    assert all(parameter.grad is None for parameter in model.parameters())
    with process_group("cpu") as device:
        assert device == torch.device("cpu")
        assert not torch.distributed.is_initialized()


def test_processes_that_do_not_know_each_other_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in _environment(0, 1234).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="2 processes that do not train together"):
        train(Tiny(), make_scans(4), make_scans(2), make_recipe(), folder=tmp_path, device="cpu")


def _environment(rank: int, port: int) -> dict[str, str]:
    """What torchrun tells a process."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(N),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with what two processes, started as torchrun starts them, left."""
    folder = tmp_path_factory.mktemp("processes")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-W", "error", process_worker.__file__, str(folder)]
    started = [
        subprocess.Popen(
            command,
            env={**os.environ, **_environment(rank, port)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(N)
    ]
    try:
        outputs = [process.communicate(timeout=120)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0] * N, "\n".join(outputs)
    return folder


@pytest.mark.parametrize("case", process_worker.CASES)
def test_two_processes_equal_one(tmp_path: Path, trained: Path, case: str) -> None:
    model, expected = process_worker.run(case, tmp_path)
    for rank in range(N):
        state = torch.load(trained / f"{case}-{rank}.pt", weights_only=True)
        for name, tensor in model.state_dict().items():
            torch.testing.assert_close(state[name], tensor, rtol=1e-5, atol=1e-8)
        report = json.loads((trained / f"{case}-{rank}.json").read_text())
        np.testing.assert_allclose(report["columns"], expected["columns"], rtol=1e-5)
        assert report["best_epoch"] == expected["best_epoch"]
        assert report["seen"] == (expected["seen"] if rank == 0 else [])
    assert sorted(path.name for path in (trained / case).iterdir()) == [LOG]


def test_both_processes_have_the_same_bits(trained: Path) -> None:
    for case in process_worker.CASES:
        first, two = (torch.load(trained / f"{case}-{r}.pt", weights_only=True) for r in range(N))
        assert all(torch.equal(first[name], two[name]) for name in first)


def test_a_signal_to_one_stops_both_and_they_go_on(trained: Path) -> None:
    texts = [(trained / f"stopped-{rank}.txt").read_text() for rank in range(N)]
    assert "another process" in texts[0]
    assert "SIGTERM" in texts[1]
    for rank in range(N):
        whole, resumed = (
            torch.load(trained / f"{case}-{rank}.pt", weights_only=True)
            for case in ("penalised", "stopped")
        )
        assert all(torch.equal(whole[name], resumed[name]) for name in whole)
        columns, again = (
            json.loads((trained / f"{case}-{rank}.json").read_text())["columns"]
            for case in ("penalised", "stopped")
        )
        np.testing.assert_allclose(again, columns, rtol=1e-12)
