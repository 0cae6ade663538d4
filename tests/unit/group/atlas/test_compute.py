"""The step as a library: arrays and records in, tables out, no file anywhere."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from atlas_cases import LABELS, SHAPE, atlases, class_of, prediction

from bids_xai.errors import BadDataError
from bids_xai.group.atlas.biology import Biology
from bids_xai.group.atlas.compute import AtlasInputs, PredictedHeatmap, compute
from bids_xai.group.atlas.lesions import LesionValues
from bids_xai.group.atlas.mean_maps import MeanMap, MeanMapKey
from bids_xai.group.atlas.volumes import RegionVolumes
from bids_xai.studies.tables import Target
from bids_xai.tables.atlas import RegionVolume

PEOPLE = ("01", "02", "03", "04", "05", "06")
METHODS = ("m", "n")
N = len(METHODS) * len(PEOPLE)


@pytest.fixture
def maps() -> np.ndarray:
    return np.random.default_rng(0).exponential(size=(N, *SHAPE)).astype(np.float32)


@pytest.fixture
def inputs(maps: np.ndarray) -> AtlasInputs:
    predictions = [
        prediction(
            participant_id=f"sub-{person}",
            session_id=f"ses-{1 + number % 2}",
            split=number // 3,
            method=method,
            true_class=class_of(person),
            outcome="TP" if class_of(person) == "AD" else "TN",
        )
        for method in METHODS
        for number, person in enumerate(PEOPLE)
    ]
    return AtlasInputs(
        predictions=predictions,
        heatmaps=[PredictedHeatmap(data, f"map {number}") for number, data in enumerate(maps)],
        brain=np.ones(SHAPE, bool),
        atlases=atlases(),
        target=Target("diagnosis", "NC", "AD"),
        biology=Biology({}, LesionValues.unknown(N)),
    )


def test_tables_are_made_of_arrays_alone(inputs: AtlasInputs, maps: np.ndarray) -> None:
    means: dict[MeanMapKey, MeanMap] = {}
    tables = compute(inputs, means)
    assert set(means) == {
        MeanMapKey("A", method, group) for method in METHODS for group in ("AD", "NC", "TP", "TN")
    }
    np.testing.assert_allclose(
        means[MeanMapKey("A", "n", "AD")].data, maps[6::2].mean(axis=0), rtol=1e-5
    )
    rows = list(tables.regions)
    assert len(rows) == N * (len(LABELS) + 2)
    labels = atlases()[0].volume.data
    (row,) = [r for r in rows if (r.participant_id, r.method, r.name) == ("sub-03", "n", "Part3_R")]
    assert row.sum == pytest.approx(maps[8][labels == 307].sum(), rel=1e-5)
    (gain,) = [
        g
        for g in tables.gain
        if (g.method, g.name, g.group, g.merged) == ("n", "Part3_R", "AD", False)
    ]
    sums = maps[6:, labels == 307].sum(axis=1)
    assert gain.gain == pytest.approx(sums[0::2].mean() / sums[1::2].mean(), rel=1e-5)
    leading = [
        r.index
        for r in tables.rankings
        if (r.method, r.group, r.metric, r.atlas, r.merged) == ("n", "AD", "sum", "X", True)
    ]
    assert len(leading) == 10
    assert {row.comparison for row in tables.overlap} == {"methods", "splits"}
    assert {row.individual for row in tables.fingerprints} == {"A", "B"}
    assert list(tables.trajectories) == []  # one session each
    assert tables.volumes == []
    assert tables.biology == []


def test_volumes_are_correlated_part_by_part_and_their_lines_passed_on(
    inputs: AtlasInputs, maps: np.ndarray
) -> None:
    rng = np.random.default_rng(1)
    ml = rng.random((N, len(LABELS)))
    line = RegionVolume(scan="s", atlas="X", index=7, name="Stem", volume_ml=1.0)
    biology = Biology({"X": RegionVolumes(ml, "dseg", (line,))}, LesionValues.unknown(N))
    tables = compute(dataclasses.replace(inputs, biology=biology), {})
    assert tables.volumes == [line]
    (row,) = [b for b in tables.biology if (b.method, b.name, b.group) == ("n", "Stem", "all")]
    column = [name for _, name in LABELS].index("Stem")
    sums = maps[6:, atlases()[0].volume.data == 7].sum(axis=1)
    assert row.r == pytest.approx(np.corrcoef(sums, ml[6:, column])[0, 1], abs=1e-5)
    assert (row.n, row.exact, row.n_permutations) == (6, True, 720)


def test_sessions_of_a_participant_make_a_course(inputs: AtlasInputs) -> None:
    rows = [
        dataclasses.replace(row, participant_id="sub-01" if number < 2 else row.participant_id)
        for number, row in enumerate(inputs.predictions)
    ]
    courses = list(compute(dataclasses.replace(inputs, predictions=rows), {}).trajectories)
    assert {(c.participant_id, c.method, c.first_session, c.last_session) for c in courses} == {
        ("sub-01", "m", "ses-1", "ses-2")
    }
    assert len(courses) == len(LABELS) + 2  # sides are not joined


def test_without_an_atlas_there_are_mean_maps_alone(inputs: AtlasInputs) -> None:
    means: dict[MeanMapKey, MeanMap] = {}
    tables = compute(dataclasses.replace(inputs, atlases=[]), means)
    assert len(means) == 8
    assert list(tables.regions) == []
    assert (tables.gain, tables.rankings, tables.biology) == ([], [], [])
    assert {row.atlas for row in tables.overlap} == {None}


def test_a_heatmap_with_holes_is_named(inputs: AtlasInputs, maps: np.ndarray) -> None:
    maps[4, 0, 0, 0] = np.nan
    with pytest.raises(BadDataError, match="undefined") as caught:
        compute(inputs, {})
    assert caught.value.file == "map 4"


def test_a_heatmap_too_few_or_another_order_is_a_mistake_of_the_caller(inputs: AtlasInputs) -> None:
    with pytest.raises(ValueError, match="shorter"):
        compute(dataclasses.replace(inputs, heatmaps=list(inputs.heatmaps)[:-1]), {})
    with pytest.raises(ValueError, match="not sorted"):
        compute(dataclasses.replace(inputs, predictions=inputs.predictions[::-1]), {})
