"""Does relevance follow biology? Correlations with volumes and lesion load, by permutation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bids_xai.arrays import Bools, Floats64, Ints
from bids_xai.core.comparisons import holm
from bids_xai.core.permutation import PERMUTATIONS, CorrelationTests, pearson_permutations
from bids_xai.core.regions.names import joined_sums
from bids_xai.group.atlas.groups import Groups, mean_of
from bids_xai.group.atlas.region_values import Part, Row, View
from bids_xai.group.atlas.volumes import Biology

FEWEST = 4  # participants of a correlation
_WHOLE = "whole map"

BIOLOGY_COLUMNS = {
    "configuration": "Configuration of the study",
    "method": "Attribution method",
    "atlas": "Atlas; n/a for the whole map",
    "index": "Label value of the region; of joined sides the lower one",
    "name": "Name of the region, its sides joined where it has two; or whole map",
    "group": "all, class of the participants, or TP",
    "measure": "volume: relevance (sum) of the region with its volume; lesion_load: with the "
    "volume of the lesion mask; lesion_share: part of the positive relevance that lies in lesions, "
    "Σ(lm·hm⁺)/Σhm⁺ on the grid of the network",
    "source": "Where the measure comes from: dseg (the atlas warped to the T1w image), table (the "
    "user's) or lesion mask",
    "r": "Pearson's r over participants, whose scans are averaged; n/a where nothing varies",
    "p_value": "Two-sided permutation p, (1 + k) / (1 + n_permutations)",
    "p_holm": "p_value corrected by Holm over the regions of the atlas",
    "n": "Number of participants",
    "n_permutations": "Orders drawn; all there are where exact",
    "exact": "Whether all orders were counted",
    "seed": "Seed of the orders drawn",
    "mean": "Mean of the measure over the participants: ml (as in the user's table), or the share",
}


def biology_rows(
    views: Sequence[View],
    part: Part,
    rows: Sequence[Row],
    groups: Groups,
    known: Biology,
    seed: int,
) -> Iterator[dict[str, Any]]:
    """Yield the lines of ``biology.tsv`` of one configuration and method.

    rows, groups : of this part, as ``known`` is and the views are
    """
    people = np.array([row["participant_id"] for row in rows], dtype=str)
    chosen = {"all": np.ones(len(rows), dtype=bool)}
    chosen |= {n: groups.members[n] for n in groups.names if n not in ("FN", "TN", "FP")}
    joined = {view.atlas for view in views if view.merged}
    for group, members in chosen.items():
        about = {
            "configuration": part.configuration,
            "method": part.method,
            "group": group,
            "seed": seed,
        }
        for view in views:
            if view.atlas in joined and not view.merged:
                continue
            volumes = _of_view(known.volumes.get(view.atlas), view)
            for measure, values, source in (
                ("volume", volumes, known.source.get(view.atlas, "")),
                ("lesion_load", known.lesion_load, "lesion mask"),
            ):
                if values is None:
                    continue
                found = _correlated(view.sums, values, members, people, seed)
                more = {**about, "measure": measure, "source": source}
                yield from _region_rows(view, found, more)
        yield from _whole_rows(views[0].totals, known, members, people, about)


def _of_view(volumes: Floats64 | None, view: View) -> Floats64 | None:
    return None if volumes is None else joined_sums(volumes, view.regions)


@dataclass(frozen=True)
class _Correlated:
    """Columns (m,) whose numbers are known of the same participants, their tests and means of y."""

    columns: Ints
    tests: CorrelationTests
    means: Floats64


def _correlated(
    x: Floats64, y: Floats64, members: Bools, people: Any, seed: int
) -> list[_Correlated]:
    """Correlate x and y (n_maps, m or one) over the participants of whom a column is known.

    A column that fewer than :data:`FEWEST` participants have is left out.
    """
    y_all = np.broadcast_to(y if y.ndim == 2 else y[:, None], x.shape)
    usable = members & np.isfinite(y_all).any(axis=1)
    by_person = [usable & (people == name) for name in np.unique(people[usable])]
    if not by_person:
        return []
    first = np.array([mean_of(x[mine]) for mine in by_person])
    second = np.array([mean_of(y_all[mine]) for mine in by_person])
    known = np.isfinite(first) & np.isfinite(second)
    found = []
    patterns, pattern_of = np.unique(known, axis=1, return_inverse=True)
    for number, those in enumerate(patterns.T):
        if those.sum() < FEWEST:
            continue
        columns = np.flatnonzero(pattern_of.ravel() == number)
        a, b = first[those][:, columns], second[those][:, columns]
        tests = pearson_permutations(
            a, b if y.ndim == 2 else b[:, 0], permutations=PERMUTATIONS, seed=seed
        )
        found.append(_Correlated(columns, tests, b.mean(axis=0)))
    return found


def _region_rows(
    view: View, found: Sequence[_Correlated], about: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    lines = sorted(
        (int(place), one, column) for one in found for column, place in enumerate(one.columns)
    )
    p_values = np.array([one.tests.p_value[column] for _, one, column in lines])
    corrected = np.full(p_values.size, np.nan)
    defined = np.isfinite(p_values)
    corrected[defined] = holm(p_values[defined])
    for (place, one, column), p_holm in zip(lines, corrected, strict=True):
        region, tests = view.regions[place], one.tests
        yield {
            **about,
            "atlas": view.atlas,
            "index": region.index,
            "name": region.name,
            "r": tests.r[column],
            "p_value": tests.p_value[column],
            "p_holm": p_holm,
            "n": tests.n,
            "n_permutations": tests.n_permutations,
            "exact": tests.exact,
            "mean": one.means[column],
        }


def _whole_rows(
    totals: Floats64, known: Biology, members: Bools, people: Any, about: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """The sum of the whole map with the lesion load, and the share of relevance in lesions."""
    common = {**about, "name": _WHOLE, "source": "lesion mask"}
    for one in _correlated(totals[:, None], known.lesion_load, members, people, about["seed"]):
        tests = one.tests
        yield {
            **common,
            "measure": "lesion_load",
            "r": tests.r[0],
            "p_value": tests.p_value[0],
            "p_holm": tests.p_value[0],
            "n": tests.n,
            "n_permutations": tests.n_permutations,
            "exact": tests.exact,
            "mean": one.means[0],
        }
    usable = members & np.isfinite(known.lesion_share)
    names = np.unique(people[usable])
    if names.size:
        shares = [known.lesion_share[usable & (people == name)].mean() for name in names]
        yield {
            **common,
            "measure": "lesion_share",
            "n": names.size,
            "seed": None,
            "mean": float(np.mean(shares)),
        }
