"""Real scans: heads at 1 mm (two orientations) and a 7 T multi-echo block."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import EMBEDDED, SHARED, command

from bids_xai.bids.images import read_volume
from bids_xai.interfaces.brain import extract_brain
from bids_xai.settings import OutputSpace
from bids_xai.templates.lookup import Template, load_template

REAL = SHARED / "real-bids"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not REAL.is_dir(), reason="the folder of real test scans is not here"),
]

R2STAR = {1: 20.0, 2: 15.0, 3: 2.0}  # 1/s at 3 T, by tissue class from dark to bright T1w, below


def brain_template() -> Template:
    return load_template(OutputSpace(EMBEDDED, 2))


@pytest.mark.parametrize("name", ["uih", "lia"])
def test_brain_of_a_real_head(name: str) -> None:
    """A plausible adult brain: 1.0 to 1.8 litres, brighter than what surrounds it, in one piece."""
    head = read_volume(REAL / f"sub-{name}" / "anat" / f"sub-{name}_T1w.nii.gz")
    found = extract_brain(head, brain_template())
    litres = found.mask.sum() * np.prod(head.voxel_mm) * 1e-6
    assert 1.0 < litres < 1.8
    world = head.affine[:3, :3] @ np.argwhere(found.mask).T
    left_right, back_front, down_up = world.max(1) - world.min(1)
    assert 120 < left_right < 160
    assert 150 < back_front < 195
    assert 110 < down_up < 165


def test_brain_of_a_head_with_a_reference_mask() -> None:
    """The head template of MNI152NLin6Asym against its own mask."""
    folder = SHARED / "templateflow" / "tpl-MNI152NLin6Asym"
    head = read_volume(folder / "tpl-MNI152NLin6Asym_res-02_T1w.nii.gz")
    mask = read_volume(folder / "tpl-MNI152NLin6Asym_res-02_desc-brain_mask.nii.gz").data > 0
    found = extract_brain(head, brain_template()).mask
    assert 2 * (found & mask).sum() / (found.sum() + mask.sum()) > 0.93


def test_native_map_of_the_7t_block(tmp_path: Path) -> None:
    """R2* of a real 7 T block: the median lies where the data's own description says, near 33."""
    from bids_xai.core.relaxometry import fit_r2star

    anat = REAL / "sub-block" / "anat"
    files = sorted(anat.glob("*_MEGRE.nii.gz"))
    signal = np.stack([read_volume(f).data.ravel() for f in files])
    times = [json.loads(f.with_name(f.name[:-7] + ".json").read_text())["EchoTime"] for f in files]
    fit = fit_r2star(signal, np.array(times))
    tissue = signal[0] > np.percentile(signal[0], 50)
    assert 25 < np.median(fit.r2star[tissue]) < 42


@pytest.fixture(scope="module")
def semi_real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real head with a multi-echo GRE made from its tissue classes, in bids-examples' habits:
    zero-padded echo numbers, one MEGRE.json at the root with the common fields, EchoTime as text.
    """
    raw = tmp_path_factory.mktemp("semi") / "raw"
    anat = raw / "sub-uih" / "anat"
    anat.mkdir(parents=True)
    shutil.copy(REAL / "sub-uih" / "anat" / "sub-uih_T1w.nii.gz", anat)
    head = nib.load(anat / "sub-uih_T1w.nii.gz")
    values = np.asarray(head.dataobj, dtype=np.float32)[::2, ::2, ::2]
    affine = head.affine @ np.diag([2, 2, 2, 1])
    bright = np.percentile(values, 99)
    r2star = np.select([values > 0.6 * bright, values > 0.35 * bright], [22.0, 16.0], 40.0)
    rng = np.random.default_rng(0)
    for echo in range(1, 5):
        time_s = 0.005 * echo
        signal = values * np.exp(-time_s * r2star)
        noisy = np.hypot(signal + rng.normal(0, bright / 80, signal.shape),
                         rng.normal(0, bright / 80, signal.shape))  # fmt: skip
        name = f"sub-uih_echo-{echo:02d}_MEGRE"
        nib.save(nib.Nifti1Image(noisy.astype(np.float32), affine), anat / f"{name}.nii.gz")
        (anat / f"{name}.json").write_text(json.dumps({"EchoTime": str(round(time_s, 6))}))
    (raw / "MEGRE.json").write_text(json.dumps({"MagneticFieldStrength": 3}))
    (raw / "dataset_description.json").write_text(
        json.dumps({"Name": "semi-real", "BIDSVersion": "1.10.0"})
    )
    return raw


def test_participant_level_on_a_real_head(semi_real: Path, tmp_path: Path) -> None:
    done = command(
        semi_real, tmp_path / "out", "participant", "--output-spaces", "MNI152NLin6Asym:res-2",
        "--nprocs", 2, env={"TEMPLATEFLOW_HOME": str(SHARED / "templateflow"),
                            "TEMPLATEFLOW_AUTOUPDATE": "off"},
    )  # fmt: skip
    assert done.status == 0, done.err
    anat = tmp_path / "out" / "sub-uih" / "anat"
    fitted = read_volume(anat / "sub-uih_space-T1w_R2starmap.nii.gz").data
    mask = read_volume(anat / "sub-uih_desc-brain_mask.nii.gz").data > 0
    assert np.percentile(fitted[mask], 25) > 10
    assert np.percentile(fitted[mask], 75) < 60
    quality = json.loads(
        (anat / "sub-uih_space-MNI152NLin6Asym_res-2_desc-preproc_T1w.json").read_text()
    )["Quality"]
    assert quality["MaskDice"] > 0.95
    # one sharp brain against the mean of 152: centres aligned 0.30, affine 0.60, SyN 0.70
    assert quality["Correlation"] > 0.65
    assert (anat / "sub-uih_space-T1w_atlas-HOSPA_dseg.nii.gz").is_file()
