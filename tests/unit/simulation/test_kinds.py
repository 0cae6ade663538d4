"""Every kind as it is written: valid BIDS, one kind of table, the same bytes again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import ants
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from bids_xai.bids.derivatives import find_mask, open_derivatives
from bids_xai.cli.main import main
from bids_xai.simulation import encode, flair, megre, t1w
from bids_xai.simulation.cohort import SimulationOptions, draw_cohort
from bids_xai.simulation.kinds import KINDS, load_kind
from bids_xai.simulation.lesions import draw_lesions
from bids_xai.simulation.scan import spread
from bids_xai.simulation.signal import flair_signal
from bids_xai.simulation.write import simulate_cohort

SMALL = {"voxel_mm": 8, "seed": 5, "n_participants": 2}
CHOICES = {
    "megre": {"kind": "megre", "cheat": 0.9, "max_sessions": 1, **SMALL},
    "t1w": {"kind": "t1w", "cheat": 1.0, "max_sessions": 1, **SMALL},
    "flair": {"kind": "flair", "cheat": 0.5, "max_sessions": 2, **SMALL},
    "digits": {"kind": "digits", **SMALL, "n_participants": 4},
}


@dataclass(frozen=True)
class Made:
    """A small cohort of each kind."""

    raw: dict[str, Path]

    def folders(self, kind: str) -> list[Path]:
        return [self.raw[kind], *(self.raw[kind] / name for name in load_kind(kind).derivatives)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("kinds")
    for kind, options in CHOICES.items():
        simulate_cohort(folder / kind, **options)
    return Made({kind: folder / kind for kind in KINDS})


def load(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def digests(folder: Path) -> dict[str, str]:
    files = [each for each in sorted(folder.rglob("*")) if each.is_file()]
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


@pytest.mark.parametrize("kind", KINDS)
def test_validator_finds_no_error(made: Made, kind: str) -> None:
    validator = Path(sys.executable).with_name("bids-validator-deno")
    if not validator.exists():
        pytest.skip("bids-validator-deno is not installed")
    for folder in made.folders(kind):
        done = subprocess.run([validator, folder], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_tables_are_described_and_images_have_sidecars(made: Made, kind: str) -> None:
    raw = made.raw[kind]
    for table in (raw / "participants.tsv", raw / "derivatives" / "truth" / "truth.tsv"):
        columns = list(pd.read_csv(table, sep="\t").columns)
        described = json.loads(table.with_suffix(".json").read_text())
        assert {*described, "participant_id"} == {*columns, "participant_id"}
        assert columns[0] == "participant_id"
    for image in raw.rglob("*.nii.gz"):
        assert "_xfm" in image.name or Path(str(image).replace(".nii.gz", ".json")).is_file()
    levels = json.loads((raw / "participants.json").read_text())
    people = pd.read_csv(raw / "participants.tsv", sep="\t", dtype=str)
    for name, about in levels.items():
        if "Levels" in about:
            assert set(people[name]) <= set(about["Levels"])


@pytest.mark.parametrize("kind", KINDS)
def test_equal_options_give_equal_bytes(made: Made, kind: str, tmp_path: Path) -> None:
    simulate_cohort(tmp_path, **{**CHOICES[kind], "n_participants": 1})
    again, before = digests(tmp_path), digests(made.raw[kind])
    of_people = [name for name in again if "sub-01" in name]
    assert len(of_people) > 8
    assert [again[name] for name in of_people] == [before[name] for name in of_people]


def test_readmes_say_what_was_asked_for(made: Made) -> None:
    texts = {kind: (made.raw[kind] / "README").read_text() for kind in KINDS}
    assert "kind=" not in texts["megre"]
    assert "cheat=0.9" in texts["megre"]
    assert "kind=flair, cheat=0.5" in texts["flair"]
    assert "cheat" not in texts["digits"]
    truth = made.raw["t1w"] / "derivatives" / "truth"
    assert "desc-marker_mask" in (truth / "README").read_text()


def test_healthy_heads_are_the_same_in_all_kinds() -> None:
    options = {kind: SimulationOptions(**SMALL, kind=kind) for kind in ("megre", "t1w")}
    people = {kind: draw_cohort(each)[1] for kind, each in options.items()}
    one = megre.simulate_scan(people["megre"], 1, options["megre"])
    other = t1w.simulate_scan(people["t1w"], 1, options["t1w"])
    np.testing.assert_array_equal(one.t1w.image, other.t1w.image)


def test_markers_are_told_by_table_and_mask(made: Made) -> None:
    for kind in ("megre", "t1w", "flair"):
        raw = made.raw[kind]
        people = pd.read_csv(raw / "participants.tsv", sep="\t")
        assert set(people.marker) <= {"yes", "no"}
        masks = sorted(raw.glob("derivatives/truth/sub-*/**/*_desc-marker_mask.nii.gz"))
        brains = [Path(str(each).replace("marker", "brain")) for each in masks]
        assert len(masks) == len(list(raw.glob("sub-*/**/*_T1w.nii.gz")))
        for marker, brain in zip(masks, brains, strict=True):
            assert load(marker).any()
            assert not load(marker)[load(brain) > 0].any()
    people = pd.read_csv(made.raw["t1w"] / "participants.tsv", sep="\t")
    assert list(people.marker) == ["yes", "no"]
    assert "marker" not in (made.raw["digits"] / "participants.tsv").read_text()


def test_atrophy_is_the_true_one_and_stays_local() -> None:
    options = SimulationOptions(n_participants=1, voxel_mm=2.5, effect_percent=40, kind="t1w")
    person = draw_cohort(options)[0]
    ill = t1w.simulate_scan(person, 1, options)
    healthy = t1w.simulate_scan(dataclasses.replace(person, effect=0.0), 1, options)
    assert healthy.true_ml == healthy.healthy_ml == ill.healthy_ml
    for name, sign in (("hippocampus", -1), ("ventricles", 1)):
        ratio = ill.true_ml[name] / ill.healthy_ml[name]
        assert ratio == pytest.approx(1 + sign * person.effect, abs=0.03)
        number = 1 if name == "hippocampus" else 3
        counted = np.isin(ill.structures, (number, number + 1)).sum() * 2.5**3 / 1000
        assert counted == pytest.approx(ill.true_ml[name], rel=0.1)
    changed = np.abs(ill.t1w.image.astype(float) - healthy.t1w.image) > 60
    reach = ndimage.binary_dilation(healthy.structures > 0, iterations=8)
    assert changed.sum() > 250
    assert not changed[~reach].any()
    assert (ill.t1w.brain != healthy.t1w.brain).mean() < 1e-4


def test_hippocampi_are_grey_and_ventricles_dark_in_the_image() -> None:
    options = SimulationOptions(n_participants=1, voxel_mm=3, kind="t1w", snr=1e4)
    scan = t1w.simulate_scan(draw_cohort(options)[0], 1, options)
    image = scan.t1w.image / np.median(scan.t1w.image[scan.t1w.brain])
    ventricles = image[scan.structures > 2]
    hippocampi = image[(scan.structures > 0) & (scan.structures < 3)]
    assert np.median(ventricles) < 0.6
    assert 0.7 < np.median(hippocampi) < 1.1


def test_lesions_are_bright_on_flair_and_darker_on_t1w(tmp_path: Path) -> None:
    options = SimulationOptions(n_participants=1, voxel_mm=2.5, kind="flair", snr=1e4)
    person = draw_cohort(options)[0]
    scan = flair.simulate_scan(person, 1, options, draw_lesions(person, 0))
    counted = scan.lesions.sum() * 2.5**3 / 1000
    assert counted == pytest.approx(scan.lesion_ml, rel=0.15)
    white, fluid = (
        spread(scan.t1w.head.proportions[name] > 0.98, scan.t1w.head, scan.t1w.grid)
        for name in ("white", "csf")
    )
    t1w_image = scan.t1w.image
    ratio = np.median(t1w_image[scan.lesions]) / np.median(t1w_image[white])
    assert 0.8 < ratio < 0.95
    moved = flair_on_t1w_grid(scan, tmp_path, scan.setting.motion)
    normal = np.median(moved[white])
    assert np.median(moved[scan.lesions]) > 1.6 * normal
    assert np.median(moved[fluid]) < 0.5 * normal


def test_flair_shows_the_same_head_moved_by_the_true_motion(tmp_path: Path) -> None:
    options = SimulationOptions(n_participants=1, voxel_mm=2.5, kind="flair", snr=1e5, seed=2)
    person = draw_cohort(options)[0]
    scan = flair.simulate_scan(person, 1, options, draw_lesions(person, 2))
    head, grid = scan.t1w.head, scan.t1w.grid
    received = scan.setting.sensitivity(grid.points()[:, head.where])
    wanted = spread(flair_signal(head.proportions) * received, head, grid)
    inner = ndimage.binary_erosion(scan.t1w.brain, iterations=2)
    aligned, still = (
        np.corrcoef(flair_on_t1w_grid(scan, tmp_path, motion)[inner], wanted[inner])[0, 1]
        for motion in (scan.setting.motion, np.eye(4))
    )
    assert aligned > 0.9
    assert 1 - aligned < 0.6 * (1 - still)


def flair_on_t1w_grid(scan: flair.FlairScan, folder: Path, motion: np.ndarray) -> np.ndarray:
    """The FLAIR image as ANTs resamples it through a motion."""
    (folder / "t1w.nii.gz").write_bytes(encode.image(scan.t1w.image, scan.t1w.grid))
    (folder / "flair.nii.gz").write_bytes(encode.image(scan.flair, scan.flair_grid))
    (folder / "xfm.txt").write_bytes(encode.rigid(motion))
    fixed, moving = (ants.image_read(str(folder / f"{n}.nii.gz")) for n in ("t1w", "flair"))
    return ants.apply_transforms(fixed, moving, [str(folder / "xfm.txt")]).numpy()


def test_lesion_masks_are_found_by_the_participant_level(made: Made) -> None:
    raw = made.raw["flair"]
    for dataset in ("truth", "lesions"):
        folders = open_derivatives([(dataset, raw / "derivatives" / dataset)])
        found = find_mask(folders, "01", "1", "lesion")
        assert found is not None
        assert load(found.file).any()
        t1w_image = nib.load(raw / "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz")
        assert nib.load(found.file).shape == t1w_image.shape


def test_flair_sidecar_is_that_of_the_signal(made: Made) -> None:
    path = made.raw["flair"] / "sub-01/ses-1/anat/sub-01_ses-1_FLAIR.json"
    about = json.loads(path.read_text())
    wanted = {"RepetitionTime": 9, "EchoTime": 0.12, "InversionTime": 2.5}
    assert {name: about[name] for name in wanted} == wanted


_STUDY = """
name = "digits"
target = { column = "digit", classes = ["0", "1", "2", "3"] }
input = { suffix = "T1w", desc = "preproc", space = "T1w", scaling = "minmax" }
splits = { scheme = "random", repeats = 1 }
configurations = [{ id = "A" }]
"""


def test_the_group_level_takes_digits_as_its_input(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "raw" / "derivatives" / "digits"
    simulate_cohort(raw, kind="digits", n_participants=44, max_sessions=1)
    (tmp_path / "study.toml").write_text(_STUDY)
    words = [raw, out, "group", "--study", tmp_path / "study.toml", "--steps", "cohort"]
    assert main([str(each) for each in words]) == 0
    cohort = pd.read_csv(out / "group" / "digits" / "cohort.tsv", sep="\t", dtype=str)
    assert (cohort.included == "true").sum() == 20
    assert set(cohort[cohort.included == "true"]["class"]) == {"0", "1", "2", "3"}


def test_identity_is_read_by_ants_and_moves_nothing(tmp_path: Path) -> None:
    (tmp_path / "xfm.h5").write_bytes(encode.identity())
    assert encode.identity() == encode.identity()
    rng = np.random.default_rng(0)
    image = ants.from_numpy(rng.uniform(size=(5, 6, 7)).astype("f4"), origin=(1.0, 2, 3))
    moved = ants.apply_transforms(image, image, [str(tmp_path / "xfm.h5")])
    np.testing.assert_allclose(moved.numpy(), image.numpy(), atol=1e-6)
