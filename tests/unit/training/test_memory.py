"""Too little memory is a user's error with a way out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from training_cases import Tiny, make_recipe, make_scans

from bids_xai.errors import BadDataError
from bids_xai.runtime.device import saying_memory_is_short
from bids_xai.training.loop import predict, train

CPU = "[enforce fail at alloc_cpu.cpp:115] err == 0. DefaultCPUAllocator: can't allocate memory: x"


@pytest.mark.parametrize(
    "error",
    [RuntimeError(CPU), MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to ...")],
)
def test_shortage_names_the_way_out(error: Exception) -> None:
    fix = r"batches of 6 scans.*lower batch_size and raise accumulate.*voxel_mm"
    with pytest.raises(BadDataError, match=fix) as caught, saying_memory_is_short(6, "cuda:0"):
        raise error
    assert caught.value.__cause__ is error


def test_of_one_scan_there_can_be_no_fewer() -> None:
    with (
        pytest.raises(BadDataError, match=r"for one scan.*--device cpu.*voxel_mm") as caught,
        saying_memory_is_short(1, "cuda:0"),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory")
    assert "batch_size" not in str(caught.value)


def test_torch_itself_says_so() -> None:
    with pytest.raises(BadDataError, match="not enough memory"), saying_memory_is_short(1, "cpu"):
        torch.empty(2**60, dtype=torch.uint8)


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="shapes"), saying_memory_is_short(1, "cpu"):
        raise RuntimeError("shapes cannot be multiplied")


class Greedy(Tiny):
    """Asks for more than there is."""

    def forward(self, volumes: Tensor) -> Tensor:
        torch.empty(2**60, dtype=torch.uint8)
        return super().forward(volumes)


def test_training_and_prediction_say_so(tmp_path: Path) -> None:
    model: nn.Module = Greedy()
    with pytest.raises(BadDataError, match="batches of 3 scans"):
        train(model, make_scans(4), make_scans(2), make_recipe(), folder=tmp_path, device="cpu")
    with pytest.raises(BadDataError, match="batches of 2 scans"):
        predict(model, make_scans(2), 2, "cpu")
