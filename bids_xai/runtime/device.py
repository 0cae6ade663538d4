"""Where networks run: the device, and what to say where it cannot be used or is too small."""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_xai.errors import BadDataError, UsageError

if TYPE_CHECKING:
    import torch

LOG = logging.getLogger("bids_xai")

_DRIVER_FILE = Path("/proc/driver/nvidia/version")
_DEVICE_FILE = Path("/dev/nvidiactl")
_ALLOCATOR = ("can't allocate memory", "not enough memory", "out of memory")
_LESS = (
    "lower batch_size and raise accumulate by the same factor, or make the voxels of the network's "
    "input larger (voxel_mm)"
)
_ELSEWHERE = (
    "use --device cpu or a machine with more memory, or train with larger voxels (voxel_mm)"
)


def choose_device(device: str, *, ask_card: bool = True) -> str:
    """Return ``cpu``, ``cuda`` or ``cuda:i``; ``auto`` takes CUDA where it is usable.

    ``auto`` says in the log why a GPU that is there is not used.
    ask_card : also whether torch was built for the card, which begins to use it: not for a process
        that leaves the work to others
    Raises :class:`UsageError` for a CUDA device that is not there or cannot be used.
    """
    if device == "auto":
        why = why_no_cuda(0, ask_card=ask_card)
        if why and _DEVICE_FILE.exists():
            _warn_once(f"the GPU of this machine is not used: {why}; continuing on the CPU")
        return "cpu" if why else "cuda"
    if device.startswith("cuda"):
        why = why_no_cuda(int(device.partition(":")[2] or 0), ask_card=ask_card)
        if why:
            raise UsageError(f"device {device} is not usable here: {why}", fix=_what_helps())
    return device


def check_device(device: str) -> None:
    """Raise as :func:`choose_device` for a device that is named and cannot be used.

    Neither ``auto`` nor ``cpu`` can fail: for them torch, which is slow to load, is not asked.
    """
    if device.startswith("cuda"):
        choose_device(device)


def why_no_cuda(index: int, *, ask_card: bool = True) -> str:
    """Say why a CUDA device cannot be used; empty where it can."""
    import torch

    if torch.version.cuda is None:
        return "this torch was built without CUDA"
    if not torch.cuda.is_available():
        if not _DEVICE_FILE.exists():
            return "no GPU is visible"
        return f"its driver{_driver()} does not serve CUDA {torch.version.cuda} of this torch"
    count = torch.cuda.device_count()
    if index >= count:
        return f"there are {count}, counted from 0"
    if not ask_card:
        return ""
    return _why_not_built_for(
        torch.cuda.get_device_name(index),
        torch.cuda.get_device_capability(index),
        torch.cuda.get_arch_list(),
    )


def _why_not_built_for(name: str, capability: tuple[int, int], built: list[str]) -> str:
    """Code of a capability runs on the later ones of the same generation; PTX on all later ones."""
    architectures = [
        (kind, divmod(int("".join(filter(str.isdigit, number))), 10))
        for kind, _, number in (architecture.partition("_") for architecture in built)
    ]
    for kind, version in architectures:
        same = version[0] == capability[0] and version <= capability
        if same or (kind == "compute" and version <= capability):
            return ""
    if not architectures:
        return ""  # a build that does not say
    return (
        f"{name} has compute capability {capability[0]}.{capability[1]}, and this torch was built "
        f"for {', '.join(built)}"
    )


def _driver() -> str:
    """`` 470.82``, as the kernel says it; empty where it does not."""
    try:
        words = _DRIVER_FILE.read_text().split("Kernel Module", 1)[1].split()
    except (OSError, IndexError):
        return ""
    return next((f" {word}" for word in words if word[:1].isdigit()), "")


def _what_helps() -> str:
    if _DEVICE_FILE.exists():
        return (
            "use --device cpu, a newer driver, or a torch built for this GPU (TORCH_INDEX_URL in "
            "docs/containers.md)"
        )
    return "use --device cpu, or give the container its GPU (--gpus all, --nv)"


@lru_cache
def _warn_once(text: str) -> None:
    LOG.warning("%s", text)


@contextmanager
def saying_memory_is_short(batch_size: int, device: str | torch.device) -> Iterator[None]:
    """Within it, an allocation that failed on CPU or GPU becomes a :class:`BadDataError`.

    batch_size : scans at a time; of one scan there can be no fewer, so the way out is another
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _is_shortage(error):
            raise
        what = f"batches of {batch_size} scans" if batch_size > 1 else "one scan"
        raise BadDataError(
            f"There is not enough memory on '{device}' for {what}",
            fix=_LESS if batch_size > 1 else _ELSEWHERE,
        ) from error


def _is_shortage(error: Exception) -> bool:
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return any(words in text for words in _ALLOCATOR)


def machine_of(device: str | torch.device) -> dict[str, Any]:
    """Return what the last bits of a result depend on: processor, threads, GPU and libraries.

    oneDNN picks other kernels on another kind of processor, and sums in another order with
    another number of threads.
    """
    import torch

    device = torch.device(device)
    machine: dict[str, Any] = {"processor": _processor(), "threads": torch.get_num_threads()}
    if device.type == "cuda":
        machine |= {"gpu": torch.cuda.get_device_name(device), "cuda": str(torch.version.cuda)}
    return machine


def _processor() -> str:
    """The name of the processor; its architecture where the system does not say it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
