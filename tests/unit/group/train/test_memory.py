"""A training that cannot fit is refused before memory is taken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bids_xai.errors import BadDataError
from bids_xai.group.train.memory import check_memory, training_size
from bids_xai.studies.schema import load_study

FINE = (
    9000,
    11_000,
    9000,
)  # a head on voxels of 0.02 mm: 1.4 TB for the first fully connected layer


def test_the_size_of_a_network_beyond_any_machine_takes_no_memory() -> None:
    size = training_size(load_study("quick"), FINE, guided=False)
    features = 8 * (9000 // 16 + 1) * (11_000 // 16 + 1) * (9000 // 16 + 1)
    assert size.weights == pytest.approx(16 * features, rel=0.01)
    assert size.step_bytes(1) > 4 * 4 * size.weights


def test_a_training_far_beyond_memory_is_refused_with_the_remedy() -> None:
    size = training_size(load_study("quick"), (60, 70, 60), guided=True)
    needed = int(size.step_bytes(1))
    check_memory(size, None, "A, split 0")
    check_memory(size, needed // 2, "A, split 0")  # the estimate is rough
    with pytest.raises(BadDataError, match=r"A, split 0 needs about .* 60 x 70 x 60") as caught:
        check_memory(size, needed // 4, "A, split 0")
    assert "input.voxel_mm" in caught.value.fix
    plain = replace(size, guided=False)
    assert plain.step_bytes(1) < needed
