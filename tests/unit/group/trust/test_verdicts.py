"""Verdicts from lines of the tables of trust, by counting."""

from __future__ import annotations

import pytest

from bids_xai.group.trust.verdicts import aopc_verdicts, final_areas, localization_verdicts
from bids_xai.tables.trust import CheckVerdict, LocalizationRow, PerturbationStep


def located(person: int, value: float | None) -> LocalizationRow:
    return LocalizationRow(
        configuration="A",
        split=0,
        method="m",
        participant_id=f"sub-{person}",
        session_id="1",
        scan=f"sub-{person}",
        region="nuclei",
        outcome="TP",
        mass_accuracy=value,
        rank_accuracy=value,
        pointing_game=value,
        n_voxels=10,
        chance=0.01,
    )


@pytest.mark.parametrize(("hits", "passed"), [(1, False), (5, True)])
def test_maps_that_show_nothing_count_as_misses(hits: int, passed: bool) -> None:
    """Ten true positives; those without positive relevance have no measures."""
    rows = [located(i, 1.0 if i < hits else None) for i in range(10)]
    (found,) = localization_verdicts(rows)
    assert found.passed is passed
    assert found.n == 10
    assert found.value == pytest.approx(hits / 10)
    assert f"{10 - hits} of 10 maps have no positive relevance" in found.verdict


def curve(person: int, scan: str, steps: int, height: float) -> list[PerturbationStep]:
    return [
        PerturbationStep(
            configuration="A",
            split=0,
            method="m",
            participant_id=f"sub-{person}",
            session_id="1",
            scan=scan,
            order=order,
            step=step,
            aopc=step * height * weight,
            sd=None,
            drop=None,
        )
        for order, weight in (("morf", 3), ("random", 2), ("lerf", 1))
        for step in range(steps + 1)
    ]


def test_runs_of_one_session_are_averaged() -> None:
    rows = curve(1, "sub-1_run-1", 2, 0.1) + curve(1, "sub-1_run-2", 2, 0.3)
    assert final_areas(rows, "morf") == {"sub-1": pytest.approx((0.6 + 1.8) / 2)}


def test_curves_without_a_step_prove_nothing() -> None:
    def verdict(steps: int) -> CheckVerdict:
        rows = [row for i in range(6) for row in curve(i, f"sub-{i}", steps, 0.1 + 0.01 * i)]
        (found,) = aopc_verdicts(rows)
        return found

    assert verdict(2).passed is True
    assert verdict(0).passed is None
    assert "no step was taken" in verdict(0).verdict
