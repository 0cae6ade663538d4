"""Units of work are done once, kept, and done again when anything they depend on changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bids_xai.bids.files import TEMPORARY
from bids_xai.group.units import Unit, Units
from bids_xai.runtime.progress import Progress


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    (tmp_path / "input.txt").write_text("in")
    folder = tmp_path / "out"
    folder.mkdir()
    return Unit("work", folder / "stamp.json", (tmp_path / "input.txt",), {"seed": 1}, n_items=3)


@pytest.fixture
def make(tmp_path: Path) -> Callable[[], list[Path]]:
    def write() -> list[Path]:
        (tmp_path / "out" / "result.txt").write_text("result")
        return [tmp_path / "out" / "result.txt"]

    return write


def test_a_unit_is_done_once(tmp_path: Path, unit: Unit, make: Callable[[], list[Path]]) -> None:
    progress = Progress("items", 6)
    units = Units(tmp_path, progress)
    assert not units.is_current(unit)
    assert units.outputs(unit) == []
    assert units.run(unit, make)
    assert progress.done == 0  # the work counts its items by itself
    assert not units.run(unit, make)
    assert progress.done == 3
    assert units.is_current(unit)
    assert units.outputs(unit) == [tmp_path / "out" / "result.txt"]


@pytest.mark.parametrize("change", ["input", "option", "output"])
def test_a_change_makes_it_again(
    tmp_path: Path, unit: Unit, make: Callable[[], list[Path]], change: str
) -> None:
    units = Units(tmp_path)
    units.run(unit, make)
    if change == "input":
        (tmp_path / "input.txt").write_text("other")
    elif change == "option":
        unit = replace(unit, options={"seed": 2})
    else:
        (tmp_path / "out" / "result.txt").unlink()
    assert not units.is_current(unit)
    assert units.run(unit, make)
    assert units.is_current(unit)


def test_what_is_not_written_again_goes(
    tmp_path: Path, unit: Unit, make: Callable[[], list[Path]]
) -> None:
    def more() -> list[Path]:
        (tmp_path / "out" / "extra.txt").write_text("extra")
        return [*make(), tmp_path / "out" / "extra.txt"]

    units = Units(tmp_path)
    units.run(unit, more)
    (tmp_path / "out" / f"{TEMPORARY}1").write_text("half")
    units.run(replace(unit, options={}), make)
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names == ["result.txt", "stamp.json"]


def test_a_failure_leaves_no_stamp(tmp_path: Path, unit: Unit) -> None:
    def fail() -> list[Path]:
        raise ValueError("no")

    units = Units(tmp_path)
    with pytest.raises(ValueError, match="no"):
        units.run(unit, fail)
    assert not unit.stamp.exists()
    assert not units.is_current(unit)
