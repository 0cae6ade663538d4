"""What a baseline sees of a scan, by hand."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from baseline_cases import TEMPLATE, N, brain, labels, lesions, noise, place, save, with_input

from bids_xai.bids.images import Volume
from bids_xai.errors import BadDataError, NoInputError
from bids_xai.group.baselines import features as baseline_features
from bids_xai.group.baselines.features import Features, files_behind, measure
from bids_xai.group.context import GroupContext
from bids_xai.group.scans import Scan
from bids_xai.templates.lookup import Atlas


def measure_in(context: GroupContext, kind: str, scans: list[Scan]) -> Features:
    """The features of scans of the study of a context."""
    return measure(kind, scans, context.study.input, context.template)


def files_in(context: GroupContext, kind: str, scans: list[Scan]) -> list[Path]:
    """The files behind these features."""
    return files_behind(kind, scans, context.study.input, context.template)


def test_voxels_are_those_of_the_network_where_half_the_brains_are(context: GroupContext) -> None:
    scans = context.scans()
    found = measure_in(context, "volume", scans)
    assert found.values.dtype == np.float32
    for chosen_scans in (scans[:4], [scans[0], scans[1]], [scans[1], scans[2], scans[3]]):
        wanted = np.mean([brain(int(s.participant)) for s in chosen_scans], axis=0) >= 0.5
        chosen = found.selected(chosen_scans)
        for scan in (scans[4], scans[5]):
            i = int(scan.participant)
            expected = (noise(i) * brain(i) / 40)[wanted]
            assert np.allclose(found.of([scan], chosen)[0], expected, atol=1e-6)


def test_voxels_are_never_below_4_mm(context: GroupContext) -> None:
    scans = context.scans()[:2]
    for scan in scans:
        i = int(scan.participant)
        fine = [np.kron(x, np.ones((2, 2, 2), x.dtype)) for x in (noise(i), brain(i))]
        affine = np.diag([2.0, 2.0, 2.0, 1.0])
        for file, data in zip((scan.map_file, scan.mask_file), fine, strict=True):
            save(file, data, affine)
    sizes = [
        measure_in(with_input(context, voxel_mm=edge), "volume", scans).values.shape[1]
        for edge in (0.0, 1.0, 4.0, 8.0)
    ]
    assert sizes[0] == sizes[1] == sizes[2]
    assert brain(0).sum() <= sizes[0] < 1.5 * brain(0).sum()
    assert sizes[3] < sizes[0] / 4


def test_regions_are_means_within_the_brain(context: GroupContext) -> None:
    scans = context.scans()
    data = noise(1)
    data[4, 4, 3], data[4, 5, 3], data[5, 5, 3] = np.nan, 1e6, -50  # unknown, capped, cut
    save(scans[1].map_file, data)
    found = measure_in(context, "regions", scans)
    assert found.values.shape == (N, 2)
    for row in (1, 2):
        values = np.clip(data if row == 1 else noise(row), 0, 100) / 40
        for column, index in enumerate((7, 300)):
            inside = (labels() == index) & (brain(row) > 0)
            assert found.values[row, column] == pytest.approx(np.nanmean(values[inside]), rel=1e-5)
    assert found.selected(scans[:2]).all()


def test_regions_are_on_the_scale_of_the_input(context: GroupContext) -> None:
    scans = context.scans()
    found = measure_in(with_input(context, scaling="minmax"), "regions", scans[:1]).values[0]
    inside = noise(0)[brain(0) > 0]
    region = noise(0)[(labels() == 300) & (brain(0) > 0)]
    assert found[1] == pytest.approx(
        ((region - inside.min()) / (inside.max() - inside.min())).mean(), rel=1e-5
    )


def test_regions_that_a_scan_lacks_are_undefined(context: GroupContext) -> None:
    scans = context.scans()
    file = place(context.output_dir, "03", "dseg", space="T1w", atlas="Mine")
    save(file, labels(shift=2))
    found = measure_in(context, "regions", scans[:4]).values
    assert np.isnan(found).tolist() == [[False, True, False]] * 3 + [[True, False, False]]


def test_the_first_atlas_that_all_have_is_taken(context: GroupContext) -> None:
    scans = context.scans()
    for scan in scans:
        other = np.where(labels() == 300, 5, 0).astype(np.int16)
        save(place(context.output_dir, scan.participant, "dseg", space="T1w", atlas="Last"), other)
    save(place(context.output_dir, "00", "dseg", space="T1w", atlas="Extra"), labels())
    assert measure_in(context, "regions", scans).values.shape == (N, 1)
    behind = files_in(context, "regions", scans)
    assert {file.name.split("atlas-")[1] for file in behind if "atlas" in file.name} == {
        "Last_dseg.nii.gz"
    }
    for scan in scans[:1]:
        for file in scan.map_file.parent.glob("*dseg.nii.gz"):
            file.unlink()
    with pytest.raises(NoInputError, match=r"not all scans have an atlas.*--atlas"):
        measure_in(context, "regions", scans)


def test_a_mask_of_another_shape_is_named(context: GroupContext) -> None:
    scans = context.scans()
    save(scans[2].mask_file, brain(0)[:-1])
    with pytest.raises(BadDataError, match="sub-02"):
        measure_in(context, "regions", scans)


def test_in_template_space_the_templates_own_atlas_counts(
    context: GroupContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its grid is twice as coarse: a voxel of it covers eight of the map."""
    coarse = np.zeros((5, 6, 4), np.int32)
    coarse[2, 2, 2], coarse[3, 3, 1] = 4000, 3
    affine = np.diag([8.0, 8.0, 8.0, 1.0])
    affine[:3, 3] = 2.0
    asked: list[Any] = []

    def load(space: Any) -> Atlas | None:
        asked.append(space)
        return Atlas("Own", Volume(coarse, affine), ()) if len(asked) == 1 else None

    monkeypatch.setattr(baseline_features, "load_atlas", load)
    scans = context.scans()
    template = with_input(context, space="template")
    found = measure_in(template, "regions", scans[:3]).values
    assert str(asked[0]) == f"{TEMPLATE}:res-2"
    for row in range(3):
        for column, start in enumerate(((6, 6, 2), (4, 4, 4))):
            block = tuple(slice(k, k + 2) for k in start)
            inside = brain(row)[block] > 0
            expected = noise(row)[block][inside].mean() / 40
            assert found[row, column] == pytest.approx(expected, rel=1e-5)
    assert not [f for f in files_in(template, "regions", scans) if "dseg" in f.name]
    with pytest.raises(NoInputError, match="no atlas for"):
        measure_in(template, "regions", scans)


def test_lesion_load_is_in_ml(context: GroupContext, caplog: pytest.LogCaptureFixture) -> None:
    scans = context.scans()
    uneven = np.array([[0, -2, 0, 9], [3, 0, 0, 8], [0, 0, 4, 7], [0, 0, 0, 1.0]])
    out = context.output_dir
    for i in (1, 3, 4):
        save(place(out, f"{i:02d}", "mask", space="T1w", label="lesion"), lesions(10 * i), uneven)
        other = {"space": TEMPLATE, "label": "lesion"}
        save(place(out, f"{i:02d}", "mask", res="2", **other), lesions(5 * i), uneven)
        save(place(out, f"{i:02d}", "mask", res="1", **other), lesions(7 * i), uneven)
    with caplog.at_level(logging.WARNING, "bids_xai"):
        found = measure_in(context, "lesion-load", scans)
    assert found.values.shape == (N, 1)
    expected = np.zeros(N)
    expected[[1, 3, 4]] = np.array([10, 30, 40]) * 24 / 1000
    assert np.allclose(found.values[:, 0], expected)
    assert [r.getMessage() for r in caplog.records] == [
        "lesion load: 13 of 16 scans have no lesion mask and count as 0 ml"
    ]
    assert len(files_in(context, "lesion-load", scans)) == 3
    there = with_input(context, space="template")
    assert measure_in(there, "lesion-load", scans).values[1, 0] == pytest.approx(7 * 24 / 1000)


def test_no_lesion_mask_at_all_is_an_error(context: GroupContext) -> None:
    with pytest.raises(NoInputError, match=r"no scan.*lesion mask.*-d NAME=PATH"):
        measure_in(context, "lesion-load", context.scans())
