"""What is free: of the machine, and of the control groups that a job runs in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bids_xai.runtime.free_memory import free_bytes

MIB = 2**20


def machine(root: Path, mib: int) -> None:
    (root / "proc/self").mkdir(parents=True)
    text = f"MemTotal: 99999999 kB\nMemFree: 1 kB\nMemAvailable: {mib * 1024} kB\n"
    (root / "proc/meminfo").write_text(text)


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_the_machine_alone(tmp_path: Path) -> None:
    machine(tmp_path, 900)
    assert free_bytes("cpu", tmp_path) == 900 * MIB


def test_nothing_is_known_of_another_system(tmp_path: Path) -> None:
    assert free_bytes("cpu", tmp_path) is None
    assert free_bytes("meta", tmp_path) is None


def test_this_machine_says_what_it_has() -> None:
    free = free_bytes("cpu")
    total = next(
        int(line.split()[1]) * 1024
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemTotal:")
    )
    assert free is not None
    assert 0 < free <= total


@pytest.mark.parametrize(("of_step", "of_job", "expected"), [(None, 500, 300), (150, 500, 50)])
def test_the_tightest_control_group_counts(
    tmp_path: Path, of_step: int | None, of_job: int, expected: int
) -> None:
    """Version 2, as SLURM and systemd nest them; files in memory can be given back."""
    machine(tmp_path, 900)
    (tmp_path / "proc/self/cgroup").write_text("0::/job/step\n")
    top = tmp_path / "sys/fs/cgroup"
    stat = f"anon 5\ninactive_file {100 * MIB}\n"
    group(
        top / "job",
        memory__max=str(of_job * MIB),
        memory__current=str(300 * MIB),
        memory__stat=stat,
    )
    group(
        top / "job/step",
        memory__max="max" if of_step is None else str(of_step * MIB),
        memory__current=str(200 * MIB),
        memory__stat=stat,
    )
    assert free_bytes("cpu", tmp_path) == expected * MIB


def test_control_groups_of_version_1(tmp_path: Path) -> None:
    machine(tmp_path, 900)
    (tmp_path / "proc/self/cgroup").write_text("5:cpu,cpuacct:/a\n4:memory:/a\n0::/b\n")
    top = tmp_path / "sys/fs/cgroup/memory"
    group(top, memory__limit_in_bytes="9223372036854771712", memory__usage_in_bytes="5")
    group(
        top / "a",
        memory__limit_in_bytes=str(400 * MIB),
        memory__usage_in_bytes=str(390 * MIB),
        memory__stat=f"total_inactive_file {20 * MIB}\n",
    )
    assert free_bytes("cpu", tmp_path) == 30 * MIB


def test_a_limit_of_addresses_counts(tmp_path: Path) -> None:
    """``ulimit -v``, by which some schedulers bound a job."""
    machine(tmp_path, 900)
    line = f"Max address space         {500 * MIB}            unlimited            bytes\n"
    (tmp_path / "proc/self/limits").write_text(f"Limit  Soft Limit  Hard Limit  Units\n{line}")
    (tmp_path / "proc/self/status").write_text(f"Name:\tx\nVmSize:\t{200 * 1024} kB\n")
    assert free_bytes("cpu", tmp_path) == 300 * MIB
    (tmp_path / "proc/self/limits").write_text(line.replace(str(500 * MIB), "unlimited"))
    assert free_bytes("cpu", tmp_path) == 900 * MIB


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_what_a_tensor_takes_of_a_gpu_is_not_free() -> None:
    before = free_bytes("cuda")
    tensor = torch.empty(256 * MIB, dtype=torch.uint8, device="cuda")
    after = free_bytes("cuda")
    assert before is not None
    assert after is not None
    assert before - after == pytest.approx(tensor.numel(), rel=0.1)
