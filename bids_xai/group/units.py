"""Units of work: what is up to date is kept, what is not is done again, whole or not at all.

A step cuts its work into units (a split of a configuration, an analysis). A unit leaves a stamp
among its outputs: a digest of what went in, and which files came out. An interrupted run goes on at
the first unit without a valid stamp.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bids_xai
from bids_xai.bids.stamps import (
    fingerprint,
    remove_leftovers,
    stamped_outputs,
    what_changed,
    write_stamp,
)
from bids_xai.group.context import LOG
from bids_xai.runtime.progress import Progress


@dataclass(frozen=True)
class Unit:
    """A piece of work that is done once and kept.

    title : as the log names it (``heatmaps of A, split 0``)
    stamp : file that tells that it is done
    inputs : files it depends on, by name, size and time of change
    options : all else that decides on its result, as JSON can hold it; the version is added
    n_items : how much it is of what the progress counts
    """

    title: str
    stamp: Path
    inputs: tuple[Path, ...]
    options: Mapping[str, Any]
    n_items: float = 1.0

    @property
    def digest(self) -> str:
        """Digest of inputs, options and the version. Raises OSError for an input that is gone."""
        return fingerprint(self.inputs, {**self.options, "version": bids_xai.__version__})


class Units:
    """Does the units of one step, one after the other.

    root : folder that all outputs lie below
    progress : counts the items of the units; None: nobody counts
    """

    def __init__(self, root: Path, progress: Progress | None = None) -> None:
        self.root, self.progress = root, progress

    def is_current(self, unit: Unit) -> bool:
        """Tell whether the unit need not be done: its stamp fits and its outputs are there."""
        return not what_changed(unit.stamp, unit.digest, self.root)

    def outputs(self, unit: Unit) -> list[Path]:
        """Return the files that a unit left, sorted; none where it has not been done."""
        return sorted(stamped_outputs(unit.stamp, self.root))

    def run(self, unit: Unit, make: Callable[[], Iterable[Path]]) -> bool:
        """Do the unit unless it is up to date; tell whether it was done now.

        make : does the work and returns the files it wrote; it steps the progress by itself.
        Files of an earlier run that are not written again are removed, and so is what a killed
        process was writing beside the stamp.
        """
        digest = unit.digest
        reason = what_changed(unit.stamp, digest, self.root)
        if not reason:
            LOG.info("%s: up to date", unit.title)
            if self.progress is not None:
                self.progress.skip(unit.n_items)
            return False
        LOG.debug("%s: done, since %s", unit.title, reason)
        before = stamped_outputs(unit.stamp, self.root)
        written = set(make())
        remove_leftovers(before - written, [unit.stamp.parent])
        write_stamp(unit.stamp, digest, self.root, written)
        return True
