"""Does SpRAy's audit name a cheat that it knows nothing of, and is it silent without one?

Two cohorts and trainings, so it runs on demand: ``make experiments``. More seeds, and a cohort
with more iron: ``benchmarks/strategies.py``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conftest import on_demand
from sklearn.metrics import adjusted_rand_score

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

pytestmark = on_demand("EXPERIMENTS", "trainings on many scans: run `make experiments`")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``cheat`` and ``honest``: the same people with and without markers, trained and grouped."""
    from strategies import parser, run_all

    folder = tmp_path_factory.mktemp("strategies")
    run_all(parser().parse_args([str(folder)]))
    return folder


def test_the_group_that_cheats_is_named(work: Path) -> None:
    """The third of the patients with a marker, and where the marker is."""
    from strategies import judged

    (folder,) = work.glob("cheat-*")
    _, marked, named, verdicts = judged(folder)
    assert sum(marked) >= 10
    assert adjusted_rand_score(marked, named) >= 0.8
    (suspicious,) = [row["verdict"] for row in verdicts if row["finding"] == "suspicious"]
    assert "outside the brain" in suspicious
    assert "from the middle of the image" in suspicious


def test_honest_people_raise_no_suspicion(work: Path) -> None:
    from strategies import judged

    (folder,) = work.glob("honest-*")
    _, marked, named, verdicts = judged(folder)
    assert not any(marked)
    assert not any(named), verdicts
