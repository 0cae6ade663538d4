"""The group level: files, conservation, refusals, resumption, and the model used on new data."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from browser import CHROMIUM, look
from conftest import EMBEDDED, Run, begin, command, short_group

pytestmark = pytest.mark.slow


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_ends_well_and_names_its_files(group8: Run) -> None:
    assert group8.finished.status == 0, group8.finished.err
    page = group8.out.resolve() / "group_quick.html"
    assert group8.finished.out.strip().splitlines()[-1] == str(page)
    folder = group8.out / "group" / "quick"
    tables = [
        "cohort",
        "splits",
        "predictions",
        "performance",
        "performance_summary",
        "comparisons",
        "atlas/regions",
        "atlas/gain",
        "atlas/rankings",
        "atlas/overlap",
        "quality/summary",
        "quality/aopc",
        "quality/randomization",
        "quality/localization",
        "quality/conservation",
    ]
    tables += [
        f"spray/{c}_{s}/{t}"
        for c in "ABC"
        for s in ("T1w", "template")
        for t in ("eigenvalues", "clusters", "embedding")
    ]
    for table in tables:
        content = rows(folder / f"{table}.tsv")
        described = json.loads((folder / f"{table}.json").read_text())
        assert content, table
        assert list(content[0]) == list(described), table
        assert "nan" not in (folder / f"{table}.tsv").read_text().lower(), table
    for configuration in "ABC":
        for split in (0, 1):
            model = group8.out / "models" / "quick" / configuration / f"split-{split}"
            assert (model / "model.safetensors").is_file()
            assert (model / "model.json").is_file()
            assert not list(model.glob("checkpoint*"))
        for space in ("T1w", "template"):
            assert list(
                (folder / "spray" / f"{configuration}_{space}").glob("cluster-*_mean.nii.gz")
            )
    assert list((folder / "means").glob("configuration-A_group-AD_mean.nii.gz"))
    assert not (group8.out / "work").exists()


needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

POINT_CLICKED = """
var marks = document.querySelectorAll("#spray-explorer svg [role=button]");
marks[2].dispatchEvent(new MouseEvent("click", { bubbles: true }));
return { points: marks.length, card: document.querySelector("#spray-explorer .card").textContent };
"""
STOPS = """
return Array.from(document.querySelectorAll(".scroll")).filter(function (box) {
  return box.hasAttribute("tabindex") !== (box.scrollWidth > box.clientWidth);
}).map(function (box) { return box.textContent.slice(0, 80); });
"""
WALKED_THROUGH = """
await until(function () { return document.body.dataset.state === "ready"; });
var place = function () { return document.getElementById("place").textContent; };
var slide = function (id, value) {
  var slider = document.getElementById(id);
  slider.value = value;
  slider.dispatchEvent(new Event("input"));
  return place();
};
var found = { state: document.getElementById("state").textContent };
found.left = slide("x", -25);
found.right = slide("x", 25);
found.top = slide("z", 30);
slide("low", 400);
found.low = document.getElementById("low-value").textContent;
var region = document.querySelectorAll("#top button")[0];
region.click();
found.region = region.textContent;
found.at = place();
found.layers = document.getElementById("layer").options.length;
return found;
"""


def sound(found: dict[str, object]) -> None:
    """No error, nothing asked of a network, every picture shown."""
    assert found["problems"] == []
    assert found["requests"] == []
    assert found["blank"] == []


def walked(found: dict[str, object]) -> None:
    """The sliders moved the slices, the window changed, a region was gone to."""
    sound(found)
    result = found["result"]
    assert isinstance(result, dict)
    assert result["state"] == ""
    for key, x in (("left", -25), ("right", 25)):
        shown = re.match(r"x (-?[\d.]+), y", result[key])
        assert shown is not None
        assert abs(float(shown[1]) - x) <= 3  # the middle of a voxel
    assert result["top"] != result["right"]
    assert result["region"].partition(" (")[0] in result["at"]
    assert float(result["low"].split()[0]) > 0


@needs_chromium
def test_the_group_page_and_its_viewer_work_in_a_browser(group8: Run) -> None:
    page = look(group8.out / "group_quick.html", POINT_CLICKED)
    sound(page)
    assert page["images"] > 10
    assert page["result"]["points"] > 3
    assert re.search(r"Scan: sub-\d+", page["result"]["card"])
    viewer = look(group8.out / "group_quick_viewer.html", WALKED_THROUGH)
    walked(viewer)
    assert viewer["result"]["layers"] == 6  # three configurations, two classes


AUDITED = """
await until(function () {
  return !document.getElementById("view") || document.body.dataset.state === "ready";
});
var found = await axe.run(document, { resultTypes: ["violations"] });
return found.violations.map(function (v) { return v.impact + ": " + v.id; });
"""


@needs_chromium
@pytest.mark.skipif("AXE" not in os.environ, reason="needs axe-core: run `make accessibility`")
@pytest.mark.parametrize(
    "name", ["group_quick.html", "group_quick_viewer.html", "group_qc.html", "sub-01.html"]
)
def test_axe_finds_nothing_serious(group8: Run, name: str) -> None:
    found = look(group8.out / name, AUDITED, Path(os.environ["AXE"]).read_text())
    sound(found)
    assert not [one for one in found["result"] if one.startswith(("serious", "critical"))]


def test_participants_are_never_in_two_sets(group8: Run) -> None:
    folder = group8.out / "group" / "quick"
    for split in {row["split"] for row in rows(folder / "splits.tsv")}:
        members = [r for r in rows(folder / "splits.tsv") if r["split"] == split]
        names = [r["participant_id"] for r in members]
        assert len(names) == len(set(names)) == 8
        test = {r["participant_id"] for r in members if r["set"] == "test"}
        predicted = {
            r["participant_id"] for r in rows(folder / "predictions.tsv") if r["split"] == split
        }
        assert predicted == test


def test_relevance_sums_to_one_and_lies_where_it_should(group8: Run) -> None:
    folder = group8.out / "group" / "quick"
    for row in rows(folder / "predictions.tsv"):
        image = nib.load(folder / row["relevance"])
        data = np.asarray(image.dataobj)
        assert abs(data.sum(dtype=np.float64) - 1) < 1e-3
        assert abs(float(row["relevance_sum"]) - 1) < 1e-3
        assert np.allclose(image.header.get_zooms(), 6.0)  # --sloppy: coarser than the study
        # the grid has the centre of the T1w image: a true affine, not an identity
        t1w = next(
            (group8.out / row["participant_id"] / row["session_id"] / "anat").glob(
                "*_space-T1w_R2starmap.nii.gz"
            )
        )
        centres = [
            i.affine[:3, :3] @ ((np.array(i.shape) - 1) / 2) + i.affine[:3, 3]
            for i in (image, nib.load(t1w))
        ]
        assert np.allclose(*centres, atol=1e-3)
        warped = nib.load(folder / row["warped"])
        assert warped.shape == nib.load(next((folder / "means").glob("*.nii.gz"))).shape


def test_configurations_are_paired(group8: Run) -> None:
    cards = {}
    for configuration in "ABC":
        path = group8.out / "models" / "quick" / configuration / "split-0" / "model.json"
        cards[configuration] = json.loads(path.read_text())
    assert len({card["split_hash"] for card in cards.values()}) == 1
    assert [cards[c]["skull_strip"] for c in "ABC"] == [False, True, False]
    assert [cards[c]["relevance_guided"] for c in "ABC"] == [False, False, True]


def test_again_trains_nothing(group8: Run) -> None:
    models = sorted((group8.out / "models").rglob("model.safetensors"))
    heatmaps = sorted((group8.out / "group").rglob("*_relmap.nii.gz"))
    pages = sorted(group8.out.glob("group_*.html"))
    assert len(pages) == 3
    before = [p.stat().st_mtime_ns for p in models + heatmaps + pages]
    again = command(*short_group(group8), "--nprocs", 2)
    assert again.status == 0, again.err
    assert len(re.findall(r"training ., split .: up to date", again.err)) == 6
    assert "explaining" not in again.err
    assert "page of quick: up to date" in again.err
    assert [p.stat().st_mtime_ns for p in models + heatmaps + pages] == before


def test_model_is_used_in_a_new_output_folder(group8: Run, tmp_path: Path) -> None:
    model = group8.out / "models" / "quick" / "C" / "split-0"
    line = (
        group8.raw,
        tmp_path / "out2",
        "participant",
        "--participant-label",
        "01",
        "--session-label",
        "1",
        "--model",
        model,
        "--sloppy",
        "--nprocs",
        1,
        "--output-spaces",
        f"{EMBEDDED}:res-3",
    )
    done = command(*line)
    assert done.status == 0, done.err
    folder = tmp_path / "out2" / "sub-01" / "ses-1" / "anat"
    prediction = rows(folder / "sub-01_ses-1_model-quickC0_prediction.tsv")
    assert [row["class"] for row in prediction] == ["NC", "AD"]
    assert sum(float(row["probability"]) for row in prediction) == pytest.approx(1, abs=1e-4)
    tail = "model-quickC0_label-all_desc-lrpzplus"
    native = nib.load(folder / f"sub-01_ses-1_space-T1w_{tail}_relmap.nii.gz")
    assert abs(np.asarray(native.dataobj).sum(dtype=np.float64) - 1) < 1e-3
    assert (folder / f"sub-01_ses-1_space-{EMBEDDED}_res-2_{tail}_relmap.nii.gz").is_file()
    regions = rows(
        folder
        / f"sub-01_ses-1_space-{EMBEDDED}_atlas-TissueNuclei_{tail.replace('_desc', '_desc')}"
        "_regions.tsv"
    )
    assert len(regions) == 12
    assert "quickC0" in (tmp_path / "out2" / "sub-01.html").read_text()
    _explained_anew_without_preprocessing(line, folder)


def _explained_anew_without_preprocessing(line: tuple[object, ...], folder: Path) -> None:
    maps = sorted(folder.glob("*R2starmap.nii.gz"))
    before = [path.stat().st_mtime_ns for path in maps]
    done = command(*line, "--target", "AD")
    assert done.status == 0, done.err
    assert "preprocessing" not in done.err
    assert len(maps) == 3
    assert [path.stat().st_mtime_ns for path in maps] == before
    assert len(list(folder.glob("*_label-AD_desc-lrpzplus*_relmap.nii.gz"))) == 2
    if CHROMIUM is not None:
        out = Path(str(line[1]))
        page = out / "sub-01.html"
        seen = look(page, STOPS)
        sound(seen)
        assert seen["result"] == []
        (viewer,) = (out / "sub-01" / "figures").glob("*ses-1_viewer.html")
        assert f'href="sub-01/figures/{viewer.name}"' in page.read_text()
        walked(look(viewer, WALKED_THROUGH))


@pytest.fixture
def copied(group8: Run, tmp_path: Path) -> Run:
    """Raw tables and derivatives that a test may spoil."""
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in ("dataset_description.json", "participants.tsv"):
        shutil.copy(group8.raw / name, raw / name)
    out = tmp_path / "out"
    for folder in sorted(group8.out.glob("sub-*")):
        if folder.is_dir():
            shutil.copytree(folder, out / folder.name)
    return Run(raw, out, group8.finished)


def refused(run: Run, status: int, *words: str) -> None:
    done = command(*short_group(run))
    assert done.status == status, done.err
    assert "Traceback" not in done.err
    assert len([line for line in done.err.splitlines() if "error" in line]) == 1
    for word in words:
        assert word in done.err


def test_no_participants_table(copied: Run) -> None:
    (copied.raw / "participants.tsv").unlink()
    refused(copied, 66, "participants.tsv")


def test_no_target_column(copied: Run) -> None:
    path = copied.raw / "participants.tsv"
    path.write_text(path.read_text().replace("diagnosis", "group"))
    refused(copied, 65, "diagnosis", "participants.tsv")


def test_one_class_only(copied: Run) -> None:
    path = copied.raw / "participants.tsv"
    path.write_text(path.read_text().replace("\tAD\t", "\tNC\t"))
    refused(copied, 65, "fewer than two classes")


def test_a_training_that_is_stopped_goes_on_and_ends_the_same(copied: Run, tmp_path: Path) -> None:
    """SIGTERM: status 75, nothing half-written; the same command ends with the same bytes."""
    preset = resources.files("bids_xai.studies").joinpath("quick.toml").read_text()
    study = tmp_path / "mine.toml"
    study.write_text(preset.replace("epochs = 60", "epochs = 8").replace('"quick"', '"mine"'))
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(copied.out, undisturbed)

    def line(out: Path) -> tuple[object, ...]:
        return (
            copied.raw,
            out,
            "group",
            "--study",
            study,
            "--steps",
            "cohort",
            "train",
            "--configuration",
            "C",
            "--split",
            "0",
            "--nprocs",
            1,
        )

    folder = copied.out / "models" / "mine" / "C" / "split-0"
    process = begin(*line(copied.out))
    deadline = time.monotonic() + 120
    while not (folder / "training.tsv").is_file():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.terminate()
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 75, said
    assert "nothing is lost" in said
    assert "Traceback" not in said
    assert not (folder / "model.safetensors").exists()
    for out in (copied.out, undisturbed):
        done = command(*line(out))
        assert done.status == 0, done.err
    weights = [
        root / "models/mine/C/split-0/model.safetensors" for root in (copied.out, undisturbed)
    ]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert len(rows(folder / "training.tsv")) == 8


def whole_group(words: list[str], seconds: float) -> tuple[int, str]:
    """Run a command; at the end of the time, its children are ended with it."""
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        told, _ = process.communicate(timeout=seconds)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return process.returncode, told


def test_two_processes_under_torchrun_train_the_network_that_one_trains(
    copied: Run, group8: Run
) -> None:
    done = command(*short_group(copied), "--steps", "cohort")
    assert done.status == 0, done.err
    line = (*short_group(copied), "--steps", "train", "--configuration", "C", "--split", 0)
    launcher = (
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        2,
        "-m",
        "bids_xai",
    )
    status, told = whole_group([str(word) for word in (*launcher, *line)], seconds=200)
    assert status == 0, told
    folders = [run.out / "models/quick/C/split-0" for run in (copied, group8)]
    cards = [json.loads((folder / "model.json").read_text()) for folder in folders]
    for key in ("split_hash", "input_shape", "training_participants", "relevance_guided"):
        assert cards[0][key] == cards[1][key]
    losses = [
        [float(row["train_loss"]) for row in rows(folder / "training.tsv")] for folder in folders
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)
    assert not (folders[0] / "tensorboard").exists()


def test_a_dry_run_tells_and_writes_nothing(copied: Run) -> None:
    done = command(*short_group(copied), "--dry-run")
    assert done.status == 0, done.err
    assert " of NC, " in done.err
    assert "would run cohort, qc, train" in done.err
    assert "6 training(s)" in done.err
    assert not (copied.out / "models").exists()
    assert not (copied.out / "group").exists()
