"""Units of work are done once, kept, and done again when anything they depend on changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bids_xai.errors import NoInputError, OtherRunError
from bids_xai.group.units import Unit, Units
from bids_xai.runtime.atomic import TEMPORARY
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


def test_units_are_kept_together_or_not_at_all(
    tmp_path: Path, unit: Unit, make: Callable[[], list[Path]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "bids_xai")
    progress = Progress("items", 6)
    units = Units(tmp_path, progress)
    other = replace(unit, title="more", stamp=unit.stamp.with_name("other.json"))
    units.run(unit, make)
    assert not units.keep([unit, other])
    assert (progress.done, caplog.messages) == (0, [])
    units.run(other, make)
    assert units.keep([unit, other])
    assert (progress.done, caplog.messages) == (6, ["work: up to date", "more: up to date"])


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


def test_what_a_killed_process_was_writing_goes_from_every_folder_of_the_unit(
    tmp_path: Path, unit: Unit, make: Callable[[], list[Path]]
) -> None:
    """The step atlas has its stamp in one folder and mean maps in another."""
    begun = tmp_path / "means" / f"{TEMPORARY}1"
    begun.parent.mkdir()
    begun.write_text("half")

    def more() -> list[Path]:
        (begun.parent / "mean.txt").write_text("mean")
        return [*make(), begun.parent / "mean.txt"]

    Units(tmp_path).run(unit, more)
    assert [file.name for file in begun.parent.iterdir()] == ["mean.txt"]


def test_an_input_that_is_gone_is_named(tmp_path: Path, unit: Unit) -> None:
    (tmp_path / "input.txt").unlink()
    with pytest.raises(NoInputError, match=r"gone.*--steps cohort") as caught:
        Units(tmp_path).is_current(unit)
    assert caught.value.file == str(tmp_path / "input.txt")


def test_a_failure_leaves_no_stamp(tmp_path: Path, unit: Unit) -> None:
    def fail() -> list[Path]:
        raise ValueError("no")

    units = Units(tmp_path)
    with pytest.raises(ValueError, match="no"):
        units.run(unit, fail)
    assert not unit.stamp.exists()
    assert not units.is_current(unit)


def test_a_shared_folder_is_not_cleared_of_what_others_write(
    tmp_path: Path, unit: Unit, make: Callable[[], list[Path]]
) -> None:
    (tmp_path / "out" / f"{TEMPORARY}1").write_text("half")
    Units(tmp_path).run(replace(unit, shares_folder=True), make)
    assert (tmp_path / "out" / f"{TEMPORARY}1").is_file()
    Units(tmp_path).run(replace(unit, options={}), make)
    assert not (tmp_path / "out" / f"{TEMPORARY}1").exists()


def test_a_unit_may_have_a_root_of_its_own(
    tmp_path: Path, unit: Unit, make: Callable[[], list[Path]]
) -> None:
    units, own = Units(tmp_path / "elsewhere"), replace(unit, root=tmp_path / "out")
    units.run(own, make)
    assert json.loads(unit.stamp.read_text())["outputs"].keys() == {"result.txt"}
    assert units.is_current(own)
    assert units.outputs(own) == [tmp_path / "out" / "result.txt"]


@pytest.fixture
def long(tmp_path: Path, unit: Unit) -> Unit:
    """A unit that keeps a checkpoint."""
    return replace(unit, keeps_checkpoint=True)


def interrupted(tmp_path: Path) -> Callable[[], list[Path]]:
    """Work that writes a checkpoint, then dies."""

    def write() -> list[Path]:
        (tmp_path / "out" / "checkpoint").write_text("half")
        raise InterruptedError

    return write


def test_the_checkpoint_of_the_same_run_is_there_and_of_another_is_not(
    tmp_path: Path, long: Unit, make: Callable[[], list[Path]]
) -> None:
    units, seen = Units(tmp_path), []

    def goes_on() -> list[Path]:
        seen.append((tmp_path / "out" / "checkpoint").is_file())
        return make()

    for other, expected in ((long, True), (replace(long, options={}), False)):
        with pytest.raises(InterruptedError):
            units.run(long, interrupted(tmp_path))
        assert long.marker.read_text() == long.digest
        units.run(other, goes_on)
        assert seen.pop() == expected
        assert not long.marker.exists()
        (tmp_path / "out" / "result.txt").unlink()


def test_what_a_finished_unit_left_goes_before_it_is_done_again(
    tmp_path: Path, long: Unit, make: Callable[[], list[Path]]
) -> None:
    units = Units(tmp_path)
    units.run(long, make)
    (tmp_path / "out" / "stray.txt").write_text("x")
    units.run(replace(long, options={}), make)
    assert not (tmp_path / "out" / "stray.txt").exists()


def test_one_process_of_a_team_writes_and_all_wait_for_it(
    tmp_path: Path, long: Unit, make: Callable[[], list[Path]]
) -> None:
    events: list[str] = []

    class Follower:
        leads = False

        def wait(self) -> None:
            events.append("wait")

    def follow() -> list[Path]:
        events.append("work")
        return []

    assert Units(tmp_path, team=Follower()).run(long, follow)
    assert events == ["wait", "work", "wait"]
    assert not long.stamp.exists()
    assert not long.marker.exists()
    Units(tmp_path).run(long, make)
    assert not Units(tmp_path, team=Follower()).run(long, follow)


def test_two_runs_do_not_share_a_checkpoint(
    tmp_path: Path, unit: Unit, make: Callable[[], list[Path]]
) -> None:
    """Array tasks of other trainings, in folders beside it, go on."""
    training = replace(unit, keeps_checkpoint=True)
    beside = replace(training, stamp=tmp_path / "split-1" / "stamp.json")
    calls = []

    def make_while_another_tries() -> list[Path]:
        with pytest.raises(OtherRunError, match="another run is working here"):
            Units(tmp_path).run(training, lambda: calls.append(1) or [])
        assert Units(tmp_path).run(beside, list)
        assert training.marker.read_text() == training.digest
        return make()

    assert Units(tmp_path).run(training, make_while_another_tries)
    assert calls == []
    assert not list(tmp_path.glob(".*"))
