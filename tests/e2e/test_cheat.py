"""Does guidance remove a shortcut, or hide it? Networks on cohorts whose shortcut is known.

Six trainings, so it runs on demand: ``make experiments``. The whole figure over more weights:
``benchmarks/cheat.py``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conftest import on_demand

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

pytestmark = on_demand("EXPERIMENTS", "trainings on many scans: run `make experiments`")

EFFECTS = (15.0, 60.0)
STRONG = 5.0  # guidance weight

Result = dict[str, float]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[float, float], Result]:
    """Effect and guidance weight → result; weight 0 is configuration A, others C."""
    from cheat import Plan, experiment

    plan = Plan(tmp_path_factory.mktemp("cheat"), "megre", 160, 45, 3e-4)
    rows = experiment(plan, EFFECTS, (0.0, 1.0, STRONG), repeats=1, workers=2)
    return {(row["effect"], row["weight"]): row for row in rows}


def fall(row: Result) -> float:
    """Accuracy that the network loses with the marker."""
    return row["with_marker"] - row["without_marker"]


def test_a_plain_network_takes_the_shortcut(found: dict[tuple[float, float], Result]) -> None:
    """Where the true effect is weak; beside a strong one it depends on the training."""
    plain = found[15.0, 0.0]
    assert plain["with_marker"] > 0.8
    assert plain["outside"] > 0.3
    assert fall(plain) > 0.2


def test_strong_guidance_makes_it_let_go(found: dict[tuple[float, float], Result]) -> None:
    plain, guided = found[15.0, 0.0], found[15.0, STRONG]
    assert guided["outside"] <= plain["outside"] / 5
    assert fall(guided) <= 2 / 3 * fall(plain)
    assert guided["without_marker"] > plain["without_marker"] + 0.1
    assert guided["on_marker"] < plain["on_marker"]


def test_beside_a_strong_effect_the_marker_hardly_matters_to_a_guided_network(
    found: dict[tuple[float, float], Result],
) -> None:
    plain, guided = found[60.0, 0.0], found[60.0, STRONG]
    assert guided["outside"] <= plain["outside"] / 5
    assert fall(guided) < 0.1
    assert guided["without_marker"] > 0.9


def test_weak_guidance_beside_a_weak_effect_hides_more_than_it_removes(
    found: dict[tuple[float, float], Result],
) -> None:
    """What a heatmap alone would not tell: relevance leaves the marker, its use does not."""
    plain, guided = found[15.0, 0.0], found[15.0, 1.0]
    assert guided["outside"] < plain["outside"] / 2
    assert fall(guided) > 0.1
