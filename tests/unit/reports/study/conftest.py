"""Studies with tables, and what the figures of a page are given."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from study_cases import BASELINES, THREE, StudyCase

from bids_xai.reports.study import (
    agreement,
    balance,
    calibration,
    confusion,
    region_spread,
    regions,
    roc,
    training,
)
from bids_xai.reports.study_files import StudyFiles

CURVES: dict[str, ModuleType] = {
    "training_curves": training,
    "share_curves": training,
    "roc_curves": roc,
    "roc_bands": roc,
    "calibration_curves": calibration,
    "confusion_matrices": confusion,
    "balance_dots": balance,
}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    """Two classes, three configurations, two baselines, three splits; only to be read."""
    case = StudyCase(tmp_path_factory.mktemp("two"), baselines=BASELINES)
    for name, k in product("ABC", range(3)):
        case.train(name, k, 10 + k, 5000.0 * (k + 1))
    return case.perform(["A", "B", "C", "svm", "nuclei"]).study


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    """Three classes, two configurations tested of three, a baseline; only to be read."""
    case = StudyCase(tmp_path_factory.mktemp("three"), THREE, baselines=BASELINES[:1])
    return case.perform(["A", "B", "svm"], splits=2).study


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[Any, ...]]:
    """No drawing of curves; what would have been drawn, by the drawing's name."""
    drawn: dict[str, tuple[Any, ...]] = {}

    def instead(name: str) -> Callable[..., bytes]:
        def draw(*given: Any) -> bytes:
            drawn[name] = given
            return b"<svg/>"

        return draw

    for name, module in CURVES.items():
        monkeypatch.setattr(module, name, instead(name))
    return drawn


@pytest.fixture
def study(study_dir: Path) -> StudyFiles:
    """The study of ``study_dir``."""
    return StudyFiles.at(study_dir, "tiny")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """What the figures of regions are given, in the order of the page; they are not drawn."""
    seen: dict[str, list[Any]] = {}

    def record(name: str) -> Any:
        def draw(first: Any, *_: Any, **__: Any) -> bytes:
            seen.setdefault(name, []).append(first)
            return b"<svg/>"

        return draw

    monkeypatch.setattr(regions, "region_bars", record("region_bars"))
    monkeypatch.setattr(region_spread, "region_violins", record("region_violins"))
    monkeypatch.setattr(agreement, "agreement_matrices", record("agreement_matrices"))
    return seen
