"""The written cohort against its own truth, against ANTs, and against the BIDS validator."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import ants
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from bids_xai.errors import CannotCreateError
from bids_xai.simulation import encode, megre
from bids_xai.simulation import scan as scans
from bids_xai.simulation.cohort import SimulationOptions, draw_cohort
from bids_xai.simulation.deformation import Grid, random_rigid
from bids_xai.simulation.signal import mix
from bids_xai.simulation.write import simulate_cohort
from bids_xai.templates import embedded


def load(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def echoes(cohort, stem: str) -> tuple[np.ndarray, np.ndarray]:
    """Signal (echo, x, y, z) and echo times (s) as a user reads them."""
    files = sorted(cohort.raw.glob(f"{stem}_echo-*_MEGRE.nii.gz"))
    sidecars = [json.loads(Path(str(f).replace(".nii.gz", ".json")).read_text()) for f in files]
    return np.stack([load(f) for f in files]), np.array([each["EchoTime"] for each in sidecars])


def digests(folder: Path) -> dict[str, str]:
    files = [each for each in sorted(folder.rglob("*")) if each.is_file()]
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def test_files_and_progress(cohort) -> None:
    assert [stem.rsplit("/", 1)[1] for stem in cohort.stems()] == [
        "sub-01_ses-1",
        "sub-01_ses-2",
        "sub-02_ses-1",
        "sub-03_ses-1",
        "sub-04_ses-1",
    ]
    assert cohort.lines[0] == "1/4 sub-01 AD 2 sessions"
    assert len(cohort.lines) == 4
    truth = pd.read_csv(cohort.truth / "truth.tsv", sep="\t")
    assert list(truth.session_id) == ["ses-1", "ses-2", "ses-1", "ses-1", "ses-1"]
    ages = pd.read_csv(cohort.raw / "sub-01" / "sub-01_sessions.tsv", sep="\t").age
    assert list(ages.diff().dropna()) == [2]


@pytest.mark.parametrize("part", ["raw", "truth"])
def test_validator_finds_no_error(cohort, part: str) -> None:
    validator = Path(sys.executable).with_name("bids-validator-deno")
    if not validator.exists():
        pytest.skip("bids-validator-deno is not installed")
    done = subprocess.run([validator, getattr(cohort, part)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_grids_have_three_axis_sizes_and_differ(cohort) -> None:
    for stem in cohort.stems():
        t1w = nib.load(cohort.raw / f"{stem}_T1w.nii.gz")
        megre = nib.load(cohort.raw / f"{stem}_echo-1_MEGRE.nii.gz")
        assert len(set(t1w.shape)) == len(set(megre.shape)) == 3
        assert nib.aff2axcodes(t1w.affine) == tuple("RAS")
        assert megre.header.get_zooms() == pytest.approx((5, 5, 6))
        assert np.degrees(nib.affines.obliquity(megre.affine)).max() > 0.5


def test_log_linear_fit_gives_the_true_r2star(cohort) -> None:
    for stem in cohort.stems():
        signal, times = echoes(cohort, stem)
        brain = load(cohort.truth / f"{stem}_space-MEGRE_desc-brain_mask.nii.gz") > 0
        truth = load(cohort.truth / f"{stem}_R2starmap.nii.gz")[brain]
        fit = -np.polyfit(times, np.log(signal[:, brain]), 1)[0]
        assert np.median(np.abs(fit - truth)) < 0.05
        np.testing.assert_allclose(fit, truth, atol=0.5)


def test_mean_first_echo_brain_signal_is_the_reference_of_snr(cohort) -> None:
    stem = cohort.stems()[0]
    brain = load(cohort.truth / f"{stem}_space-MEGRE_desc-brain_mask.nii.gz") > 0
    assert echoes(cohort, stem)[0][0][brain].mean() == pytest.approx(1000, rel=1e-3)


def test_noise_in_air_has_the_sd_of_the_snr() -> None:
    options = SimulationOptions(n_participants=1, voxel_mm=5, snr=50)
    scan = megre.simulate_scan(draw_cohort(options)[0], 1, options)
    no_head = scan.r2star == 0
    airs = ((scan.t1w.image[:2], 10), (scan.megre[0][no_head], 20), (scan.megre[5][no_head], 20))
    for air, sigma in airs:
        assert air.mean() == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=0.03)
        assert air.std() == pytest.approx(sigma * np.sqrt(2 - np.pi / 2), rel=0.05)


def test_ants_reproduces_the_t1w_through_the_written_field(cohort, tmp_path) -> None:
    nib.save(embedded.brain(2), tmp_path / "brain.nii.gz")
    moving = ants.image_read(str(tmp_path / "brain.nii.gz"))
    for stem in cohort.stems()[:3]:
        fixed = ants.image_read(str(cohort.raw / f"{stem}_T1w.nii.gz"))
        field = cohort.truth / f"{stem}_from-{embedded.SPACE}_to-T1w_mode-image_xfm.nii.gz"
        warped = ants.apply_transforms(fixed=fixed, moving=moving, transformlist=[str(field)])
        brain = load(cohort.truth / f"{stem}_desc-brain_mask.nii.gz") > 0
        assert np.corrcoef(fixed.numpy()[brain], warped.numpy()[brain])[0, 1] > 0.95
        still = ants.resample_image_to_target(moving, fixed).numpy()[brain]
        assert np.corrcoef(fixed.numpy()[brain], still)[0, 1] < 0.9


def test_field_takes_points_where_the_simulation_takes_them(cohort) -> None:
    options = SimulationOptions(n_participants=4, voxel_mm=4, snr=1e5, seed=7)
    control = megre.simulate_scan(cohort.people[1], 1, options).setting.control
    stem = cohort.stems()[2]
    field = cohort.truth / f"{stem}_from-{embedded.SPACE}_to-T1w_mode-image_xfm.nii.gz"
    points = np.random.default_rng(0).uniform(-60, 60, (20, 3))
    lps = pd.DataFrame(points * [-1, -1, 1], columns=["x", "y", "z"])
    found = ants.apply_transforms_to_points(3, lps, [str(field)])[["x", "y", "z"]].to_numpy()
    expected = control.to_template(points.T.astype("f4")).T
    np.testing.assert_allclose(found * [-1, -1, 1], expected, atol=1e-3)


def test_rigid_file_holds_the_inverse_of_a_large_motion(tmp_path) -> None:
    motion = random_rigid(np.random.default_rng(1), 40, 50, np.array([5.0, -10, 20]))
    (tmp_path / "xfm.txt").write_bytes(encode.rigid(motion))
    point = np.array([12.0, -34, 56])
    transform = ants.read_transform(str(tmp_path / "xfm.txt"))
    found = np.array(ants.apply_ants_transform_to_point(transform, point * [-1, -1, 1]))
    expected = (np.linalg.inv(motion) @ [*point, 1])[:3]
    np.testing.assert_allclose(found * [-1, -1, 1], expected, atol=1e-4)


def test_rigid_file_aligns_megre_with_t1w(tmp_path) -> None:
    options = SimulationOptions(n_participants=1, voxel_mm=2.5, seed=7)
    person = draw_cohort(options)[0]
    scan = megre.simulate_scan(person, 1, options)
    expected = r2star_on_t1w_grid(scan, person)
    (tmp_path / "t1w.nii.gz").write_bytes(encode.image(scan.t1w.image, scan.t1w.grid))
    (tmp_path / "r2star.nii.gz").write_bytes(encode.image(scan.r2star, scan.megre_grid))
    (tmp_path / "xfm.txt").write_bytes(encode.rigid(scan.setting.motion))
    fixed, moving = (ants.image_read(str(tmp_path / f"{n}.nii.gz")) for n in ("t1w", "r2star"))
    aligned = ants.apply_transforms(fixed, moving, [str(tmp_path / "xfm.txt")]).numpy()
    still = ants.resample_image_to_target(moving, fixed).numpy()
    inner = ndimage.binary_erosion(scan.t1w.brain, iterations=3)
    errors = [np.abs(each - expected)[inner].mean() for each in (aligned, still)]
    assert np.corrcoef(aligned[inner], expected[inner])[0, 1] > 0.98
    assert errors[0] < 0.6 * errors[1]


def r2star_on_t1w_grid(scan, person) -> np.ndarray:
    """What R2* would be had the MEGRE been acquired on the T1w grid without motion."""
    head, grid = scan.t1w.head, scan.t1w.grid
    return scans.spread(mix(head.proportions, person.r2star_per_s(1))[1], head, grid)


def test_head_stays_inside_the_field_of_view() -> None:
    options = SimulationOptions(n_participants=8, voxel_mm=6)
    for person in draw_cohort(options):
        head = megre.simulate_scan(person, 1, options).r2star > 0
        assert head.any()
        assert not any(head.take(end, axis).any() for axis in range(3) for end in (0, -1))


def test_patients_have_more_r2star_in_the_nuclei_and_nowhere_else() -> None:
    options = SimulationOptions(n_participants=1, voxel_mm=4, effect_percent=0, max_sessions=1)
    ill = SimulationOptions(n_participants=1, voxel_mm=4, effect_percent=50, max_sessions=1)
    people = [draw_cohort(each)[0] for each in (options, ill)]
    without, with_effect = (megre.simulate_scan(person, 1, options) for person in people)
    np.testing.assert_array_equal(without.t1w.image, with_effect.t1w.image)
    ratio = with_effect.r2star / np.maximum(without.r2star, 1e-6)
    changed = ratio > 1.001
    assert ratio.max() == pytest.approx(1 + people[1].effect, rel=0.02)
    volume_ml = changed.sum() * 5 * 5 * 6 / 1000
    assert 20 < volume_ml < 90  # both sides, with partial volume
    assert not changed[~without.megre_brain].any()


def test_nuclei_stand_out_in_the_true_map(cohort) -> None:
    stem = cohort.stems()[2]
    fixed = ants.image_read(str(cohort.raw / f"{stem}_T1w.nii.gz"))
    moving = ants.image_read(str(cohort.truth / f"{stem}_R2starmap.nii.gz"))
    xfm = str(cohort.truth / f"{stem}_from-MEGRE_to-T1w_mode-image_xfm.txt")
    r2star = ants.apply_transforms(fixed=fixed, moving=moving, transformlist=[xfm]).numpy()
    labels = load(cohort.truth / f"{stem}_desc-nuclei_dseg.nii.gz")
    brain = load(cohort.truth / f"{stem}_desc-brain_mask.nii.gz") > 0
    assert set(np.unique(labels)) == set(range(7))
    rest = np.median(r2star[brain & (labels == 0)])
    medians = [np.median(r2star[labels == label]) for label in range(1, 7)]
    assert min(medians) > 1.1 * rest
    assert min(medians[4:]) > max(medians[:2])  # pallidum above caudate


def test_same_options_same_bytes_and_more_people_same_beginning(tmp_path) -> None:
    small = {"voxel_mm": 6, "max_sessions": 1, "seed": 5}
    for name, n in (("a", 2), ("b", 2), ("c", 3)):
        simulate_cohort(tmp_path / name, n_participants=n, **small)
    a, b, c = (digests(tmp_path / name) for name in "abc")
    assert a == b
    people = [name for name in a if "sub-0" in name]
    assert len(people) == 2 * (14 + 11)
    assert all(a[name] == c[name] for name in people)
    assert not any("ses-" in name or "sessions" in name for name in a)
    simulate_cohort(tmp_path / "d", n_participants=1, voxel_mm=6, max_sessions=1, seed=6)
    d = digests(tmp_path / "d")
    assert all(a[name] != d[name] for name in d if name.endswith("T1w.nii.gz"))


def test_sessions_differ_in_pose_and_share_the_anatomy(cohort) -> None:
    first, second = (
        nib.load(cohort.truth / f"{stem}_desc-brain_mask.nii.gz") for stem in cohort.stems()[:2]
    )
    volumes = [int(np.asarray(each.dataobj).sum()) for each in (first, second)]
    assert volumes[1] == pytest.approx(volumes[0], rel=0.01)
    assert not np.array_equal(first.dataobj, second.dataobj)


def test_a_folder_that_holds_something_is_refused(tmp_path) -> None:
    (tmp_path / "precious.txt").write_text("x")
    with pytest.raises(CannotCreateError, match="not empty") as caught:
        simulate_cohort(tmp_path)
    assert caught.value.status == 73
    with pytest.raises(CannotCreateError, match="cannot create"):
        simulate_cohort(tmp_path / "precious.txt" / "below")


def test_grid_is_centred() -> None:
    grid: Grid = scans.grid_about(np.array([1.0, 2, 3]), np.array([4.0, 5, 6]))
    np.testing.assert_allclose(grid.points().mean(axis=1), (1, 2, 3), atol=1e-3)


def test_the_default_kind_is_what_it_was_before_there_were_others() -> None:
    """Written down from the version without kinds: the same draws in the same order."""
    options = SimulationOptions(n_participants=2, voxel_mm=8, seed=5)
    person = draw_cohort(options)[0]
    assert (person.age, person.sex, person.site, person.n_sessions) == (71, "F", "B", 2)
    assert person.effect == pytest.approx(0.2881790742599169)
    assert person.r2star_factors["putamen"] == pytest.approx(1.0540257087702385)
    scan = megre.simulate_scan(person, 1, options)
    assert scan.t1w.image.sum(dtype=int) == pytest.approx(2701429, abs=20)
    sums = [2425167, 2171691, 1949321, 1755435, 1582768, 1431242]
    assert scan.megre.sum(axis=(1, 2, 3), dtype=int) == pytest.approx(sums, abs=20)
    assert scan.nuclei.sum() == 163
    assert scan.r2star.sum(dtype=float) == pytest.approx(69151.8597, rel=1e-5)
    np.testing.assert_allclose(scan.t1w.grid.affine[:3, 3], (-100.748, -139.953, -98.596))
