"""How much memory a process may still take: of the machine, of its job or container, of a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_ROOT = Path("/")
_NO_LIMIT = 2**60  # version 1 writes a number of about this size for no limit


def free_bytes(device: str | torch.device, root: Path = _ROOT) -> int | None:
    """Memory in bytes that is free on a device; None where the system does not say.

    device : ``cpu``, ``cuda`` or ``cuda:i``; root : of the file system, for tests
    On the CPU: see :func:`host_bytes`. On a GPU: what the driver has free and what torch holds
    without using it.
    """
    import torch

    device = torch.device(device)
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    return host_bytes(root) if device.type == "cpu" else None


def host_bytes(root: Path = _ROOT) -> int | None:
    """Memory in bytes that this process may still take on the machine; None where unknown.

    The least of what the machine has available, what every control group leaves (SLURM, Docker,
    systemd), and what ``ulimit -v`` leaves.
    """
    available = [*_of_machine(root / "proc/meminfo"), *_of_groups(root), *_of_limits(root)]
    return max(0, min(available)) if available else None


def _of_machine(file: Path) -> Iterator[int]:
    for line in _text(file).splitlines():
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024


def _of_groups(root: Path) -> Iterator[int]:
    """What the control groups of this process and those above them leave."""
    mounted = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = mounted / "memory" if controllers else mounted
        names = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            if controllers
            else ("memory.max", "memory.current", "inactive_file")
        )
        folder = top / path.strip("/")
        for group in (folder, *folder.parents):
            yield from _left(group, *names)
            if group == top:
                break


def _of_limits(root: Path) -> Iterator[int]:
    """What the limit of addresses leaves (``ulimit -v``); some schedulers bound jobs so."""
    lines = _text(root / "proc/self/limits").splitlines()
    limits = [line.split()[3] for line in lines if line.startswith("Max address space")]
    status = _text(root / "proc/self/status").splitlines()
    sizes = [int(line.split()[1]) * 1024 for line in status if line.startswith("VmSize:")]
    if limits and sizes and limits[0].isdigit():
        yield int(limits[0]) - sizes[0]


def _left(group: Path, limit: str, used: str, cached: str) -> Iterator[int]:
    """Limit less use of a control group; files in memory are given back when it is needed."""
    limit, used = _text(group / limit).strip(), _text(group / used).strip()
    if not (limit.isdigit() and used.isdigit()) or int(limit) >= _NO_LIMIT:
        return
    lines = (line.split() for line in _text(group / "memory.stat").splitlines())
    files = sum(int(words[1]) for words in lines if words[0] == cached)
    yield int(limit) - int(used) + files


def _text(file: Path) -> str:
    """The content of a file, empty where there is none."""
    try:
        return file.read_text()
    except OSError:
        return ""
