"""Units of work: what is up to date is kept, what is not is done again, whole or not at all.

A step cuts its work into units (a split of a configuration, an analysis). A unit leaves a stamp
among its outputs: a digest of what went in, and which files came out. An interrupted run goes on at
the first unit without a valid stamp. A long unit may keep a checkpoint, which a marker beside it
says whose it is.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import bids_xai
from bids_xai.bids.files import write_text
from bids_xai.bids.integrity import check_intact
from bids_xai.bids.stamps import (
    fingerprint,
    remove_leftovers,
    stamped_outputs,
    what_changed,
    write_stamp,
)
from bids_xai.errors import NoInputError
from bids_xai.group.context import LOG
from bids_xai.runtime.progress import Progress
from bids_xai.runtime.run_lock import alone_in

MARKER = "run.txt"


@dataclass(frozen=True)
class Unit:
    """A piece of work that is done once and kept.

    title : as the log names it (``heatmaps of A, split 0``)
    stamp : file that tells that it is done
    inputs : files it depends on, by name, size and time of change
    options : all else that decides on its result, as JSON can hold it; the version is added
    n_items : how much it is of what the progress counts
    root : folder that its outputs lie below; None: that of its :class:`Units`
    shares_folder : whether other units have their files beside its stamp, so that what is being
        written there may be theirs
    keeps_checkpoint : whether the folder of the stamp, which is the unit's alone, may hold a
        checkpoint: it stays for the next run of the same digest, and goes before one of another
    step : of the group level that does it, for those who find its outputs damaged
    provenance : what else the stamp says of how the outputs were made
    """

    title: str
    stamp: Path
    inputs: tuple[Path, ...]
    options: Mapping[str, Any]
    n_items: float = 1.0
    root: Path | None = None
    shares_folder: bool = False
    keeps_checkpoint: bool = False
    step: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def marker(self) -> Path:
        """File that holds the digest of a run that has begun, where it keeps a checkpoint."""
        return self.stamp.with_name(MARKER)

    @property
    def digest(self) -> str:
        """Digest of inputs, options and the version. Raises ``NoInputError`` where one lacks."""
        try:
            return fingerprint(self.inputs, {**self.options, "version": bids_xai.__version__})
        except FileNotFoundError as error:
            raise NoInputError(
                "a file that this step needs is gone, or a table of an earlier step names another",
                file=error.filename,
                fix="run --steps cohort again, and the steps after it",
            ) from error


class Team(Protocol):
    """Processes that do a unit together, each from the same call; one of them writes."""

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes."""

    def wait(self) -> None:
        """Return once all processes have come here."""


class Alone:
    """A team of one process."""

    leads = True

    def wait(self) -> None:
        """Return: there is nobody to wait for."""


class Units:
    """Does the units of one step, one after the other.

    root : folder that all outputs lie below
    progress : counts the items of the units; None: nobody counts
    team : the processes that do every unit together
    """

    def __init__(
        self, root: Path, progress: Progress | None = None, team: Team | None = None
    ) -> None:
        self.root, self.progress = root, progress
        self.team: Team = Alone() if team is None else team

    def is_current(self, unit: Unit) -> bool:
        """Tell whether the unit need not be done: its stamp fits and its outputs are there."""
        return not what_changed(unit.stamp, unit.digest, self._root(unit))

    def keep(self, units: Sequence[Unit]) -> bool:
        """Tell whether none of the units is to be done; if so, say and count it, as :meth:`run`."""
        if not all(map(self.is_current, units)):
            return False
        for unit in units:
            self._skip(unit)
        return True

    def outputs(self, unit: Unit) -> list[Path]:
        """Return the files that a unit left, sorted; none where it has not been done."""
        return sorted(stamped_outputs(unit.stamp, self._root(unit)))

    def run(self, unit: Unit, make: Callable[[], Iterable[Path]]) -> bool:
        """Do the unit unless it is up to date; tell whether it was done now.

        make : does the work and returns the files it wrote (in a process that does not lead:
            none); it steps the progress by itself.
        Raises :class:`BadDataError` where an input is not what its own step wrote.
        Files of an earlier run that are not written again are removed, and so is what a killed
        process was writing beside the stamp and the outputs, unless the unit shares that folder.
        """
        with self._alone(unit):
            return self._run(unit, make)

    def _alone(self, unit: Unit) -> contextlib.AbstractContextManager[None]:
        """Within it, nobody else writes the checkpoint of a unit that keeps one.

        Raises :class:`OtherRunError`. Runs that do other units exclude each other by their study.
        """
        locks = unit.keeps_checkpoint and self.team.leads
        return alone_in(unit.stamp.parent) if locks else contextlib.nullcontext()

    def _run(self, unit: Unit, make: Callable[[], Iterable[Path]]) -> bool:
        digest = unit.digest
        reason = what_changed(unit.stamp, digest, self._root(unit))
        if not reason:
            self._skip(unit)
            return False
        LOG.debug("%s: done, since %s", unit.title, reason)
        if self.team.leads:
            check_intact(unit.inputs)
            _begin(unit, digest)
        self.team.wait()  # nobody looks for a checkpoint before that
        written = set(make())
        if self.team.leads:
            self._finish(unit, digest, written)
        self.team.wait()
        return True

    def _skip(self, unit: Unit) -> None:
        LOG.info("%s: up to date", unit.title)
        if self.progress is not None:
            self.progress.skip(unit.n_items)

    def _finish(self, unit: Unit, digest: str, written: set[Path]) -> None:
        before = stamped_outputs(unit.stamp, self._root(unit))
        folders = {unit.stamp.parent, *(path.parent for path in written)}
        if unit.shares_folder:
            folders = set()
        remove_leftovers(before - written, folders)
        provenance = {"step": unit.step, **unit.provenance}
        write_stamp(unit.stamp, digest, self._root(unit), written, **provenance)
        if unit.keeps_checkpoint:
            unit.marker.unlink(missing_ok=True)

    def _root(self, unit: Unit) -> Path:
        return self.root if unit.root is None else unit.root


def _begin(unit: Unit, digest: str) -> None:
    """Keep the checkpoint of an interrupted run of the same unit, drop any other."""
    if not unit.keeps_checkpoint:
        return
    if not unit.marker.is_file() or unit.marker.read_text() != digest:
        shutil.rmtree(unit.stamp.parent, ignore_errors=True)
    unit.stamp.parent.mkdir(parents=True, exist_ok=True)
    write_text(unit.marker, digest)
