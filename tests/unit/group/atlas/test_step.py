"""The step ``atlas`` on a tiny template, every table against loops over the maps."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from atlas_cases import LABELS, METHODS, PEOPLE, SHAPE, Case, build, tsv_rows

from bids_xai.bids.files import write_nifti
from bids_xai.errors import BadDataError, NoInputError
from bids_xai.group.atlas import biology as atlas_biology
from bids_xai.group.atlas import inputs as atlas_inputs
from bids_xai.group.atlas import step as atlas
from bids_xai.group.context import GroupContext
from bids_xai.settings import EMBEDDED_TEMPLATE, RunSettings
from bids_xai.studies.schema import load_study

Table = list[dict[str, str]]


def read(case: Case, name: str) -> Table:
    return tsv_rows(case.context.folder / "atlas" / f"{name}.tsv")


def only(table: Table, **wanted: Any) -> dict[str, str]:
    (row,) = [r for r in table if all(r[k] == str(v) for k, v in wanted.items())]
    return row


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """A finished run, only to be read."""
    folder = tmp_path_factory.mktemp("atlas")
    settings = RunSettings(folder / "raw", folder / "out", "group")
    context = GroupContext(settings, load_study("quick"), EMBEDDED_TEMPLATE)
    with pytest.MonkeyPatch.context() as patch:
        made = build(context, patch)
        atlas.run(made.context)
        yield made


@pytest.fixture
def own(derivatives: Any, monkeypatch: pytest.MonkeyPatch) -> Case:
    """A study that a test may spoil, not yet run."""
    monkeypatch.setattr(atlas_biology, "PERMUTATIONS", 20)
    return build(derivatives.context(), monkeypatch)


def test_regions_have_the_columns_of_the_contract_and_are_sums(case: Case) -> None:
    table = read(case, "regions")
    assert list(table[0])[:14] == [
        "participant_id",
        "session_id",
        "configuration",
        "split",
        "method",
        "atlas",
        "index",
        "name",
        "hemisphere",
        "n_voxels",
        "sum",
        "abs_sum",
        "density",
        "share",
    ]
    assert len(table) == len(case.rows) * (len(LABELS) + 2)
    about = json.loads((case.context.folder / "atlas" / "regions.json").read_text())
    assert list(about) == list(table[0])
    row = only(
        table,
        participant_id="sub-04",
        configuration="C",
        split=1,
        method="saliency",
        atlas="X",
        name="Part3_R",
    )
    data, inside = case.maps["C", "saliency", 1, "04"], case.labels("X") == 307
    assert (row["index"], row["hemisphere"], row["true_class"]) == ("307", "R", "NC")
    assert int(row["n_voxels"]) == inside.sum()
    assert float(row["sum"]) == pytest.approx(data[inside].sum(), rel=1e-6)
    assert float(row["density"]) == pytest.approx(data[inside].mean(), rel=1e-6)
    assert float(row["share"]) == pytest.approx(data[inside].sum() / data.sum(), rel=1e-5)
    large = only(
        table,
        participant_id="sub-04",
        configuration="C",
        split=1,
        method="saliency",
        atlas="Y",
        index=70000,
    )
    assert float(large["sum"]) == pytest.approx(data[case.labels("Y") == 70000].sum(), rel=1e-6)
    missing = [r for r in table if r["name"] == "Missing"]
    assert {(r["n_voxels"], r["density"]) for r in missing} == {("0", "n/a")}


def test_gain_divides_by_the_controls_for_every_group(case: Case) -> None:
    table = read(case, "gain")
    assert list(table[0])[:8] == [
        "configuration",
        "method",
        "atlas",
        "index",
        "name",
        "group",
        "gain",
        "n",
    ]
    inside = {("Part3_L", "false"): [306], ("Part3", "true"): [306, 307]}
    for (name, merged), values in inside.items():
        where = np.isin(case.labels("X"), values)
        controls = [
            m[where].sum()
            for m in case.maps_of(configuration="A", method="saliency", true_class="NC")
        ]
        for group, key in (("AD", "true_class"), ("NC", "true_class"), ("FP", "outcome")):
            maps = case.maps_of(configuration="A", method="saliency", **{key: group})
            row = only(
                table,
                configuration="A",
                method="saliency",
                atlas="X",
                name=name,
                group=group,
                merged=merged,
            )
            mine = [m[where].sum() for m in maps]
            assert int(row["n"]) == len(maps)
            assert float(row["mean_sum"]) == pytest.approx(np.mean(mine), rel=1e-5)
            assert float(row["gain"]) == pytest.approx(np.mean(mine) / np.mean(controls), rel=1e-5)
            density = [m[where].mean() for m in maps]
            assert float(row["mean_density"]) == pytest.approx(np.mean(density), rel=1e-5)
            assert float(row["density_q750"]) == pytest.approx(np.quantile(density, 0.75), rel=1e-5)
            shares = [m[where].sum() / m.sum() for m in maps]
            assert float(row["mean_share"]) == pytest.approx(np.mean(shares), rel=1e-5)
    assert {r["gain"] for r in table if r["name"] == "Missing"} == {"n/a"}
    described = json.loads((case.context.folder / "atlas" / "gain.json").read_text())
    missing = sum(r["gain"] == "n/a" for r in table)
    assert f"n/a in {missing} of {len(table)} lines" in described["gain"]["Description"]


def test_rankings_are_the_sorted_gains(case: Case) -> None:
    gains = [
        r
        for r in read(case, "gain")
        if (r["atlas"], r["merged"], r["group"], r["configuration"], r["method"])
        == ("X", "true", "AD", "C", "lrp-zplus")
    ]
    table = read(case, "rankings")
    for metric, column in (("density", "mean_density"), ("gain", "gain"), ("sum", "mean_sum")):
        expected = sorted((r for r in gains if r[column] != "n/a"), key=lambda r: -float(r[column]))
        about = ("C", "lrp-zplus", "X", "true", "AD", metric)
        keys = ("configuration", "method", "atlas", "merged", "group", "metric")
        mine = [r for r in table if tuple(r[key] for key in keys) == about]
        assert [r["rank"] for r in mine] == [str(n) for n in range(1, 11)]
        assert [r["name"] for r in mine] == [r["name"] for r in expected[:10]]


def test_leading_regions_are_compared_across_methods_splits_and_configurations(case: Case) -> None:
    table = read(case, "overlap")
    ranks = read(case, "rankings")

    def leading(configuration: str, method: str) -> set[str]:
        about = (configuration, method, "X", "false", "NC", "density")
        keys = ("configuration", "method", "atlas", "merged", "group", "metric")
        return {r["index"] for r in ranks if tuple(r[key] for key in keys) == about}

    shared = {"atlas": "X", "merged": "false", "group": "NC", "metric": "top10_density"}
    row = only(table, comparison="methods", configuration="C", a=METHODS[0], b=METHODS[1], **shared)
    both = leading("C", METHODS[0]) & leading("C", METHODS[1])
    assert float(row["value"]) == pytest.approx(len(both) / 10)
    row = only(table, comparison="configurations", method=METHODS[1], a="A", b="C", **shared)
    both = leading("A", METHODS[1]) & leading("C", METHODS[1])
    assert float(row["value"]) == pytest.approx(len(both) / 10)
    row = only(
        table, comparison="splits", configuration="C", method=METHODS[0], a="0", b="1", **shared
    )
    tops = []
    for split in (0, 1):
        maps = case.maps_of(configuration="C", method=METHODS[0], split=split, true_class="NC")
        mean = np.mean(maps, axis=0)
        density = {i: mean[case.labels("X") == i].mean() for i, name in LABELS if name != "Missing"}
        tops.append(set(sorted(density, key=lambda n: -density[n])[:10]))
    assert float(row["value"]) == pytest.approx(len(tops[0] & tops[1]) / 10)
    # two regions are always the same, and thirteen joined ones mostly
    assert {(r["atlas"], r["merged"]) for r in table} == {("X", "false"), ("n/a", "n/a")}


def test_mean_maps_and_their_distances(case: Case) -> None:
    table, means = read(case, "overlap"), case.context.folder / "means"
    written: dict[tuple[str, str], np.ndarray] = {}
    for method, desc in zip(METHODS, ("", "_desc-saliency"), strict=True):
        file = means / f"configuration-C_group-AD{desc}_mean.nii.gz"
        expected = np.mean(case.maps_of(configuration="C", method=method, true_class="AD"), axis=0)
        written["C", method] = np.asarray(nib.load(file).dataobj)
        np.testing.assert_allclose(written["C", method], expected, rtol=1e-5)
    a, b = written.values()
    row = only(table, comparison="methods", configuration="C", group="AD", metric="euclidean")
    assert float(row["value"]) == pytest.approx(np.linalg.norm(a / a.sum() - b / b.sum()), rel=1e-4)
    one, two = (
        np.mean(case.maps_of(configuration="A", method=METHODS[1], split=s, outcome="TP"), axis=0)
        for s in (0, 1)
    )
    row = only(
        table, comparison="splits", configuration="A", method=METHODS[1], group="TP", metric="l2"
    )
    expected = np.linalg.norm(one / one.max() - two / two.max())
    assert float(row["value"]) == pytest.approx(expected, rel=1e-4)
    measured = {r["metric"] for r in table if r["atlas"] == "n/a"}
    assert measured == {"iou_0.1", "iou_0.4", "iou_0.5", "ssim", "spearman", "euclidean", "l2"}


def test_fingerprints_are_the_pair_that_differs_most(case: Case) -> None:
    table = read(case, "fingerprints")
    rows = [
        r
        for r in table
        if (r["configuration"], r["method"], r["atlas"], r["merged"])
        == ("A", "saliency", "X", "true")
    ]
    names = [r["name"] for r in rows if r["individual"] == "A"]
    assert len(names) == 12
    where = [
        np.isin(case.labels("X"), [i for i, n in LABELS if n.startswith(f"{name}_")] or [7])
        for name in names
    ]
    densities = {}
    for row in case.rows:
        key = (str(row.split), row.participant_id[4:])
        if (row.configuration, row.method, row.outcome) == ("A", "saliency", "TP"):
            densities[key] = np.array([case.map_of(row)[w].mean() for w in where])
    distances = {
        (a, b): 1 - x @ y / np.linalg.norm(x) / np.linalg.norm(y)
        for (a, x), (b, y) in product(densities.items(), repeat=2)
        if a[1] < b[1]
    }
    best = max(distances, key=lambda pair: distances[pair])
    found = {(r["split"], r["participant_id"][4:]) for r in rows}
    assert found == set(best)
    assert float(rows[0]["cosine_distance"]) == pytest.approx(distances[best], rel=1e-4)
    assert rows[0]["n_candidates"] == str(len(densities))


def test_relevance_and_volume_of_participants_are_correlated(case: Case) -> None:
    table = read(case, "biology")
    row = only(
        table,
        configuration="C",
        method="lrp-zplus",
        atlas="X",
        name="Part2",
        group="all",
        measure="volume",
    )
    where = np.isin(case.labels("X"), [304, 305])
    relevance, volume = [], []
    for person in PEOPLE:
        maps = case.maps_of(configuration="C", method="lrp-zplus", participant_id=f"sub-{person}")
        relevance.append(np.mean([m[where].sum() for m in maps]))  # two splits, one person
        volume.append(where[int(person) :].sum() * 8 / 1000)
    assert float(row["r"]) == pytest.approx(np.corrcoef(relevance, volume)[0, 1], abs=1e-5)
    assert float(row["mean"]) == pytest.approx(np.mean(volume), rel=1e-5)
    assert (row["n"], row["n_permutations"], row["seed"], row["source"]) == (
        "12",
        "10000",
        "0",
        "dseg",
    )
    assert 1 / 10001 <= float(row["p_value"]) <= float(row["p_holm"]) <= 1
    assert not [r for r in table if r["atlas"] == "Y" and r["measure"] == "volume"]
    volumes = read(case, "volumes")
    one = only(volumes, scan="sub-03", name="Part2_L")
    expected = (case.labels("X")[3:] == 304).sum() * 8 / 1000
    assert float(one["volume_ml"]) == pytest.approx(expected)


def test_lesion_load_and_relevance_in_lesions(case: Case) -> None:
    table = read(case, "biology")
    chosen = [p for p in PEOPLE if int(p) <= 6]
    loads = [(int(p) + 1) * 4 * SHAPE[2] * 8 / 1000 for p in chosen]
    totals = [
        np.mean(
            [
                m.sum()
                for m in case.maps_of(
                    configuration="A", method="saliency", participant_id=f"sub-{p}"
                )
            ]
        )
        for p in chosen
    ]
    row = only(
        table,
        configuration="A",
        method="saliency",
        name="whole map",
        group="all",
        measure="lesion_load",
    )
    assert float(row["r"]) == pytest.approx(np.corrcoef(totals, loads)[0, 1], abs=1e-4)
    assert (row["n"], row["exact"], row["n_permutations"]) == ("6", "true", "720")
    shares = []
    for person in chosen:
        maps = case.maps_of(configuration="A", method="saliency", participant_id=f"sub-{person}")
        reach = int(person) + 1
        shares.append(np.mean([m[:reach, :4].sum() / m.sum() for m in maps]))
    row = only(table, configuration="A", method="saliency", group="all", measure="lesion_share")
    assert float(row["mean"]) == pytest.approx(np.mean(shares), rel=1e-4)
    assert not [r for r in table if r["group"] == "AD" and r["measure"] == "lesion_load"]  # three


def test_a_table_of_volumes_takes_the_place_of_the_warped_atlas(own: Case, tmp_path: Path) -> None:
    case = own
    table = tmp_path / "v.tsv"
    lines = [f"{p}\t{int(p) ** 2}\t{100 + int(p)}\tn/a" for p in PEOPLE[1:]]
    table.write_text("participant_id\tpart1\tPart 2 L\tage\n" + "\n".join(lines) + "\n")
    settings = dataclasses.replace(case.context.settings, derivatives=(("volumes", table),))
    context = dataclasses.replace(case.context, settings=settings)
    atlas.run(context)
    rows = [r for r in read(case, "biology") if r["measure"] == "volume"]
    assert {(r["atlas"], r["name"], r["source"]) for r in rows} == {("X", "Part1", "table")}
    row = only(rows, configuration="C", method="saliency", group="all")
    assert row["n"] == "11"
    assert float(row["mean"]) == pytest.approx(np.mean([int(p) ** 2 for p in PEOPLE[1:]]))
    table.write_text(table.read_text().replace("\t81\t", "\tbig\t"))
    with pytest.raises(BadDataError, match="'big' in line 9, column part1"):
        atlas.run(context)


def test_what_is_up_to_date_is_not_made_again(own: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case = own

    def refuse(*_: object) -> None:
        raise AssertionError("a map was read again")

    first = atlas.run(case.context)
    with monkeypatch.context() as patched:
        patched.setattr(atlas_inputs, "read_volume", refuse)
        assert atlas.run(case.context) == first
    names = {path.name for path in first}
    assert {"regions.tsv", "gain.tsv", "rankings.tsv", "overlap.tsv", "biology.tsv"} <= names
    file = case.context.folder / str(case.rows[0].warped_heatmap)
    write_nifti(file, np.ones(SHAPE, np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))
    before = read(case, "regions")
    atlas.run(case.context)
    assert read(case, "regions") != before


def test_maps_are_counted_as_they_are_read(
    own: Case, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bids_xai.runtime.progress.FIRST_S", 0.0)
    caplog.set_level("INFO", "bids_xai")
    atlas.run(own.context)
    n = len(own.rows)
    said = [text.strip() for text in caplog.messages]
    assert any(text.startswith(f"{n - 1} of {n} heatmaps done, about ") for text in said)
    assert any("scans measured on atlas" in text for text in said)


def test_outputs_of_groups_that_are_gone_are_removed(own: Case) -> None:
    case = own
    atlas.run(case.context)
    gone = case.context.folder / "means" / "configuration-A_group-AD_mean.nii.gz"
    assert gone.is_file()
    table = case.context.folder / "predictions.tsv"
    lines = [line for line in table.read_text().splitlines() if "\tA\t" not in line]
    table.write_text("\n".join(lines) + "\n")
    atlas.run(case.context)
    assert not gone.exists()
    assert {r["configuration"] for r in read(case, "gain")} == {"C"}


def test_predictions_are_read_with_the_files_behind_them(case: Case) -> None:
    files = atlas.read(case.context)
    rows = [row.prediction for row in files.predictions]
    assert len(rows) == len(case.rows)  # the baseline has no heatmap
    keys = [(row.configuration, METHODS.index(str(row.method)), row.split) for row in rows]
    assert keys == sorted(keys)
    anat = case.context.output_dir / "sub-03" / "anat"
    for row in files.predictions:
        assert row.warped_heatmap == case.context.folder / str(row.prediction.warped_heatmap)
        assert row.scan is not None
        assert row.scan.name == row.prediction.participant_id
        if row.prediction.participant_id == "sub-03":
            assert row.scan.label_image("X") == anat / "sub-03_space-T1w_atlas-X_dseg.nii.gz"
            assert row.scan.label_image("Y") is None
            assert row.scan.lesion_mask == anat / "sub-03_space-T1w_label-lesion_mask.nii.gz"
        elif row.prediction.participant_id == "sub-07":
            assert row.scan.lesion_mask is None
    assert files.seed == case.context.settings.random_seed
    assert (files.volume_table, files.sessions) == (None, {})


def test_a_scan_that_left_the_cohort_has_no_files_of_its_own(own: Case) -> None:
    table = own.context.folder / "cohort.tsv"
    lines = [line for line in table.read_text().splitlines() if not line.startswith("sub-04")]
    table.write_text("\n".join(lines) + "\n")
    scans = {row.prediction.participant_id: row.scan for row in atlas.read(own.context).predictions}
    assert [name for name, scan in scans.items() if scan is None] == ["sub-04"]


def test_without_an_atlas_the_mean_maps_are_written_alone(
    own: Case, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    grid = atlas.load_template_grid(own.context.template)
    bare = dataclasses.replace(grid, atlas=None, others=())
    monkeypatch.setattr(atlas, "load_template_grid", lambda *_: bare)
    files = atlas.run(own.context)
    assert {file.parent.name for file in files} == {"means"}
    assert "no region tables" in caplog.text
    assert not (own.context.folder / "atlas" / "regions.tsv").exists()


def test_without_a_template_there_is_nothing_to_do(
    own: Case, caplog: pytest.LogCaptureFixture
) -> None:
    assert atlas.run(dataclasses.replace(own.context, template="")) == []
    assert "no template" in caplog.text
    assert not (own.context.folder / "means").exists()


def test_predictions_that_are_missing_name_their_step(own: Case) -> None:
    (own.context.folder / "predictions.tsv").unlink()
    with pytest.raises(NoInputError) as caught:
        atlas.run(own.context)
    assert "--steps explain" in str(caught.value)


def test_signed_maps_have_gains_and_magnitudes(
    derivatives: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = build(derivatives.context(), monkeypatch, signed=True)
    atlas.run(case.context)
    row = only(
        read(case, "regions"),
        participant_id="sub-01",
        configuration="A",
        split=0,
        method="saliency",
        name="Part0_L",
    )
    data = case.maps["A", "saliency", 0, "01"][case.labels("X") == 300]
    assert data.min() < 0
    assert float(row["sum"]) == pytest.approx(data.sum(), rel=1e-4)
    assert float(row["abs_sum"]) == pytest.approx(np.abs(data).sum(), rel=1e-5)


def test_a_map_of_another_grid_or_with_holes_is_named(own: Case) -> None:
    case = own
    file = case.context.folder / str(case.rows[3].warped_heatmap)
    holes = np.ones(SHAPE, np.float32)
    holes[0, 0, 0] = np.nan
    for data, said in ((np.ones((3, 3, 3), np.float32), "template grid"), (holes, "undefined")):
        write_nifti(file, data, np.eye(4))
        with pytest.raises(BadDataError, match=said) as caught:
            atlas.run(case.context)
        assert caught.value.file == str(file)
