"""The step trust on a tiny study with a known answer: tables, verdicts, resumption."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from bids_xai.bids.files import write_json, write_nifti
from bids_xai.bids.stamps import STAMP
from bids_xai.errors import BadDataError, NoInputError
from bids_xai.group.cohort.step import run as cohort
from bids_xai.group.context import GroupContext
from bids_xai.group.explain.step import run as explain
from bids_xai.group.train.step import run as train
from bids_xai.group.trust import step as trust
from bids_xai.group.trust.network import ExplainedNetwork
from bids_xai.models.card import load_model, save_model
from bids_xai.settings import RunSettings
from bids_xai.studies.tables import (
    Attribution,
    Configuration,
    Input,
    Model,
    Plateau,
    Quality,
    Splits,
    Study,
    Target,
    Training,
)

SHAPE = (16, 17, 15)
EFFECT = (slice(5, 10), slice(6, 11), slice(5, 9))
METHODS = ("lrp-zplus", "saliency")


def _affine() -> np.ndarray:
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = (-30, -32, -28)
    return affine


def _write_cohort(raw: Path, out: Path) -> None:
    """24 people in one session each; R2* of patients is higher in one box. 06 has no truth."""
    rng = np.random.default_rng(0)
    lines = ["participant_id\tdiagnosis"]
    truth = np.zeros(SHAPE, np.uint8)
    truth[EFFECT] = 1
    brain = np.zeros(SHAPE, np.uint8)
    brain[2:-2, 2:-2, 2:-2] = 1
    for number in range(24):
        sub, sick = f"sub-{number:02d}", number % 2
        lines.append(f"{sub}\t{('NC', 'AD')[sick]}")
        r2star = 20 + 3 * ndimage.gaussian_filter(rng.normal(size=SHAPE), 1.0) / 0.2
        r2star[EFFECT] += 25 * sick
        anat = out / sub / "anat"
        write_nifti(
            anat / f"{sub}_space-T1w_R2starmap.nii.gz",
            r2star.clip(0.1).astype(np.float32),
            _affine(),
        )
        write_nifti(anat / f"{sub}_desc-brain_mask.nii.gz", brain, _affine())
        if number != 6:
            place = raw / "derivatives" / "truth" / sub / "anat"
            write_nifti(place / f"{sub}_desc-nuclei_dseg.nii.gz", 3 * truth, _affine())
            write_nifti(place / f"{sub}_desc-brain_mask.nii.gz", brain, _affine())
            write_nifti(place / f"{sub}_space-MEGRE_desc-other_mask.nii.gz", brain, _affine())
    raw.mkdir(exist_ok=True)
    (raw / "participants.tsv").write_text("\n".join(lines) + "\n")
    write_json(raw / "dataset_description.json", {"Name": "tiny", "BIDSVersion": "1.10.0"})


STUDY = Study(
    name="tiny",
    target=Target("diagnosis", "NC", "AD"),
    configurations=(Configuration("A"),),
    input=Input(scale=40.0, maximum=100.0),
    splits=Splits(repeats=2, fractions=(0.4, 0.2, 0.4)),
    model=Model("graz"),
    training=Training(epochs=40, batch_size=4, learning_rate=3e-3, plateau=Plateau(patience=0)),
    attribution=Attribution(methods=METHODS),
    quality=Quality(scans=10, cube_mm=16.0, steps=8, random_orders=3, randomization_scans=2),
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> GroupContext:
    """A study up to its quality tables; only to be read."""
    folder = tmp_path_factory.mktemp("tiny")
    raw, out = folder / "raw", folder / "out"
    _write_cohort(raw, out)
    settings = RunSettings(
        raw,
        out,
        "group",
        derivatives=(("truth", raw / "derivatives" / "truth"),),
        nprocs=1,
        device="cpu",
        random_seed=1,
    )
    context = GroupContext(settings, STUDY, "")
    for step in (cohort, train, explain, trust.run):
        step(context)
    return context


@pytest.fixture
def copy(finished: GroupContext, tmp_path: Path) -> GroupContext:
    """The same in a folder of its own, to be changed; times of change are kept."""
    out = shutil.copytree(finished.output_dir, tmp_path / "out")
    return dataclasses.replace(
        finished, settings=dataclasses.replace(finished.settings, output_dir=out)
    )


def table(context: GroupContext, name: str) -> list[dict[str, str]]:
    """The cells of a table as they stand in the file."""
    with (context.folder / "quality" / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def verdicts(context: GroupContext, check: str) -> dict[str, dict[str, str]]:
    return {row["method"]: row for row in table(context, "summary.tsv") if row["check"] == check}


def test_tables_have_their_columns_described(finished: GroupContext) -> None:
    start = ["configuration", "split", "method", "participant_id", "session_id"]
    needed = {
        "aopc": [*start, "order", "step", "aopc"],
        "randomization": [*start, "mode", "layer", "ssim", "spearman", "spearman_abs"],
        "localization": [*start, "mass_accuracy", "rank_accuracy", "pointing_game"],
        "conservation": [*start, "layer", "relevance_sum"],
        "summary": ["configuration", "method", "check", "passed", "verdict"],
    }
    for name, columns in needed.items():
        rows = table(finished, f"{name}.tsv")
        described = json.loads((finished.folder / "quality" / f"{name}.json").read_text())
        assert rows, name
        assert list(rows[0]) == list(described)
        assert [c for c in columns if c not in rows[0]] == []
        assert "nan" not in (finished.folder / "quality" / f"{name}.tsv").read_text()


def test_curves_are_of_scans_whose_map_is_about_the_prediction(finished: GroupContext) -> None:
    rows = table(finished, "aopc.tsv")
    scans = {(row["participant_id"], row["split"]) for row in rows}
    assert len(scans) == 10
    predictions = {
        (row["participant_id"], row["split"]): row["predicted_class"]
        for row in table(finished, "../predictions.tsv")
    }
    assert {predictions[scan] for scan in scans} == {"AD"}  # saliency explains the positive class
    for method in METHODS:
        mine = [row for row in rows if row["method"] == method]
        assert len(mine) == 10 * 3 * 9
        assert {row["step"] for row in mine} == {str(step) for step in range(9)}
        assert all(float(row["aopc"]) == 0 for row in mine if row["step"] == "0")
    # n/a for the one draw of noise, a number for the random orders
    assert {row["sd"] == "n/a" for row in rows if row["order"] == "morf"} == {True}
    assert {row["sd"] == "n/a" for row in rows if row["order"] == "random"} == {False}


def test_lrp_passes_perturbation_and_localises(finished: GroupContext) -> None:
    found = verdicts(finished, "aopc")["lrp-zplus"]
    assert found["passed"] == "true", found["verdict"]
    assert found["verdict"].startswith("passes: most relevant first lies above random")
    assert verdicts(finished, "network")["n/a"]["passed"] == "true"
    located = verdicts(finished, "localization")["lrp-zplus"]
    assert located["region"] == "nuclei"
    rows = table(finished, "localization.tsv")
    assert {row["region"] for row in rows} == {"nuclei"}
    assert "sub-06" not in {row["participant_id"] for row in rows}
    (size,) = {row["n_voxels"] for row in rows}
    assert int(size) == 5 * 5 * 4
    hits = [
        float(r["mass_accuracy"])
        for r in rows
        if r["outcome"] == "TP" and r["method"] == "lrp-zplus"
    ]
    assert np.mean(hits) > 2 * 100 / np.prod(SHAPE)


def test_sums_are_kept_layer_by_layer(finished: GroupContext) -> None:
    rows = [row for row in table(finished, "conservation.tsv") if row["method"] == "lrp-zplus"]
    layers = [row for row in rows if row["layer"] != "map"]
    assert len({(row["participant_id"], row["split"]) for row in layers}) == 2
    assert {row["layer"] for row in layers} >= {"output", "input of 0 Conv3d"}
    assert all(abs(float(row["share"]) - 1) < 1e-3 for row in rows)
    assert verdicts(finished, "conservation")["lrp-zplus"]["passed"] == "true"
    assert verdicts(finished, "conservation")["saliency"]["passed"] == "n/a"


def test_every_layer_is_made_random_in_both_modes(finished: GroupContext) -> None:
    rows = [row for row in table(finished, "randomization.tsv") if row["method"] == "saliency"]
    assert len(rows) == 2 * 2 * 10  # scans, modes, layers of graz
    last = [row for row in rows if row["layers_random"] == "10"]
    assert {row["layer"] for row in last} == {"0 Conv3d"}
    assert all(-1 <= float(row["spearman_abs"]) <= 1 for row in rows)
    assert verdicts(finished, "randomization")["saliency"]["passed"] in ("true", "false")


def test_again_makes_nothing_and_goes_on_where_it_was_stopped(
    copy: GroupContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[int] = []
    real = ExplainedNetwork.__init__

    def counted(self, model_folder, *rest):
        loaded.append(int(model_folder.name.removeprefix("split-")))
        real(self, model_folder, *rest)

    monkeypatch.setattr(ExplainedNetwork, "__init__", counted)
    before = {f: f.read_bytes() for f in (copy.folder / "quality").rglob("*.tsv")}
    trust.run(copy)
    assert loaded == []
    (copy.folder / "quality/configuration-A/split-1/aopc.tsv").unlink()
    (copy.folder / "quality/aopc.tsv").unlink()
    trust.run(copy)
    assert loaded == [1]
    assert {f: f.read_bytes() for f in (copy.folder / "quality").rglob("*.tsv")} == before
    wider = dataclasses.replace(STUDY, quality=dataclasses.replace(STUDY.quality, steps=4))
    trust.run(dataclasses.replace(copy, study=wider))
    assert loaded == [1, 0, 1]
    assert max(int(row["step"]) for row in table(copy, "aopc.tsv")) == 4


def test_heatmaps_and_networks_are_counted_over_all_splits(
    copy: GroupContext, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bids_xai.runtime.progress.FIRST_S", 0.0)
    caplog.set_level("INFO", "bids_xai")
    maps = [row for row in table(copy, "../predictions.tsv") if row["relevance"] != "n/a"]
    second = sum(row["split"] == "1" for row in maps)
    (copy.folder / "relevance/configuration-A/split-1/stamp.json").unlink()
    explain(copy)
    said = [text.strip() for text in caplog.messages if "heatmaps done" in text]
    n_before = len(maps) - second  # up to date
    assert [text.partition(",")[0] for text in said] == [
        f"{n_before + done} of {len(maps)} heatmaps done" for done in range(1, second)
    ]
    trust.run(copy)
    assert any(text.strip().startswith("1 of 2 networks done") for text in caplog.messages)


def test_a_dead_network_is_flagged_although_its_maps_sum_to_one(copy: GroupContext) -> None:
    for split in (0, 1):
        folder = copy.model_folder("A", split)
        model, card = load_model(folder)
        model.layers[-3].weight.data.zero_()  # the hidden layer is silent: logits are the biases
        model.layers[-3].bias.data.zero_()
        save_model(folder, model, card)
        (folder / STAMP).unlink()  # it is another training's now
    explain(copy)
    trust.run(copy)
    rows = [row for row in table(copy, "summary.tsv") if row["check"] == "network"]
    assert [row["passed"] for row in rows] == ["false", "false"]
    assert all("gives nearly the same output for every scan" in row["verdict"] for row in rows)
    assert verdicts(copy, "conservation")["lrp-zplus"]["passed"] == "true"


def test_no_checks_that_are_not_asked_for(copy: GroupContext) -> None:
    some = dataclasses.replace(STUDY.quality, randomization_without=("saliency",))
    trust.run(dataclasses.replace(copy, study=dataclasses.replace(STUDY, quality=some)))
    assert {row["method"] for row in table(copy, "randomization.tsv")} == {"lrp-zplus"}
    none = dataclasses.replace(STUDY.quality, scans=0, randomization_scans=0)
    settings = dataclasses.replace(copy.settings, derivatives=())
    context = dataclasses.replace(
        copy, settings=settings, study=dataclasses.replace(STUDY, quality=none)
    )
    trust.run(context)
    for name in ("aopc", "randomization", "localization"):
        assert table(context, f"{name}.tsv") == []
    assert {row["layer"] for row in table(context, "conservation.tsv")} == {"map"}


def test_mistakes_are_named(copy: GroupContext, tmp_path: Path) -> None:
    gone = dataclasses.replace(copy.settings, derivatives=(("truth", tmp_path / "nowhere"),))
    with pytest.raises(NoInputError, match="no such folder"):
        trust.run(dataclasses.replace(copy, settings=gone))
    (copy.folder / "predictions.tsv").unlink()
    with pytest.raises(NoInputError, match="earlier step"):
        trust.run(copy)


def test_a_cohort_that_changed_since_is_told(copy: GroupContext) -> None:
    """A scan of the heatmaps is no longer in the cohort."""
    file = copy.folder / "cohort.tsv"
    first = table(copy, "aopc.tsv")[0]["participant_id"]
    lines = [line for line in file.read_text().splitlines() if not line.startswith(first)]
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(BadDataError, match=r"no longer in the cohort.*--steps train explain"):
        trust.run(copy)
