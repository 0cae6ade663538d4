"""One training in several processes, as ``torchrun`` starts them.

The scans of every step are shared out over the processes, and gradients are added up by hand in
one reduction a step: each process weighs its scans by the size of the whole step, so that the sum
is the gradient of a single process up to rounding. ``DistributedDataParallel`` is not used: its
hooks count on one forward pass through the wrapper, and relevance walks the layers themselves.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, distributed, nn

from bids_xai.arrays import Floats64
from bids_xai.errors import UsageError

T = TypeVar("T")

_LET_GO_S = 0.5
"""Time for the threads of gloo to let go of the tensors of the last exchange. They need Python's
lock for it, which ``destroy_process_group`` holds while it waits for them: without the pause, one
program in four never ended (torch 2.7)."""


@contextmanager
def process_group(device: str | torch.device) -> Iterator[torch.device]:
    """Within it, the processes that ``torchrun`` started train together; yields the device.

    device : ``cuda`` becomes the GPU of this process. Enter it once a program, around all
        trainings. Without torchrun, or in a group that is there already, it does nothing.
    """
    device = torch.device(device)
    if n_started() == 1 or distributed.is_initialized():
        yield device
        return
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
        distributed.barrier()  # all processes are through with each other
    finally:
        time.sleep(_LET_GO_S)
        distributed.destroy_process_group()


def current_processes() -> Processes:
    """This process among those that train together.

    Raises ``UsageError`` where torchrun started several that are not in a group: each would
    train the whole and write over the others.
    """
    if distributed.is_available() and distributed.is_initialized():
        return Processes(rank=distributed.get_rank(), size=distributed.get_world_size())
    if n_started() > 1:
        raise UsageError(
            f"torchrun started {n_started()} processes that do not train together",
            fix="start one process, or enter bids_xai.training.processes.process_group first",
        )
    return Processes()


@dataclass(frozen=True)
class Processes:
    """Number ``rank`` of ``size`` processes; alone, nothing is exchanged."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def share(self, scans: Sequence[int]) -> Sequence[int]:
        """This process's part of ``scans``; parts differ by one scan at most."""
        return scans[self.rank :: self.size]

    def merged(self, parts: Sequence[Sequence[T]]) -> list[T]:
        """The whole from every process's part, in the order before :meth:`share`."""
        n = sum(map(len, parts))
        return [parts[i % self.size][i // self.size] for i in range(n)]

    def gathered(self, value: T) -> list[T]:
        """The values of all processes, by rank, in every process."""
        if self.size == 1:
            return [value]
        values: list[T | None] = [None] * self.size
        distributed.all_gather_object(values, value)
        return values  # type: ignore[return-value]

    def total(self, values: Floats64) -> Floats64:
        """The sum over processes, in every process the same bits."""
        return np.sum(self.gathered(values), axis=0) if self.size > 1 else values

    def anywhere(self, flag: bool) -> bool:
        """Whether the flag is up in one process at least."""
        return any(self.gathered(flag))

    def wait(self) -> None:
        """Return once all processes have come here."""
        self.gathered(None)

    def from_leader(self, value: T) -> T:
        """The value of the first process, in every process."""
        if self.size == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, src=0)
        return values[0]

    def same_start(self, model: nn.Module) -> None:
        """Give every process the weights of the first one."""
        if self.size > 1:
            for tensor in model.state_dict().values():
                whole = tensor.detach().contiguous()  # a view, or a copy to be put back
                distributed.broadcast(whole, src=0)
                tensor.copy_(whole)

    def sum_gradients(
        self, parameters: Iterable[nn.Parameter], buffers: Iterable[Tensor], flag: bool
    ) -> bool:
        """Add gradients up over processes, in place; whether ``flag`` was up anywhere.

        Running statistics of batch norm (``buffers``) become their mean. One reduction in all.
        """
        if self.size == 1:
            return flag
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        means = [buffer for buffer in buffers if buffer.is_floating_point()]
        for parameter in trained:
            if parameter.grad is None:  # no scan of this step fell to this process
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
        raised = torch.tensor([float(flag)]).to(gradients[0])
        parts = [*gradients, *(buffer / self.size for buffer in means), raised]
        flat = torch.cat([part.to(gradients[0].dtype).reshape(-1) for part in parts])
        distributed.all_reduce(flat)
        pieces = torch.split(flat, [part.numel() for part in parts])
        for tensor, piece in zip([*gradients, *means], pieces, strict=False):
            tensor.copy_(piece.view(tensor.shape))
        return bool(pieces[-1].item() > 0)


def n_started() -> int:
    """How many processes torchrun started, 1 without it."""
    names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    return int(os.environ["WORLD_SIZE"]) if all(name in os.environ for name in names) else 1


def n_on_device(device: str | torch.device) -> int:
    """How many processes that train together share a device: those of a machine share its CPU."""
    alone = torch.device(device).type != "cpu" or n_started() == 1
    return 1 if alone else int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
