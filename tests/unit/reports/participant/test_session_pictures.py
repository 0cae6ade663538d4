"""Pictures of a session: which images get one, and what is outlined and counted in it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image as mpl_image

from bids_xai.bids.files import write_json, write_nifti
from bids_xai.reports.participant import session_pictures as session_module
from bids_xai.reports.participant.page import write_participant_page
from bids_xai.reports.participant.session_pictures import participant_figures, session_figures

SHAPE = (20, 26, 18)


def affine() -> np.ndarray:
    matrix = np.diag([8.0, 8.0, 8.0, 1.0])
    matrix[:3, 3] = (-80.0, -110.0, -60.0)
    return matrix


def ball(radius: float = 0.8) -> np.ndarray:
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    return np.asarray(x**2 + y**2 + z**2 < radius**2)


@pytest.fixture
def anat(tmp_path: Path) -> Path:
    folder = tmp_path / "sub-01" / "anat"
    folder.mkdir(parents=True)
    return folder


def put(anat: Path, name: str, data: np.ndarray, units: str = "") -> None:
    write_nifti(anat / f"sub-01_{name}.nii.gz", data, affine())
    if units:
        write_json(anat / f"sub-01_{name}.json", {"Units": units})


def names(paths: list[Path]) -> list[str]:
    return sorted(path.name.removeprefix("sub-01_") for path in paths)


def brain() -> np.ndarray:
    return ball().astype(np.float32)


def test_only_native_maps_make_a_page(anat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    head = ball(radius=0.6)
    put(anat, "R2starmap", rng.uniform(1, 100, SHAPE).astype(np.float32), "1/s")
    put(anat, "S0map", (500.0 * head + rng.uniform(0, 5, SHAPE)).astype(np.float32))
    put(anat, "desc-residual_S0map", np.full(SHAPE, 10, np.float32))
    counted = record(monkeypatch, "map_with_histogram")
    drawn = participant_figures(anat.parents[1], "01")
    assert names(drawn) == ["desc-histogram_R2starmap.png", "desc-residual_S0map.png"]
    (of_map, about), (of_residual, _) = counted
    np.testing.assert_array_equal(of_map[2], head)  # air is not counted
    assert about["counted"] == "voxels with signal"
    assert "no brain mask" in about["title"]
    assert of_residual[0][head].max() == pytest.approx(0.02, rel=0.02)
    assert not of_residual[0][~head].any()
    page = write_participant_page(anat.parents[1], "01", ["no T1w image"]).read_text()
    assert page.count("<img") == 2
    assert "Residuals of the R2* fit over S0" in page


def record(monkeypatch: pytest.MonkeyPatch, name: str) -> list[tuple[tuple, dict]]:  # type: ignore[type-arg]
    """Note the arguments of a drawing function and draw nothing."""
    calls: list[tuple[tuple, dict]] = []  # type: ignore[type-arg]

    def draw(*args: object, **options: object) -> bytes:
        calls.append((args, options))
        return name.encode()

    monkeypatch.setattr(session_module, name, draw)
    return calls


def test_an_s0_map_without_contrast_counts_all_of_it(
    anat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(anat, "R2starmap", np.ones(SHAPE, np.float32))
    put(anat, "S0map", np.ones(SHAPE, np.float32))
    counted = record(monkeypatch, "map_with_histogram")
    participant_figures(anat.parents[1], "01")
    assert counted[0][0][2].all()


def test_only_t1w_makes_a_page(anat: Path) -> None:
    put(anat, "desc-preproc_T1w", brain())
    put(anat, "desc-brain_mask", ball().astype(np.uint8))
    drawn = participant_figures(anat.parents[1], "01")
    assert names(drawn) == ["desc-brainmask_T1w.png"]
    page = write_participant_page(anat.parents[1], "01", []).read_text()
    assert '<th scope="row">desc-preproc_T1w</th>' in page
    assert "No model was applied to this session" in page
    assert "Input map" not in page


def test_every_kind_of_image_gets_its_pictures(anat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lesions = np.zeros(SHAPE, np.uint8)
    lesions[12, 15, 7:9] = 1
    put(anat, "desc-preproc_T1w", brain())
    put(anat, "desc-lesionfilled_T1w", 2 * brain())
    put(anat, "desc-brain_mask", ball().astype(np.uint8))
    put(anat, "space-T1w_label-lesion_mask", lesions)
    put(anat, "space-T1w_desc-preproc_FLAIR", brain())
    put(anat, "space-T1w_R1map", brain(), "1/s")
    put(anat, "space-T1w_R2starmap", 20 * brain())  # made elsewhere: there is no native one
    put(anat, "space-T1w_atlas-X_dseg", ball().astype(np.int32))
    histograms, mosaics = (record(monkeypatch, n) for n in ("map_with_histogram", "mosaic"))
    assert names(participant_figures(anat.parents[1], "01")) == [
        "desc-brainmask_T1w.png",
        "desc-lesion_T1w.png",
        "desc-lesionfilled_T1w.png",
        "space-T1w_desc-histogram_R1map.png",
        "space-T1w_desc-histogram_R2starmap.png",
        "space-T1w_desc-registration_FLAIR.png",
        "space-T1w_desc-registration_R1map.png",
        "space-T1w_desc-registration_R2starmap.png",
    ]
    assert [about["label"] for _, about in histograms] == ["R1 (1/s)", "R2* (1/s)"]
    _, (before, outlined), (after, _), *registrations = mosaics
    np.testing.assert_array_equal(outlined["outlines"][0], lesions > 0)
    np.testing.assert_array_equal(outlined["through"], lesions > 0)
    assert after[0].max() == 2 * before[0].max()
    assert all(len(about["outlines"]) == 2 for _, about in registrations)
    page = write_participant_page(anat.parents[1], "01", [])
    assert "FLAIR image on the T1w grid" in page.read_text()
    assert "R1 map on the T1w grid" in page.read_text()


def test_the_outline_follows_the_head_whatever_the_order_of_the_axes(anat: Path) -> None:
    """The same head stored as RAS and as PIL (front and top flipped) gives the same picture."""
    rng = np.random.default_rng(0)
    data = (rng.random(SHAPE) * ball()).astype(np.float32)
    data[:6], data[:, 20:], data[:, :, :5] = 0, 0, 0
    pictures = []
    for turned in (False, True):
        for name, values in (("desc-preproc_T1w", data), ("desc-brain_mask", data > 0)):
            volume, matrix = values.astype(np.float32), affine()
            if turned:
                volume, matrix = _turned(volume, matrix)
            write_nifti(anat / f"sub-01_{name}.nii.gz", volume, matrix)
        (path,) = participant_figures(anat.parents[1], "01")
        pictures.append(mpl_image.imread(io.BytesIO(path.read_bytes()), format="png"))
    assert pictures[0].std() > 0.05
    np.testing.assert_allclose(pictures[0], pictures[1], atol=0.02)


def _turned(data: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First axis to the back, second downwards, third to the left."""
    turned = np.transpose(data, (1, 2, 0))[::-1, ::-1, ::-1]
    new = np.zeros((4, 4))
    for column, axis in enumerate((1, 2, 0)):
        new[:, column] = -matrix[:, axis]
    last = np.array([n - 1 for n in data.shape])
    new[:3, 3] = matrix[:3, :3] @ last + matrix[:3, 3]
    new[3, 3] = 1
    return np.ascontiguousarray(turned), new


def test_a_picture_for_every_kind_of_image(
    participant_dir: Path, drawn_once: tuple[Path, list[Path]]
) -> None:
    pictures = session_figures(participant_dir, {"sub": "01", "ses": "1"})
    names = {path.name.removeprefix("sub-01_ses-1_") for path in pictures}
    assert {"desc-brainmask_T1w.png", "desc-histogram_R2starmap.png"} <= names
    assert "space-T1w_desc-registration_R2starmap.png" in names
    assert sum(name.endswith("_relmap.png") for name in names) == 2
    assert sum("templatemask" in name for name in names) == 1
    assert all(path.parent == participant_dir / "sub-01" / "figures" for path in pictures)
    folder, of_both_sessions = drawn_once
    assert len(of_both_sessions) == 2 * len(pictures)
    twins = [folder / path.relative_to(participant_dir) for path in pictures]
    assert set(twins) <= set(of_both_sessions)
    assert [path.read_bytes() for path in twins] == [path.read_bytes() for path in pictures]


def test_no_files_no_pictures(tmp_path: Path) -> None:
    assert session_figures(tmp_path, {"sub": "01"}) == []
    assert participant_figures(tmp_path, "01") == []
