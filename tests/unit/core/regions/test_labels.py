"""Label images and names of sides: against slow versions, and on names real atlases use."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bids_xai.core.regions.labels import (
    LabelCentroids,
    label_centroids_mm,
    share_inside,
    side_of_name,
    swapped_sides,
    to_ranks,
    whole_labels,
    without_side,
)
from bids_xai.errors import BadDataError

HUGE = 2**31 - 1


def oblique(voxel_mm: float = 2.0, origin: tuple[float, float, float] = (-11, 7, -5)) -> NDArray:
    """An affine turned about two axes, with x flipped."""
    a, b = np.radians([20, -35])
    turn_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = turn_z @ turn_x @ np.diag([-voxel_mm, voxel_mm, voxel_mm])
    affine[:3, 3] = origin
    return affine


def some_labels(seed: int = 0) -> NDArray[np.int32]:
    rng = np.random.default_rng(seed)
    return rng.choice(np.array([0, 0, 3, 300, HUGE], np.int32), size=(6, 7, 8))


# --- sides of names ---------------------------------------------------------------------------

LEFT_RIGHT_REST = [
    # AAL, Harvard-Oxford, JHU
    ("Frontal_Sup_L", "Frontal_Sup_R", "Frontal_Sup"),
    ("Cerebelum_Crus1_L", "Cerebelum_Crus1_R", "Cerebelum_Crus1"),
    ("Lingual_L", "Lingual_R", "Lingual"),
    ("Left Lateral Ventricle", "Right Lateral Ventricle", "Lateral Ventricle"),
    ("Left_Caudate", "Right_Caudate", "Caudate"),
    ("L_Cingulum_(Hippocampus)", "R_Cingulum_(Hippocampus)", "Cingulum_(Hippocampus)"),
    ("L_Fornix_(Cres)+Stria", "R_Fornix_(Cres)+Stria", "Fornix_(Cres)+Stria"),
    # FreeSurfer, HCP, Schaefer, Brainnetome, thalamus, Tian
    ("Left-Cerebral-White-Matter", "Right-Cerebral-White-Matter", "Cerebral-White-Matter"),
    ("ctx-lh-superiorfrontal", "ctx-rh-superiorfrontal", "ctx-superiorfrontal"),
    ("ctx_lh_G_and_S_frontomargin", "ctx_rh_G_and_S_frontomargin", "ctx_G_and_S_frontomargin"),
    ("lh_G_cuneus", "rh_G_cuneus", "G_cuneus"),
    ("lh.bankssts", "rh.bankssts", "bankssts"),
    ("L_V1_ROI", "R_V1_ROI", "V1_ROI"),
    ("7Networks_LH_Vis_1", "7Networks_RH_Vis_1", "7Networks_Vis_1"),
    ("SFG_L_7_1", "SFG_R_7_1", "SFG_7_1"),
    ("thal-lh-pulvinar", "thal-rh-pulvinar", "thal-pulvinar"),
    ("HIP-head-lh", "HIP-head-rh", "HIP-head"),
    ("l_prefrontal_cortex", "r_prefrontal_cortex", "prefrontal_cortex"),
    ("IPL_PFcm_l", "IPL_PFcm_r", "IPL_PFcm"),
    # as people write
    ("Hippocampus left", "Hippocampus right", "Hippocampus"),
    ("LEFT INSULA", "RIGHT INSULA", "INSULA"),
    ("left-subthalamic-nuclei", "right-subthalamic-nuclei", "subthalamic-nuclei"),
    ("LeftThalamus", "RightThalamus", "Thalamus"),
    ("thalamusLeft", "thalamusRight", "thalamus"),
    ("Hippocampus, Left", "Hippocampus, Right", "Hippocampus"),
    ("Thalamus (L)", "Thalamus (R)", "Thalamus"),
    ("Fornix [l] body", "Fornix [r] body", "Fornix body"),
    ("L Amygdala", "R Amygdala", "Amygdala"),
    ("L. Amygdala", "R. Amygdala", "Amygdala"),
    ("Putamen L", "Putamen R", "Putamen"),
    ("Left Putamen L", "Right Putamen R", "Putamen"),
    ("Area hOc1 (V1) left", "Area hOc1 (V1) right", "Area hOc1 (V1)"),
    ("Left LH", "Right LH", "LH"),
    ("Left area R", "Right area L", None),
]
NO_SIDE = [
    "Lingual",
    "Rectus",
    "Lateral",
    "Lobule_VI",
    "L5",
    "R2",
    "L_5",
    "R 1",
    "VPL",
    "CeL",
    "BaL",
    "Brain-Stem",
    "Vermis_4_5",
    "Bright spot",
    "Cleft",
    "Copyright",
    "Leftover",
    "Rhinal cortex",
    "rhinal_cortex",
    "Rh",
    "Lateral hypothalamus (LH)",
    "area 44 r",
    "area 11l",
    "14r",
    "8Bm",
    "Left/Right thalamus",
    "left and right thalamus",
    "L-R",
    "LH_R",
    "bilateral",
    "L",
    "R",
    "",
    "Middle_Cerebellar_Peduncle",
    "17Networks_1",
    "label-12",
    "Layer_L_interior_part",
    "CA4-DG",
    "Pontine_Crossing_Tract",
    "Accumbens-area",
    "5th-Ventricle",
    "Red Nucleus",
]


@pytest.mark.parametrize(("left", "right", "rest"), LEFT_RIGHT_REST)
def test_a_name_tells_its_side_and_its_common_part(left: str, right: str, rest: str | None) -> None:
    assert side_of_name(left) == "left"
    assert side_of_name(right) == "right"
    if rest is not None:
        assert without_side(left) == without_side(right) == rest


@pytest.mark.parametrize("name", NO_SIDE)
def test_a_name_without_a_side_claims_none_and_stays(name: str) -> None:
    assert side_of_name(name) is None
    assert without_side(name) == name


def test_a_word_that_is_nothing_but_a_side_is_kept() -> None:
    assert side_of_name("Left") == "left"
    assert without_side("Left") == "Left"


def test_the_tables_that_come_with_templateflow_pair_up() -> None:
    found = importlib.util.find_spec("templateflow")
    assert found is not None
    assert found.origin is not None
    archive = Path(found.origin).parent / "conf" / "templateflow-skel.zip"
    if not archive.is_file():
        pytest.skip("this templateflow has no archive of empty files")
    with zipfile.ZipFile(archive) as skeleton:
        tables = {
            Path(name).name: skeleton.read(name).decode().splitlines()
            for name in skeleton.namelist()
            if name.endswith("_dseg.tsv")
        }
    pairs = {"HOCPAL": 26, "MASSP20": 28, "MIAL67ThalamicNuclei": 7, "Diedrichsen2009": 13}
    for atlas, n_pairs in pairs.items():
        lines = next(t for name, t in tables.items() if f"_atlas-{atlas}_" in name)
        names = [line.split("\t")[1] for line in lines[1:] if line.strip()]
        left = {without_side(n) for n in names if side_of_name(n) == "left"}
        right = {without_side(n) for n in names if side_of_name(n) == "right"}
        assert left == right
        assert len(left) == n_pairs


# --- places -----------------------------------------------------------------------------------


def test_centroids_equal_a_loop_over_labels() -> None:
    labels, affine = some_labels(), oblique()
    found = label_centroids_mm(labels, affine)
    assert found.values.tolist() == [3, 300, HUGE]
    for row, value in enumerate(found.values):
        voxels = np.argwhere(labels == value)
        world = np.array([affine @ [*voxel, 1] for voxel in voxels])[:, :3]
        assert found.n_voxels[row] == len(voxels)
        np.testing.assert_allclose(found.centroids_mm[row], world.mean(0), atol=1e-10)


def test_an_image_without_labels_has_no_centroids() -> None:
    found = label_centroids_mm(np.zeros((3, 4, 5), np.int32), np.eye(4))
    assert found.centroids_mm.shape == (0, 3)
    assert found.n_voxels.shape == found.values.shape == (0,)


def places(*x_mm: float) -> LabelCentroids:
    centroids = np.array([[x, 0, 0] for x in x_mm], float).reshape(-1, 3)
    n = len(x_mm)
    return LabelCentroids(
        values=np.arange(1, n + 1), n_voxels=np.ones(n, np.int64), centroids_mm=centroids
    )


def test_swapped_sides_are_found_and_nothing_else() -> None:
    names = [(1, "A_L"), (2, "A_R"), (3, "B_L"), (4, "B_R"), (5, "C"), (9, "D_L")]
    swapped = swapped_sides(names, places(-30, 30, 20, -20, 50))
    assert [(s.index, s.name, s.x_mm) for s in swapped] == [(3, "B_L", 20), (4, "B_R", -20)]


def test_the_middle_is_no_evidence_up_to_two_millimetres() -> None:
    names = [(1, "A left"), (2, "A right"), (3, "B left"), (4, "B right")]
    swapped = swapped_sides(names, places(1.99, -1.99, 2.0, -2.0))
    assert [s.index for s in swapped] == [3, 4]


def test_share_inside_counts_labelled_voxels_only() -> None:
    labels = np.zeros((4, 5, 6), np.int32)
    labels[0, 0, :4] = 500
    mask = np.zeros((8, 3, 3), np.uint8)
    mask[:, :, 0] = 1
    mask_affine = np.diag([1.0, 1, 1, 1])
    mask_affine[2, 3] = 1  # its first slice is the second of the labels
    assert share_inside(labels, np.eye(4), mask, mask_affine) == pytest.approx(0.25)
    assert np.isnan(share_inside(labels * 0, np.eye(4), mask, mask_affine))


def test_ranks_are_small_and_lead_back_to_the_labels() -> None:
    labels = some_labels()
    for given in (labels, np.where(labels == 0, 3, labels)):  # without background too
        ranks, values = to_ranks(given)
        assert values.tolist() == [0, 3, 300, HUGE]
        assert ranks.dtype == np.int32
        np.testing.assert_array_equal(values[ranks], given)
        np.testing.assert_array_equal(ranks == 0, given == 0)


# --- whole numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.int64, np.float32, np.float64])
def test_whole_numbers_of_any_type_become_int32(dtype: type) -> None:
    data = np.array([[0, 3, 200]], dtype)
    found = whole_labels(data)
    assert found.dtype == np.int32
    assert found.tolist() == [[0, 3, 200]]


def test_large_labels_scaled_ones_and_nan() -> None:
    assert whole_labels(np.array([HUGE, 256, np.nan])).tolist() == [HUGE, 256, 0]
    assert whole_labels(np.array([2.0004, 6.9996])).tolist() == [2, 7]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0, 0.37, 0.5], r"0\.37 \(in 2 voxels\)"),
        ([0, np.inf], "inf"),
        ([0.0, -1.0], "this image has -1"),
        ([0.0, 2.0**31], "2147483648"),
        ([1e30], "1e"),
    ],
)
def test_what_is_no_label_is_refused(values: list[float], said: str) -> None:
    with pytest.raises(BadDataError, match=said):
        whole_labels(np.array(values))
    assert whole_labels(np.zeros((0, 3))).size == 0
