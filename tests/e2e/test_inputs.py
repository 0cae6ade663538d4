"""Inputs beyond R2*: T1w alone, FLAIR, precomputed maps, masks and lesions made elsewhere."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import ants
import nibabel as nib
import numpy as np
import pytest
from conftest import EMBEDDED, Run, command, simulate

VALIDATOR = shutil.which("bids-validator-deno", path=str(Path(sys.executable).parent))
SHIFT_MM = np.array([4.0, -3.0, 5.0])
R1_PER_S = 0.9

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """sub-01 with all kinds of input, sub-02 without T1w, sub-03 with T1w only."""
    folder = tmp_path_factory.mktemp("messy")
    raw, out, other = folder / "raw", folder / "out", folder / "other"
    made = simulate(raw, "--n-participants", 3, "--seed", 4, "--voxel-mm", 3, "--sessions", 1)
    assert made.status == 0, made.err
    _add_flair(raw)
    _add_derivatives(raw, other)
    for file in raw.glob("sub-02/anat/*_T1w.*"):
        file.unlink()
    for file in raw.glob("sub-03/anat/*_MEGRE.*"):
        file.unlink()
    done = command(
        raw,
        out,
        "participant",
        "--inputs",
        "megre,T1w,FLAIR,R1map",
        "--derivatives",
        f"other={other}",
        "--brain-mask",
        "derivatives",
        "--output-spaces",
        f"{EMBEDDED}:res-3",
        f"{EMBEDDED}:res-4",
        "--sloppy",
        "--nprocs",
        1,
    )
    return Run(raw, out, done)


def _anat(root: Path, name: str = "01") -> Path:
    return root / f"sub-{name}" / "anat"


def _add_flair(raw: Path) -> None:
    """The T1w image moved by a known shift, its contrast between tissues kept."""
    t1w = nib.load(_anat(raw) / "sub-01_T1w.nii.gz")
    affine = t1w.affine.copy()
    affine[:3, 3] += SHIFT_MM
    data = np.asarray(t1w.dataobj, dtype=np.float32) ** 0.8
    nib.save(nib.Nifti1Image(data, affine), _anat(raw) / "sub-01_FLAIR.nii.gz")


def _add_derivatives(raw: Path, other: Path) -> None:
    target = _anat(other)
    target.mkdir(parents=True)
    truth = nib.load(_anat(raw / "derivatives" / "truth") / "sub-01_desc-brain_mask.nii.gz")
    mask = np.asarray(truth.dataobj) > 0
    coarse = truth.affine @ np.diag([2.0, 2.0, 2.0, 1.0])
    coarse[:3, 3] = (truth.affine @ [0.5, 0.5, 0.5, 1])[:3]
    shape = tuple(n // 2 for n in mask.shape)
    r1map = np.full(shape, R1_PER_S, np.float32)
    r1map[0, 0, 0] = np.nan
    nib.save(nib.Nifti1Image(r1map, coarse), target / "sub-01_R1map.nii.gz")
    nib.save(
        nib.Nifti1Image(mask.astype(np.uint8), truth.affine),
        target / "sub-01_desc-brain_mask.nii.gz",
    )
    lesion = np.zeros(mask.shape, np.uint8)
    centre = np.argwhere(mask).mean(0).astype(int) + np.array([6, 0, 4])
    lesion[tuple(slice(c - 1, c + 2) for c in centre)] = 1
    nib.save(nib.Nifti1Image(lesion, truth.affine), target / "sub-01_label-lesion_mask.nii.gz")


def _read(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj, dtype=np.float32)


def test_the_run_names_what_is_missing_and_goes_on(messy: Run) -> None:
    said = messy.finished.err
    assert messy.finished.status == 1, said
    assert "Traceback" not in said
    assert said.count("failed: ") == 1
    last = said.strip().splitlines()[-1]
    assert "sub-02" in last
    assert "only the maps on their native grid were made" in last
    assert "sub-03: no megre image in this session" in said


def test_without_a_t1w_image_the_native_maps_are_there(messy: Run) -> None:
    names = {p.name for p in _anat(messy.out, "02").glob("*.nii.gz")}
    assert "sub-02_R2starmap.nii.gz" in names
    assert not any("space-" in name for name in names)
    assert (messy.out / "sub-02.html").is_file()


def test_t1w_alone_is_enough(messy: Run) -> None:
    names = {p.name for p in _anat(messy.out, "03").iterdir()}
    assert "sub-03_desc-preproc_T1w.nii.gz" in names
    assert f"sub-03_space-{EMBEDDED}_res-3_desc-preproc_T1w.nii.gz" in names
    assert not any("R2starmap" in name for name in names)


def test_intensity_scale_is_recorded_and_changes_nothing(messy: Run) -> None:
    path = _anat(messy.out) / "sub-01_desc-preproc_T1w.json"
    scale = json.loads(path.read_text())["IntensityScale"]["Value"]
    data = _read(path.with_name("sub-01_desc-preproc_T1w.nii.gz"))
    mask = _read(path.with_name("sub-01_desc-brain_mask.nii.gz")) > 0
    assert scale == pytest.approx(np.percentile(data[mask], 99), rel=1e-5)
    assert scale > 10  # not 1: the image keeps its own units


def test_a_mask_made_elsewhere_is_taken_as_it_is(messy: Run) -> None:
    given = _read(_anat(messy.truth) / "sub-01_desc-brain_mask.nii.gz")
    used = _read(_anat(messy.out) / "sub-01_desc-brain_mask.nii.gz")
    np.testing.assert_array_equal(used, given)


def test_flair_comes_back_onto_the_t1w_image(messy: Run) -> None:
    anat = _anat(messy.out)
    t1w = _read(anat / "sub-01_desc-preproc_T1w.nii.gz")
    flair = _read(anat / "sub-01_space-T1w_desc-preproc_FLAIR.nii.gz")
    mask = _read(anat / "sub-01_desc-brain_mask.nii.gz") > 0
    assert np.corrcoef(t1w[mask], flair[mask])[0, 1] > 0.97
    moved = ants.apply_transforms(
        ants.image_read(str(anat / "sub-01_desc-preproc_T1w.nii.gz")),
        ants.image_read(str(_anat(messy.raw) / "sub-01_FLAIR.nii.gz")),
        [str(anat / "sub-01_from-FLAIR_to-T1w_mode-image_xfm.txt")],
    ).numpy()  # with the published file, in the published direction
    assert np.corrcoef(t1w[mask], moved[mask])[0, 1] > 0.9


def test_a_precomputed_map_keeps_its_values(messy: Run) -> None:
    anat = _anat(messy.out)
    mask = _read(anat / "sub-01_desc-brain_mask.nii.gz") > 0
    mapped = _read(anat / "sub-01_space-T1w_R1map.nii.gz")
    np.testing.assert_allclose(np.median(mapped[mask]), R1_PER_S, rtol=1e-5)
    assert np.isfinite(mapped).all()
    about = json.loads((anat / "sub-01_space-T1w_R1map.json").read_text())
    assert about["Units"] == "1/s"
    assert about["Sources"] == ["bids:other:sub-01/anat/sub-01_R1map.nii.gz"]
    assert about["Quality"]["UndefinedVoxels"] == 1
    for resolution in (3, 4):
        assert (anat / f"sub-01_space-{EMBEDDED}_res-{resolution}_R1map.nii.gz").is_file()


def test_lesions_are_carried_and_filled(messy: Run) -> None:
    anat = _anat(messy.out)
    lesion = _read(anat / "sub-01_space-T1w_label-lesion_mask.nii.gz") > 0
    assert lesion.sum() == 27
    plain = _read(anat / "sub-01_desc-preproc_T1w.nii.gz")
    filled = _read(anat / "sub-01_desc-lesionfilled_T1w.nii.gz")
    np.testing.assert_array_equal(filled[~lesion], plain[~lesion])
    mask = _read(anat / "sub-01_desc-brain_mask.nii.gz") > 0
    low, high = np.percentile(plain[mask], [50, 99])
    assert (filled[lesion] > low).all()
    assert (filled[lesion] < high).all()
    there = _read(anat / f"sub-01_space-{EMBEDDED}_res-3_label-lesion_mask.nii.gz")
    assert 5 <= there.sum() <= 120


def test_quality_is_one_table_a_session(messy: Run) -> None:
    path = _anat(messy.out) / "sub-01_qc.tsv"
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    metrics = {row["metric"] for row in rows}
    assert {"BrainVolumeMl", "MaskDice", "Correlation", "BrainCovered", "LesionVolumeMl"} <= metrics
    assert path.with_suffix(".json").is_file()


def test_every_name_is_valid(messy: Run) -> None:
    assert VALIDATOR is not None
    done = subprocess.run([VALIDATOR, str(messy.out)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


def test_masks_agree_between_spaces(messy: Run) -> None:
    """The two resolutions of one template show one brain."""
    anat = _anat(messy.out)
    fine = _read(anat / f"sub-01_space-{EMBEDDED}_res-3_desc-brain_mask.nii.gz")
    coarse = _read(anat / f"sub-01_space-{EMBEDDED}_res-4_desc-brain_mask.nii.gz")
    assert fine.sum() * 27 == pytest.approx(coarse.sum() * 64, rel=0.03)
