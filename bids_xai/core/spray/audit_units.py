"""The units of an audit: participants, each with the cluster of most of its scans.

Repeated scans are not independent, so numbers of a participant are means. A participant whose text
differs between scans (two scanners) is one unit for each value, with the cluster of most of the
scans that have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_xai.arrays import Floats64, Ints
from bids_xai.core.spray.audit_words import EXPECTED, MODEL, Covariate


@dataclass(frozen=True)
class AuditUnits:
    """Units of a test: cluster, class, stratum and value (m,) of each."""

    clusters: Ints
    classes: Ints
    strata: Ints
    values: npt.NDArray[np.str_] | Floats64

    @property
    def codes(self) -> Ints:
        """The values as numbers from 0 (m,)."""
        return codes_of(list(self.values))


@dataclass(frozen=True)
class AuditedScans:
    """Cluster, class, split and participant of each scan (n,), as numbers from 0."""

    labels: Ints
    classes: Ints
    splits: Ints
    people: Ints
    turns: Floats64
    """Of a participant's splits the one with the least number comes first (drawn by lot)."""

    @classmethod
    def of(cls, labels: Ints, classes: Ints, splits: Ints, people: Ints, seed: int) -> AuditedScans:
        """Draw by participant and split, whatever the order of the scans."""
        shape = int(people.max()) + 1, int(splits.max()) + 1
        turns = np.random.default_rng(seed).random(shape)[people, splits]
        return cls(labels, classes, splits, people, turns)

    def units(self, covariate: Covariate) -> AuditUnits:
        """The participants that have a value, each once for every text that its scans have.

        Of a participant that several models were tested on, one split counts, drawn by lot: its
        scans there share a stratum, and every model has its participants.
        """
        scans = self._counting(covariate)
        values = covariate.values[scans]
        codes = (
            codes_of(list(values)) if covariate.is_text else np.zeros(values.size, dtype=np.int64)
        )
        units = self.people[scans] * (codes.max() + 1) + codes
        _, first, whose = np.unique(units, return_index=True, return_inverse=True)
        votes = np.zeros((first.size, int(self.labels.max()) + 1))
        np.add.at(votes, (whose, self.labels[scans]), 1)
        of_units = values[first]
        if not covariate.is_text:
            of_units = np.bincount(whose, weights=values.astype(np.float64)) / np.bincount(whose)
        representatives = scans[first]
        return AuditUnits(
            votes.argmax(axis=1).astype(np.int64),
            self.classes[representatives],
            self._strata(representatives, covariate).astype(np.int64),
            of_units,
        )

    def _counting(self, covariate: Covariate) -> Ints:
        """Numbers of the scans that have a value and are of their participant's split by lot."""
        scans = np.flatnonzero(covariate.present)
        scans = scans[np.argsort(self.turns[scans], kind="stable")]
        _, first, whose = np.unique(self.people[scans], return_index=True, return_inverse=True)
        return np.sort(scans[self.splits[scans] == self.splits[scans[first]][whose]])

    def _strata(self, scans: Ints, covariate: Covariate) -> Ints:
        """Within what (m,) a covariate is tested: classes, splits, or both."""
        classes, splits = self.classes[scans], self.splits[scans]
        if covariate.misplaced:
            return splits
        if covariate.kind == EXPECTED:
            return splits
        if covariate.kind == MODEL:
            return classes
        both: Ints = classes + splits * (1 + self.classes.max())
        return both


def codes_of(names: Sequence[str]) -> Ints:
    """Names as numbers from 0 (n,), in the order of the names."""
    return np.unique(np.asarray(names), return_inverse=True)[1].astype(np.int64)
