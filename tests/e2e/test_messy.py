"""Datasets as they are: one head twice, once tidy, once stored as differently as BIDS allows.

sub-02 is sub-01 with other axes, integers with slope, plain NIfTI, annexed links, a second T1w run,
inherited sidecars, padded echo numbers and no permission to write. The results must agree.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import EMBEDDED, Run, command, simulate
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from bids_xai.core.masks import dice

pytestmark = pytest.mark.slow

SLOPE, INTERCEPT = 0.25, -3.0


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("twice")
    raw, out = folder / "raw", folder / "out"
    made = simulate(raw, "--n-participants", 1, "--seed", 6, "--voxel-mm", 3, "--sessions", 1)
    assert made.status == 0, made.err
    _untidy_copy(raw)
    files = sorted(p for p in raw.rglob("*"))
    before = {p: p.lstat().st_mtime_ns for p in files}
    for path in files:
        if not path.is_symlink():
            path.chmod(0o555 if path.is_dir() else 0o444)
    done = command(
        raw, out, "participant", "--output-spaces", f"{EMBEDDED}:res-3", "--sloppy", "--nprocs", 1
    )
    assert done.status == 0, done.err
    assert {p: p.lstat().st_mtime_ns for p in sorted(raw.rglob("*"))} == before
    for path in files:
        if path.is_dir():
            path.chmod(0o755)  # so that pytest can clean up
    return Run(raw, out, done)


def _untidy_copy(raw: Path) -> None:
    source, target = raw / "sub-01" / "anat", raw / "sub-02" / "anat"
    target.mkdir(parents=True)
    with (raw / "participants.tsv").open() as stream:
        rows = stream.read().splitlines()
    (raw / "participants.tsv").write_text("\n".join([*rows, rows[1].replace("01", "02", 1)]) + "\n")
    _store(source / "sub-01_T1w.nii.gz", target / "sub-02_run-1_T1w.nii", "LIA")
    wrong = nib.load(source / "sub-01_T1w.nii.gz")
    nib.save(
        nib.Nifti1Image(np.zeros(wrong.shape, np.int16), wrong.affine),
        target / "sub-02_run-2_T1w.nii.gz",
    )
    annex = raw / ".git" / "annex" / "objects"
    annex.mkdir(parents=True)
    for file in sorted(source.glob("*_MEGRE.nii.gz")):
        echo = int(file.name.split("echo-")[1].split("_")[0])
        name = f"sub-02_echo-{echo:02d}_MEGRE"
        _store(file, annex / f"{name}.nii.gz", "PSR")
        (target / f"{name}.nii.gz").symlink_to(os.path.relpath(annex / f"{name}.nii.gz", target))
        about = json.loads(file.with_name(file.name[:-7] + ".json").read_text())
        (target / f"{name}.json").write_text(json.dumps({"EchoTime": str(about["EchoTime"])}))
    (raw / "MEGRE.json").write_text(json.dumps({"MagneticFieldStrength": 3}))


def _store(source: Path, target: Path, codes: str) -> None:
    """The same image with other axes, in integers that need slope and intercept."""
    image = nib.load(source)
    turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(codes))
    turned = image.as_reoriented(turn)
    stored = np.round((np.asarray(turned.dataobj) - INTERCEPT) / SLOPE).astype(np.int16)
    result = nib.Nifti1Image(stored, turned.affine)
    result.header.set_slope_inter(SLOPE, INTERCEPT)
    nib.save(result, target)
    raw = nib.load(target)
    assert "".join(nib.aff2axcodes(raw.affine)) == codes
    assert np.array_equal(np.asarray(raw.dataobj), np.asarray(turned.dataobj))


def both(run: Run, tail: str) -> tuple[nib.Nifti1Image, nib.Nifti1Image]:
    """The native product of the tidy and of the untidy participant, the latter in tidy axes."""
    tidy, other = (
        nib.load(run.out / name / "anat" / f"{name}_{tail}.nii.gz") for name in ("sub-01", "sub-02")
    )
    turn = ornt_transform(io_orientation(other.affine), io_orientation(tidy.affine))
    return tidy, other.as_reoriented(turn)


def test_native_maps_are_the_same_voxel_by_voxel(twice: Run) -> None:
    tidy, other = both(twice, "R2starmap")
    assert np.allclose(tidy.affine, other.affine, atol=1e-4)
    # noise alone, outside the head, has no well-determined R2*
    mask = np.asarray(both(twice, "space-MEGRE_desc-brain_mask")[0].dataobj) > 0
    first, second = (np.asarray(image.dataobj)[mask] for image in (tidy, other))
    assert np.allclose(first, second, rtol=1e-4, atol=1e-3)


def test_images_stay_where_they_were_in_the_scanner(twice: Run) -> None:
    """The T1w image keeps its own axes; everything on its grid has its affine."""
    source = nib.load(twice.raw / "sub-02" / "anat" / "sub-02_run-1_T1w.nii")
    anat = twice.out / "sub-02" / "anat"
    on_t1w = [
        *anat.glob("*space-T1w_R2starmap.nii.gz"),
        *anat.glob("sub-02_run-1_desc-brain_mask.nii.gz"),
    ]
    assert len(on_t1w) == 2
    for path in on_t1w:
        assert np.allclose(nib.load(path).affine, source.affine, atol=1e-4), path.name
        assert nib.load(path).shape == source.shape


def in_template(anat: Path, tail: str) -> np.ndarray:
    (file,) = anat.glob(f"*space-{EMBEDDED}_res-3_{tail}.nii.gz")
    return np.asarray(nib.load(file).dataobj)


def test_template_maps_agree(twice: Run) -> None:
    """Registration starts from other voxels, so only nearly: masks and maps of one head."""
    masks, maps = (
        [in_template(twice.out / name / "anat", tail) for name in ("sub-01", "sub-02")]
        for tail in ("desc-brain_mask", "R2starmap")
    )
    assert dice(*masks) > 0.97
    inside = (masks[0] > 0) & (masks[1] > 0)
    assert np.corrcoef(maps[0][inside], maps[1][inside])[0, 1] > 0.95


def test_the_choice_of_runs_is_told(twice: Run) -> None:
    assert "2 t1w images, sub-02_run-1_T1w.nii is used" in twice.finished.err
