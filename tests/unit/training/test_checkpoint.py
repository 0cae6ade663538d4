"""States of a run in one file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn, optim

from bids_xai.errors import BadDataError
from bids_xai.training.checkpoint import (
    CHECKPOINT,
    Checkpoint,
    load_checkpoint,
    restore,
    save_checkpoint,
    snapshot,
)


def test_what_is_shared_is_stored_once(tmp_path: Path) -> None:
    first, second = {"model/w": torch.rand(1000)}, {"model/w": torch.rand(1000)}
    states = {"now": first, "low": second, "stopping": second, "none": {}}
    save_checkpoint(tmp_path, Checkpoint(states, {"x": [1, "a"]}))
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint.scalars == {"x": [1, "a"]}
    assert checkpoint.states.keys() == states.keys()
    for name, state in states.items():
        assert checkpoint.states[name].keys() == state.keys()
        assert all(
            torch.equal(checkpoint.states[name][key], tensor) for key, tensor in state.items()
        )
    assert 8000 < (tmp_path / CHECKPOINT).stat().st_size < 9000
    assert load_checkpoint(tmp_path / "nowhere") is None


def test_moments_keep_the_memory_layout_of_their_weights() -> None:
    model = nn.Conv3d(3, 4, 3)
    model.weight.data = model.weight.data.to(memory_format=torch.channels_last_3d)
    optimizer = optim.Adam(model.parameters())
    model(torch.rand(1, 3, 4, 5, 6)).sum().backward()
    optimizer.step()
    moments = snapshot(model, optimizer)
    assert all(tensor.is_contiguous() for tensor in moments.values())  # the file format wants it
    restore(moments, model, optimizer)
    moment = optimizer.state[model.weight]["exp_avg"]
    assert moment.stride() == model.weight.stride() != model.weight.contiguous().stride()
    assert torch.equal(moment, moments["moment/0/exp_avg"])


def test_a_changed_number_in_a_checkpoint_is_no_state_to_go_on_from(tmp_path: Path) -> None:
    """safetensors has no checksum: a flipped bit is another weight."""
    for value in (torch.rand(5, 3), torch.tensor(7.0), torch.rand(3).bfloat16()):
        save_checkpoint(tmp_path, Checkpoint({"now": {"model/w": value}}, {}))
        loaded = load_checkpoint(tmp_path)
        assert loaded is not None
        assert torch.equal(loaded.states["now"]["model/w"], value)
        file = tmp_path / CHECKPOINT
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
        with pytest.raises(BadDataError, match="not what was written") as caught:
            load_checkpoint(tmp_path)
        assert "delete it" in str(caught.value.fix)
