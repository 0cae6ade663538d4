"""Which device is chosen, and why another is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bids_xai.errors import UsageError
from bids_xai.runtime import device
from bids_xai.runtime.device import check_device, choose_device, why_no_cuda


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A machine with one GPU that this torch can use; a test then takes something away."""
    there, version = tmp_path / "nvidiactl", tmp_path / "version"
    there.touch()
    version.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.82.01  Wed Oct 27\n")
    monkeypatch.setattr(device, "_DEVICE_FILE", there)
    monkeypatch.setattr(device, "_DRIVER_FILE", version)
    monkeypatch.setattr(torch.version, "cuda", "12.6")
    for name, value in {
        "is_available": True,
        "device_count": 1,
        "get_device_name": "Card",
        "get_device_capability": (8, 6),
        "get_arch_list": ["sm_70", "sm_80", "sm_90a"],
    }.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    device._warn_once.cache_clear()
    return monkeypatch


def test_cuda_is_taken_where_it_can_be_used(
    gpu: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert choose_device("auto") == "cuda"
    assert choose_device("cuda:0") == "cuda:0"
    assert choose_device("cpu") == "cpu"
    assert not caplog.records


def test_an_old_driver_is_named_once_and_the_cpu_taken(
    gpu: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gpu.setattr(torch.cuda, "is_available", lambda: False)
    assert [choose_device("auto") for _ in range(3)] == ["cpu"] * 3
    (record,) = caplog.records
    assert "driver 470.82.01 does not serve CUDA 12.6" in record.getMessage()
    with pytest.raises(UsageError, match=r"driver 470\.82\.01.*newer driver.*TORCH_INDEX_URL"):
        choose_device("cuda")


def test_without_a_gpu_nothing_is_said_and_cuda_is_refused(
    gpu: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    gpu.setattr(device, "_DEVICE_FILE", tmp_path / "none")
    gpu.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == "cpu"
    assert not caplog.records
    with pytest.raises(UsageError, match=r"no GPU is visible.*--gpus all, --nv"):
        choose_device("cuda")


def test_torch_is_asked_of_a_device_that_is_named_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(device, "why_no_cuda", lambda index, **_: asked.append(index) or "no GPU")
    check_device("auto")
    check_device("cpu")
    assert asked == []
    with pytest.raises(UsageError, match="cuda:1 is not usable here: no GPU"):
        check_device("cuda:1")
    assert asked == [1]


def test_a_number_that_is_not_there_is_refused(gpu: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="there are 1, counted from 0"):
        choose_device("cuda:1")


@pytest.mark.parametrize(
    ("capability", "built", "usable"),
    [
        ((8, 6), ["sm_80"], True),  # of the same generation, later
        ((8, 0), ["sm_86"], False),  # earlier
        ((12, 0), ["sm_80", "sm_90"], False),
        ((12, 0), ["sm_90", "compute_90"], True),  # PTX is compiled for later ones
        ((12, 0), ["sm_120"], True),
        ((9, 0), ["sm_90a"], True),
        ((6, 1), ["sm_70", "compute_90"], False),
        ((8, 6), [], True),
    ],
)
def test_a_card_that_torch_was_not_built_for_is_told(
    gpu: pytest.MonkeyPatch, capability: tuple[int, int], built: list[str], usable: bool
) -> None:
    gpu.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    gpu.setattr(torch.cuda, "get_arch_list", lambda: built)
    assert choose_device("auto") == ("cuda" if usable else "cpu")
    why = why_no_cuda(0)
    assert (why == "") == usable
    if not usable:
        assert f"compute capability {capability[0]}.{capability[1]}" in why


def test_a_process_that_leaves_the_work_to_others_does_not_touch_the_card(
    gpu: pytest.MonkeyPatch,
) -> None:
    def touched(*_: object) -> None:
        raise AssertionError("the card was asked")

    for name in ("get_device_name", "get_device_capability", "get_arch_list"):
        gpu.setattr(torch.cuda, name, touched)
    assert choose_device("auto", ask_card=False) == "cuda"
    assert choose_device("cuda:0", ask_card=False) == "cuda:0"
    gpu.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto", ask_card=False) == "cpu"


def test_a_torch_without_cuda_says_so(gpu: pytest.MonkeyPatch) -> None:
    gpu.setattr(torch.version, "cuda", None)
    assert why_no_cuda(0) == "this torch was built without CUDA"
