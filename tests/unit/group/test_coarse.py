"""The coarsest voxels that a network takes, for runs that only try things out."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from bids_xai.errors import UsageError
from bids_xai.group import coarse
from bids_xai.studies.tables import Input


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes that were asked for; a network needs 40 voxels along each axis of 160 mm."""
    asked: list[tuple[int, ...]] = []

    def size(architecture: str, shape: tuple[int, ...], *of: Any, **options: Any) -> Any:
        asked.append(shape)
        if min(shape) < 40:
            raise UsageError("too small", fix="take finer voxels")
        return 0, 0

    monkeypatch.setattr(coarse, "network_size", size)
    monkeypatch.setattr(coarse, "common_shape", lambda files, edge: (int(160 / edge),) * 3)
    return asked


def test_every_configuration_gets_the_coarsest_voxels_that_fit(
    derivatives: Any, sizes: list[tuple[int, ...]]
) -> None:
    derivatives.scan("01")
    context = derivatives.context()
    study = dataclasses.replace(context.study, input=Input())
    found = coarse.coarsened(dataclasses.replace(context, study=study)).study
    assert [c.input["voxel_mm"] for c in found.configurations] == [4.0] * len(found.configurations)
    assert sizes[:3] == [(26,) * 3, (32,) * 3, (40,) * 3]
    assert [c.id for c in found.configurations] == [c.id for c in context.study.configurations]


def test_voxels_are_never_finer_than_the_study_has_them(
    derivatives: Any, sizes: list[tuple[int, ...]]
) -> None:
    derivatives.scan("01")
    context = derivatives.context()
    study = dataclasses.replace(context.study, input=Input(voxel_mm=5.0))
    context = dataclasses.replace(context, study=study)
    assert coarse.coarsened(context) == context
    assert set(sizes) == {(26,) * 3}
