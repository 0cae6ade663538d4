"""The step ``spray`` on made-up heatmaps with a planted cheat: tables, verdicts, repetition."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from bids_xai.bids.files import write_json, write_nifti, write_text
from bids_xai.core.spray.audit import PERSONAL, SUSPECT
from bids_xai.errors import BadDataError, CannotCreateError
from bids_xai.group.context import GroupContext
from bids_xai.group.spray import stack as spray_maps
from bids_xai.group.spray import step
from bids_xai.group.spray.covariates import study_columns, typed
from bids_xai.group.spray.stack import Places, build_stack
from bids_xai.settings import RunSettings
from bids_xai.studies.schema import load_study
from bids_xai.studies.tables import Spray

N = 36
SHAPE = (12, 14, 12)
AFFINE = np.diag([5.0, 5.0, 5.0, 1.0])
MARKER = (10, 12, 10)


def ball() -> np.ndarray:
    x, y, z = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in SHAPE)]
    inside: np.ndarray = x**2 + y**2 + z**2 < 0.5
    return inside


def people() -> list[dict[str, object]]:
    rng = np.random.default_rng(0)
    return [
        {
            "participant_id": f"sub-{i:02d}",
            "diagnosis": ("NC", "AD")[i % 2],
            "site": str(rng.choice(list("ABC"))),
            "age": f"{70 + 6 * rng.normal():.1f}",
            "cheat": i % 6 == 1 or i % 6 == 3,
        }
        for i in range(N)
    ]


def relevance(person: dict[str, object], rng: np.random.Generator) -> np.ndarray:
    """In the brain, elsewhere there for patients, on the marker for cheats; the sum is 1."""
    data = rng.random(SHAPE) * ball()
    if person["diagnosis"] == "AD" and not person["cheat"]:
        data[5:7, 5:8, 5:7] += 6
    if person["cheat"]:
        data *= 0.4
        data[9:12, 11:14, 9:12] += 20
    return (data / data.sum()).astype(np.float32)


def tsv(path: Path, rows: list[dict[str, object]]) -> None:
    lines = ["\t".join(rows[0]), *("\t".join(str(v) for v in row.values()) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")


@pytest.fixture
def study(tmp_path: Path) -> GroupContext:
    """Derivatives, predictions and heatmaps of one configuration, without a template."""
    raw, out = tmp_path / "raw", tmp_path / "out"
    folder = out / "group" / "quick"
    rng = np.random.default_rng(1)
    cohort, predictions = [], []
    for number, person in enumerate(people()):
        name = str(person["participant_id"])
        anat = out / name / "anat"
        write_nifti(anat / f"{name}_space-T1w_R2starmap.nii.gz", relevance(person, rng), AFFINE)
        mask = write_nifti(anat / f"{name}_desc-brain_mask.nii.gz", ball().astype(np.uint8), AFFINE)
        quality = {
            "image": f"{name}_desc-brain_mask",
            "metric": "BrainVolumeMl",
            "value": f"{1400 + 60 * rng.normal():.1f}",
            "low": 700,
            "high": 2200,
            "flagged": "false",
            "meaning": "volume of the brain mask in ml",
        }
        tsv(anat / f"{name}_qc.tsv", [quality])
        map_file = f"relevance/{name}_space-T1w_model-q_label-all_desc-lrp_relmap.nii.gz"
        write_nifti(folder / map_file, relevance(person, rng), AFFINE)
        write_json(
            raw / name / "anat" / f"{name}_echo-1_MEGRE.json",
            {"Manufacturer": ("X", "Y")[number // 2 % 2]},
        )
        tsv(raw / name / f"{name}_sessions.tsv", [{"session_id": "ses-1", "weight": 70}])
        cohort.append(
            {
                "participant_id": name,
                "session_id": "n/a",
                "class": person["diagnosis"],
                "included": "true",
                "reason": "n/a",
                "map": f"{name}/anat/{name}_space-T1w_R2starmap.nii.gz",
                "mask": str(mask.relative_to(out)),
                "to_template": "n/a",
            }
        )
        positive = person["diagnosis"] == "AD"
        predictions.append(
            {
                "participant_id": name,
                "session_id": "n/a",
                "configuration": "A",
                "split": number % 2,
                "method": "lrp-zplus",
                "true_class": person["diagnosis"],
                "probability": 0.9 if positive else 0.1,
                "outcome": "TP" if positive else "TN",
                "relevance": map_file,
                "warped": "n/a",
            }
        )
    tsv(raw / "participants.tsv", [{k: v for k, v in p.items() if k != "cheat"} for p in people()])
    write_json(raw / "MEGRE.json", {"MagneticFieldStrength": 3, "Manufacturer": "Z"})
    tsv(folder / "cohort.tsv", cohort)
    tsv(folder / "predictions.tsv", predictions)
    quick = load_study("quick")
    settings = dataclasses.replace(quick.spray, bootstraps=10)  # for speed
    return GroupContext(
        RunSettings(raw, out, "group"), dataclasses.replace(quick, spray=settings), ""
    )


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_a_planted_cheat_is_named(study: GroupContext) -> None:
    written = step.run(study)
    folder = study.folder / "spray"
    assert all(path.is_file() for path in written)
    clusters = rows(folder / "A_T1w" / "clusters.tsv")
    assert list(clusters[0])[:9] == [
        "participant_id",
        "session_id",
        "configuration",
        "space",
        "cluster",
        "stability",
        "outcome",
        "y_true",
        "probability",
    ]
    cheats = {str(p["participant_id"]) for p in people() if p["cheat"]}
    assert cheats == {
        row["participant_id"]
        for row in clusters
        if row["cluster"] == next(r["cluster"] for r in clusters if r["participant_id"] in cheats)
    }
    confounds = rows(folder / "confounds.tsv")
    assert list(confounds[0])[:9] == [
        "configuration",
        "space",
        "cluster",
        "covariate",
        "test",
        "statistic",
        "effect_size",
        "p",
        "q",
    ]
    assert confounds == rows(folder / "A_T1w" / "confounds.tsv")
    tested = {row["covariate"] for row in confounds}
    assert tested >= {
        "class",
        "split",
        "site",
        "age",
        "Manufacturer",
        "BrainVolumeMl_desc-brain_mask",
        "relevance_outside",
    }
    assert not {"MagneticFieldStrength", "participant_id", "diagnosis", "weight"} & tested
    worst = rows(folder / "verdicts.tsv")[0]
    assert worst["finding"] == "suspicious"
    assert set(worst["examples"].split(",")) <= cheats
    assert "relevance outside the brain" in worst["verdict"]
    assert "22 mm right, 28 mm front, 22 mm up from the middle of the image" in worst["verdict"]
    assert "inside the brain in 0 % of the scans" in worst["verdict"]
    assert not (study.output_dir / "work").exists()


def test_shares_and_means_are_those_of_the_maps(study: GroupContext) -> None:
    import nibabel as nib

    step.run(study)
    folder = study.folder / "spray" / "A_T1w"
    clusters, predictions = rows(folder / "clusters.tsv"), rows(study.folder / "predictions.tsv")
    maps = [nib.load(study.folder / row["relevance"]).get_fdata() for row in predictions]
    for row, data in zip(clusters, maps, strict=True):
        assert float(row["relevance_outside"]) == pytest.approx(data[~ball()].sum(), abs=1e-5)
    for cluster in {row["cluster"] for row in clusters}:
        mine = [m for m, row in zip(maps, clusters, strict=True) if row["cluster"] == cluster]
        mean = nib.load(folder / f"cluster-{cluster}_mean.nii.gz")
        np.testing.assert_allclose(mean.get_fdata(), np.mean(mine, axis=0), atol=1e-7)
        assert np.allclose(mean.affine, AFFINE)
    counts = rows(folder / "contingency.tsv")
    assert sum(int(row["n"]) for row in counts if row["variable"] == "outcome") == N
    assert (folder / "mosaics.png").read_bytes().startswith(b"\x89PNG")


def test_input_maps_are_the_control(study: GroupContext) -> None:
    step.run(study)
    said = json.loads((study.folder / "study.json").read_text())["spray"]["A_T1w"]
    assert "there is no control" in " ".join(said["notes"])  # no model: no rule for inputs
    assert not (study.folder / "spray" / "A_T1w_input").exists()
    card = {
        "architecture": "graz",
        "options": {},
        "input_shape": list(SHAPE),
        "voxel_mm": None,
        "suffix": "R2starmap",
        "space": "T1w",
        "scale": 1.0,
        "maximum": None,
        "skull_strip": False,
        "channels": 1,
        "scaling": "fixed",
        "weights_sha256": "0" * 64,
        "classes": ["NC", "AD"],
        "positive": "AD",
        "seed": 0,
        "study": "quick",
        "configuration": "A",
        "split": 0,
        "split_hash": "x",
        "training_participants": [],
        "relevance_guided": False,
        "metrics": {},
        "versions": {},
    }
    write_json(study.model_folder("A", 0) / "model.json", card)
    os.utime(study.folder / "predictions.tsv")
    step.run(study)
    said = json.loads((study.folder / "study.json").read_text())["spray"]["A_T1w"]
    assert said["inputs"]["ari"] > 0.8  # the inputs were drawn as the heatmaps were
    for name in ("eigenvalues", "clusters", "embedding"):
        assert rows(study.folder / "spray" / "A_T1w_input" / f"{name}.tsv")


def test_nothing_is_done_twice(study: GroupContext, caplog: pytest.LogCaptureFixture) -> None:
    step.run(study)
    files = sorted((study.folder / "spray").rglob("*"))
    before = [(path, path.stat().st_mtime_ns) for path in files]
    write_json(study.folder / "study.json", {"study": "quick"})  # as the step explain does
    caplog.set_level("INFO", "bids_xai")
    step.run(study)
    assert "have not changed" in caplog.text
    assert [(path, path.stat().st_mtime_ns) for path in files] == before
    assert json.loads((study.folder / "study.json").read_text())["spray"]["A_T1w"]["n_clusters"]
    time.sleep(0.01)
    table = study.settings.bids_dir / "participants.tsv"
    table.write_text(table.read_text().replace("\tA\t", "\tD\t"))
    stale = study.folder / "spray" / "A_T1w" / "cluster-9_mean.nii.gz"
    stale.touch()
    step.run(study)
    assert any(row["site"] == "D" for row in rows(study.folder / "spray" / "covariates.tsv"))


def test_maps_and_analyses_are_counted(
    study: GroupContext, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bids_xai.runtime.progress.FIRST_S", 0.0)
    caplog.set_level("INFO", "bids_xai")
    table = study.folder / "predictions.tsv"
    header, *lines = table.read_text().splitlines()
    twice = [line.replace("\tA\t", "\tB\t", 1) for line in lines]
    table.write_text("\n".join([header, *lines, *twice]) + "\n")
    step.run(study)
    said = [text.strip() for text in caplog.messages]
    n = len(lines)
    assert any(text.startswith(f"{n - 1} of {n} maps done, about ") for text in said)
    assert any(text.startswith("1 of 2 analyses done, about ") for text in said)


def test_half_precision_finds_the_same(study: GroupContext) -> None:
    step.run(study)
    path = study.folder / "spray" / "A_T1w" / "clusters.tsv"
    whole = [row["cluster"] for row in rows(path)]
    mean = (path.parent / "cluster-1_mean.nii.gz").read_bytes()
    settings = dataclasses.replace(study.study.spray, precision="float16", inputs=False)
    half = dataclasses.replace(study, study=dataclasses.replace(study.study, spray=settings))
    step.run(half)
    assert [row["cluster"] for row in rows(path)] == whole
    assert (path.parent / "cluster-1_mean.nii.gz").read_bytes() != mean


def test_columns_of_scans(study: GroupContext) -> None:
    found = {column.name: column for column in study_columns(study, study.scans())}
    assert found["site"].kind == SUSPECT
    assert found["age"].kind == PERSONAL
    assert "diagnosis" not in found
    assert set(found["Manufacturer"].values.values()) == {"X", "Y"}  # not the inherited Z
    assert set(found["MagneticFieldStrength"].values.values()) == {"3"}
    assert set(found["voxel_mm"].values.values()) == {"5 × 5 × 5"}
    assert float(found["BrainVolumeMl_desc-brain_mask"].values["sub-00"]) > 1000


def test_what_counts_as_a_number() -> None:
    ages = [str(60 + i) for i in range(9)]
    np.testing.assert_array_equal(typed("age", [*ages, "n/a"])[:9], np.arange(60.0, 69.0))
    assert np.isnan(typed("age", [*ages, "n/a"])[9])
    assert typed("siteNumber", ages).dtype.kind == "U"
    assert typed("sex", ["1", "2"] * 6).dtype.kind == "U"
    dates = [f"2020-01-{day:02d}T10:00:00" for day in range(1, 10)]
    np.testing.assert_allclose(np.diff(typed("AcquisitionDateTime", dates)), 1.0, atol=0.05)
    assert list(typed("note", ["a", "unknown", "b"])) == ["a", "", "b"]


def test_a_full_disk_and_a_strange_map_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bids_xai.bids.images import Volume

    volumes = [Volume(np.ones(shape, np.float32), AFFINE) for shape in (SHAPE, (3, 3, 3))]
    with pytest.raises(BadDataError, match=r"shape \(3, 3, 3\)"):
        build_stack(tmp_path / "maps", [lambda v=v: v for v in volumes], Spray())

    summed = dataclasses.replace(Spray(), features="sum-normalised")
    signed = Volume(np.ones(SHAPE, np.float32), AFFINE)
    signed.data[::2] = -1
    with pytest.raises(BadDataError, match=r"cannot be divided by its sum.*"):
        build_stack(
            tmp_path / "maps", [lambda: signed], summed, files=[Path("sub-7_relmap.nii.gz")]
        )
    half = dataclasses.replace(Spray(), precision="float16")
    for second in (1e-11, 1e7):
        sizes = [0.0, 1e-2, second]
        maps = [Volume(np.full(SHAPE, size, np.float32), AFFINE) for size in sizes]
        with pytest.raises(BadDataError, match="float16 has no room") as caught:
            build_stack(
                tmp_path / "maps",
                [lambda v=v: v for v in maps],
                half,
                files=[Path(f"sub-{i}") for i in range(3)],
            )
        assert str(caught.value.file) == "sub-2"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spray_maps.os, "posix_fallocate", full)
    with pytest.raises(CannotCreateError, match="No space left"):
        build_stack(tmp_path / "maps", [lambda: volumes[0]], Spray())


def test_relevance_at_the_border_of_the_mask(tmp_path: Path) -> None:
    from bids_xai.bids.images import Volume

    mask = np.zeros((9, 9, 9), np.uint8)
    mask[2:7, 2:7, 2:7] = 1
    file = write_nifti(tmp_path / "mask.nii.gz", mask, AFFINE)
    data = np.zeros((9, 9, 9), np.float32)
    data[4, 4, 4], data[2, 4, 4], data[1, 4, 4], data[0, 0, 0] = 4, -3, 2, 1
    places = Places([file])
    places(0, Volume(data, AFFINE))
    assert places.outside[0] == pytest.approx(0.3)
    assert places.edge[0] == pytest.approx(0.5)
    np.testing.assert_array_equal(places.brain, mask)


def test_template_space_is_cut_to_the_brain(
    study: GroupContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Warped maps within the mask alone; places by region; input maps found by name."""
    from bids_xai.bids.images import Volume
    from bids_xai.settings import OutputSpace
    from bids_xai.templates.grid import TemplateGrid
    from bids_xai.templates.lookup import Atlas, Template

    volume = Volume(ball().astype(np.float32), AFFINE)
    atlas = Atlas("drawn", Volume(ball().astype(np.int32), AFFINE), ((1, "middle"),))
    grid = TemplateGrid(OutputSpace("T", 2), Template("T", volume, volume), atlas)
    monkeypatch.setattr(step, "load_template_grid", lambda _: grid)
    folder, rng = study.folder, np.random.default_rng(2)
    predictions = rows(folder / "predictions.tsv")
    cohort = rows(folder / "cohort.tsv")
    for row, person in zip(predictions, people(), strict=True):
        data = relevance(person, rng)
        if person["cheat"]:
            data[5:8, 5:8, 5:8] += 0.1
        row["warped"] = row["relevance"].replace("T1w", "T_res-2")
        write_nifti(folder / row["warped"], data, AFFINE)
        anat = study.output_dir / row["participant_id"] / "anat"
        write_nifti(anat / f"{row['participant_id']}_space-T_res-2_R2starmap.nii.gz", data, AFFINE)
    for row in cohort:
        row["to_template"] = "somewhere.h5"
    tsv(folder / "predictions.tsv", [dict(row) for row in predictions])
    tsv(folder / "cohort.tsv", [dict(row) for row in cohort])
    step.run(dataclasses.replace(study, template="T"))
    import nibabel as nib

    for file in (folder / "spray" / "A_template").glob("cluster-*_mean.nii.gz"):
        assert not nib.load(file).get_fdata()[~ball()].any()
    said = json.loads((folder / "spray" / "summary.json").read_text())["A_template"]
    assert said["inputs"]["ari"] == 1.0  # the same maps
    verdicts = [r for r in rows(folder / "spray" / "verdicts.tsv") if r["space"] == "template"]
    assert any("mm (middle)" in row["verdict"] for row in verdicts)
    cheats = {str(p["participant_id"]) for p in people() if p["cheat"]}
    clusters = rows(folder / "spray" / "A_template" / "clusters.tsv")
    own = {row["cluster"] for row in clusters if row["participant_id"] in cheats}
    assert len(own) == 1


def test_a_project_for_virelay(study: GroupContext) -> None:
    """Every file that ViRelAy 0.6 looks for, with the keys and shapes it reads."""
    import h5py

    settings = dataclasses.replace(study.study.spray, virelay=True, inputs=False)
    step.run(dataclasses.replace(study, study=dataclasses.replace(study.study, spray=settings)))
    folder = study.folder / "spray" / "A_T1w" / "virelay"
    project = json.loads((folder / "project.yaml").read_text())["project"]
    named = [
        project["label_map"],
        project["dataset"]["path"],
        *project["attributions"]["sources"],
        *project["analyses"][0]["sources"],
    ]
    assert all((folder / name).is_file() for name in named)
    assert [label["name"] for label in json.loads((folder / "labels.json").read_text())] == [
        "NC",
        "AD",
    ]
    clusters = rows(folder.parent / "clusters.tsv")
    with h5py.File(folder / "analysis.h5") as file:
        (name,) = file["all/cluster"]
        labels = file[f"all/cluster/{name}"][:]
        assert [str(label + 1) for label in labels] == [row["cluster"] for row in clusters]
        assert file["all/embedding/tsne"].shape == (N, 2)
        assert file["all/embedding/spectral"].attrs["eigenvalue"].shape == (10,)
    with h5py.File(folder / "attribution.h5") as file:
        shape = file["attribution"].shape
        assert shape == (N, 3, 14, 12 + 12 + 14)
        assert not file["attribution"][:, 1:].any()
        np.testing.assert_allclose(file["prediction"][:].sum(axis=1), 1)
        assert list(file["label"][:4]) == [0, 1, 0, 1]
    with h5py.File(folder / "input.h5") as file:
        assert file["data"].shape == (N, 3, *shape[2:])
        assert file["data"].dtype == np.uint8


def test_virelay_itself_opens_the_project(study: GroupContext) -> None:
    model = pytest.importorskip("virelay.model", reason="needs virelay: pip install virelay")
    settings = dataclasses.replace(study.study.spray, virelay=True, inputs=False)
    step.run(dataclasses.replace(study, study=dataclasses.replace(study.study, spray=settings)))
    folder = study.folder / "spray" / "A_T1w"
    project = model.Project(str(folder / "virelay" / "project.yaml"))
    try:
        (method,) = project.get_analysis_methods()
        (category,) = project.get_analysis_categories(method)
        (clustering,) = project.get_analysis_clustering_names(method)
        assert set(project.get_analysis_embedding_names(method)) == {"spectral", "tsne"}
        found = project.get_analysis(method, category.name, clustering, "tsne")
        assert found.embedding.shape == (N, 2)
        clusters = [row["cluster"] for row in rows(folder / "clusters.tsv")]
        assert [str(label + 1) for label in found.clustering] == clusters
        attribution = project.get_attribution(0)
        assert attribution.labels[0].name == "NC"
        for colours in ("gray-red", "black-fire-red"):
            assert attribution.render_heatmap(colours).shape[:2] == attribution.data.shape[:2]
        assert project.get_sample(1).labels[0].name == "AD"
    finally:
        project.close()
