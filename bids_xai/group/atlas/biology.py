"""Does relevance follow biology? Correlations with volumes and lesion load, by permutation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from bids_xai.arrays import Bools, Floats64, Ints
from bids_xai.core.comparisons import holm
from bids_xai.core.permutation import PERMUTATIONS, CorrelationTests, pearson_permutations
from bids_xai.core.regions.names import joined_sums
from bids_xai.group.atlas.groups import Groups, mean_of
from bids_xai.group.atlas.lesions import LesionValues
from bids_xai.group.atlas.parts import Part
from bids_xai.group.atlas.region_values import View
from bids_xai.group.atlas.volumes import RegionVolumes
from bids_xai.tables.atlas import BiologyRow
from bids_xai.tables.predictions import Prediction

FEWEST = 4
"""Participants of a correlation."""
_WHOLE = "whole map"
_LESION_MASK = "lesion mask"
_ALL = "all"
_LEFT_OUT = ("FN", "TN", "FP")

BiologyOf = Callable[..., BiologyRow]


@dataclass(frozen=True)
class Biology:
    """What is known of the scans themselves, by prediction.

    volumes : atlas → volumes of its regions, of the atlases where any is known
    lesions : load and share of relevance
    """

    volumes: Mapping[str, RegionVolumes]
    lesions: LesionValues

    def of(self, part: Part) -> Biology:
        """That of the maps of one part."""
        volumes = {atlas: values.of(part) for atlas, values in self.volumes.items()}
        return Biology(volumes, self.lesions.of(part))


@dataclass(frozen=True)
class _Sample:
    """Which maps are correlated (n_maps,), who each is of (n_maps,), and the seed of the orders."""

    members: Bools
    participants: npt.NDArray[np.str_]
    seed: int


@dataclass(frozen=True)
class _Correlated:
    """Columns (m,) whose numbers are known of the same participants, their tests and means of y."""

    columns: Ints
    tests: CorrelationTests
    means: Floats64


def biology_rows(
    views: Sequence[View],
    part: Part,
    predictions: Sequence[Prediction],
    groups: Groups,
    biology: Biology,
    seed: int,
) -> Iterator[BiologyRow]:
    """Yield the lines of ``biology.tsv`` of one configuration and method.

    views, predictions, groups, biology : of this part; seed : of the orders that are drawn
    """
    participants = np.array([prediction.participant_id for prediction in predictions], dtype=str)
    joined = {view.atlas for view in views if view.merged}
    correlated = [view for view in views if view.merged or view.atlas not in joined]
    for group, members in _members(groups, len(predictions)).items():
        sample = _Sample(members, participants, seed)
        row = partial(BiologyRow, configuration=part.configuration, method=part.method, group=group)
        for view in correlated:
            yield from _view_rows(view, biology, sample, row)
        yield from _whole_rows(views[0].totals, biology.lesions, sample, row)


def _members(groups: Groups, n_maps: int) -> dict[str, Bools]:
    """Group → which maps (n_maps,): all, the classes and the true positives."""
    usual = {name: groups.members[name] for name in groups.names if name not in _LEFT_OUT}
    return {_ALL: np.ones(n_maps, dtype=bool), **usual}


def _view_rows(
    view: View, biology: Biology, sample: _Sample, row: BiologyOf
) -> Iterator[BiologyRow]:
    volumes = biology.volumes.get(view.atlas)
    if volumes is not None:
        tests = _correlated(view.sums, joined_sums(volumes.ml, view.regions), sample)
        yield from _region_rows(
            view, tests, partial(row, measure="volume", source=volumes.source, seed=sample.seed)
        )
    tests = _correlated(view.sums, biology.lesions.load_ml, sample)
    yield from _region_rows(
        view, tests, partial(row, measure="lesion_load", source=_LESION_MASK, seed=sample.seed)
    )


def _correlated(x: Floats64, y: Floats64, sample: _Sample) -> list[_Correlated]:
    """Correlate x and y (n_maps, m or one) over the participants of whom a column is known.

    A column that fewer than :data:`FEWEST` participants have is left out.
    """
    y_all = np.broadcast_to(y if y.ndim == 2 else y[:, None], x.shape)
    usable = sample.members & np.isfinite(y_all).any(axis=1)
    names = np.unique(sample.participants[usable])
    by_participant = [usable & (sample.participants == name) for name in names]
    if not by_participant:
        return []
    first = np.array([mean_of(x[lines]) for lines in by_participant])
    second = np.array([mean_of(y_all[lines]) for lines in by_participant])
    correlated = []
    defined = np.isfinite(first) & np.isfinite(second)
    patterns, pattern_of = np.unique(defined, axis=1, return_inverse=True)
    for number, participants in enumerate(patterns.T):
        if participants.sum() < FEWEST:
            continue
        columns = np.flatnonzero(pattern_of.ravel() == number)
        a, b = first[participants][:, columns], second[participants][:, columns]
        tests = pearson_permutations(
            a, b if y.ndim == 2 else b[:, 0], permutations=PERMUTATIONS, seed=sample.seed
        )
        correlated.append(_Correlated(columns, tests, b.mean(axis=0)))
    return correlated


def _region_rows(
    view: View, correlated: Sequence[_Correlated], row: BiologyOf
) -> Iterator[BiologyRow]:
    """The tests of regions in the order of the regions, corrected for their number."""
    lines = sorted(
        (
            (region, block, column)
            for block in correlated
            for column, region in enumerate(block.columns.tolist())
        ),
        key=lambda line: line[0],
    )
    p_values = np.array([block.tests.p_value[column] for _, block, column in lines])
    corrected = np.full(p_values.size, np.nan)
    defined = np.isfinite(p_values)
    corrected[defined] = holm(p_values[defined])
    for (number, block, column), p_holm in zip(lines, corrected.tolist(), strict=True):
        region = view.regions[number]
        of_region = partial(row, atlas=view.atlas, index=region.index, name=region.name)
        yield _tested(of_region, block, column, p_holm)


def _tested(row: BiologyOf, correlated: _Correlated, column: int, p_holm: float) -> BiologyRow:
    """The line of one test."""
    tests = correlated.tests
    return row(
        r=float(tests.r[column]),
        p_value=float(tests.p_value[column]),
        p_holm=p_holm,
        n=tests.n,
        n_permutations=tests.n_permutations,
        exact=tests.exact,
        mean=float(correlated.means[column]),
    )


def _whole_rows(
    totals: Floats64, lesions: LesionValues, sample: _Sample, row: BiologyOf
) -> Iterator[BiologyRow]:
    """The sum of the whole map with the lesion load, and the share of relevance in lesions."""
    whole = partial(row, atlas=None, index=None, name=_WHOLE, source=_LESION_MASK)
    for correlated in _correlated(totals[:, None], lesions.load_ml, sample):
        of_load = partial(whole, measure="lesion_load", seed=sample.seed)
        yield _tested(of_load, correlated, 0, float(correlated.tests.p_value[0]))
    usable = sample.members & np.isfinite(lesions.share)
    names = np.unique(sample.participants[usable])
    if names.size:
        by_participant = [usable & (sample.participants == name) for name in names]
        yield whole(
            measure="lesion_share",
            r=None,
            p_value=None,
            p_holm=None,
            n=int(names.size),
            n_permutations=None,
            exact=None,
            seed=None,
            mean=float(np.mean([lesions.share[lines].mean() for lines in by_participant])),
        )
