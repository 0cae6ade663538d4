"""What the viewer's page holds: volumes at their places, whole steps, the true leading regions."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from markupsafe import escape

from bids_xai.bids.images import Volume
from bids_xai.figures.scene import CONVENTION
from bids_xai.reports import viewer
from bids_xai.reports.viewer import STEPS, MapLayer, Regions, bounded, top_regions, write_viewer

OBLIQUE = np.array([[1.9, 0.3, 0, -20], [-0.3, 1.9, 0.2, -30], [0, -0.2, 2, -25], [0, 0, 0, 1.0]])
COARSE = np.array([[4.0, 0, 0, -24], [0, 4, 0, -32], [0, 0, 4, -28], [0, 0, 0, 1.0]])


@pytest.fixture
def niivue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the script, so that the tests do not depend on the registry."""
    file = tmp_path / "built" / "niivue-9.js"
    file.parent.mkdir()
    file.write_text("var niivue;")
    file.with_name("LICENSE.txt").write_text("BSD")
    monkeypatch.setattr(viewer, "script", lambda: file)


def head() -> Volume:
    rng = np.random.default_rng(0)
    return Volume(rng.gamma(2.0, 50.0, size=(20, 24, 18)).astype(np.float32), OBLIQUE)


def regions() -> Regions:
    labels = np.zeros((20, 24, 18), np.int16)
    labels[3:7, 4:9, 5:9], labels[12:16, 4:9, 5:9], labels[8:10, 18:22, 10:14] = 4, 700, 9
    return Regions(Volume(labels, OBLIQUE), {4: "Left A", 700: "Right </script> A", 9: "B"})


def relevance(signed: bool = False) -> Volume:
    rng = np.random.default_rng(1)
    data = rng.gamma(0.5, 1e-5, size=(13, 17, 14))
    return Volume((data * (rng.choice([-1, 1], data.shape) if signed else 1)), COARSE)


def content_of(page: Path) -> dict[str, Any]:
    found = re.search(r'id="content">(.*?)</script>', page.read_text(encoding="utf-8"), re.S)
    assert found is not None
    content: dict[str, Any] = json.loads(found[1])
    return content


def image_of(text: str) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(text)))


@pytest.mark.usefixtures("niivue")
@pytest.mark.parametrize("signed", [False, True])
def test_maps_come_back_at_their_places(tmp_path: Path, signed: bool) -> None:
    out, page = tmp_path / "out", tmp_path / "out" / "sub-1" / "figures" / "sub-1_viewer.html"
    heat = relevance(signed)
    layers = [MapLayer("z+", heat), MapLayer("R2*", head(), "1/s")]
    made = write_viewer(page, out, "A <title>", head(), layers, regions())
    assert made == page
    assert 'src="../../viewer/niivue-9.js"' in page.read_text()
    assert "A &lt;title&gt;" in page.read_text()
    assert (out / "viewer" / "niivue-9.js").is_file()
    assert (out / "viewer" / "LICENSE.txt").is_file()
    content = content_of(page)
    first, second = content["layers"]
    assert (first["signed"], second["unit"]) == (signed, "1/s")
    shown = image_of(first["data"])
    np.testing.assert_allclose(shown.affine, COARSE, atol=1e-5)
    np.testing.assert_allclose(
        np.asarray(shown.dataobj) * first["step"], heat.data, atol=0.51 * first["step"]
    )
    assert np.abs(np.asarray(shown.dataobj)).max() == STEPS
    low, high = first["window"]
    values = np.abs(heat.data) * (1 / first["step"])
    assert np.mean(values <= low) == pytest.approx(0.9, abs=0.02)
    assert np.mean(values <= high) == pytest.approx(0.995, abs=0.005)
    anatomy = image_of(content["anatomy"])
    np.testing.assert_allclose(anatomy.affine, OBLIQUE, atol=1e-5)
    order = np.corrcoef(np.asarray(anatomy.dataobj).ravel(), head().data.ravel())[0, 1]
    assert order > 0.95


@pytest.mark.usefixtures("niivue")
def test_labels_and_their_names_fit(tmp_path: Path) -> None:
    page = tmp_path / "x.html"
    write_viewer(page, tmp_path, "x", head(), [MapLayer("z+", relevance())], regions())
    content = content_of(page)
    compact = np.asarray(image_of(content["regions"]["labels"]).dataobj)
    names = content["regions"]["names"]
    truth = regions()
    for label, name in truth.names.items():
        np.testing.assert_array_equal(compact == names.index(name), truth.volume.data == label)
    outline = np.asarray(image_of(content["regions"]["outline"]).dataobj) > 0
    assert (truth.volume.data[outline] > 0).all()
    assert 0 < outline.sum() < (truth.volume.data > 0).sum()


def test_regions_with_most_and_where_they_are_strongest() -> None:
    """A voxel by voxel version on the grid of the regions themselves."""
    known, rng = regions(), np.random.default_rng(2)
    heat = Volume(rng.random((20, 24, 18)), OBLIQUE)
    heat.data[known.volume.data == 9] *= 5
    found = top_regions(heat, known)
    means = {
        name: heat.data[known.volume.data == label].mean() for label, name in known.names.items()
    }
    assert [one["name"] for one in found] == sorted(means, key=lambda name: -means[name])
    assert found[0]["name"] == "B"
    assert found[0]["mean"] == pytest.approx(means["B"], rel=1e-2)
    inside = np.where(known.volume.data == 9, heat.data, -1)
    index = np.unravel_index(inside.argmax(), inside.shape)
    place = OBLIQUE[:3, :3] @ np.array(index) + OBLIQUE[:3, 3]
    np.testing.assert_allclose(found[0]["mm"], place, atol=0.06)


def test_a_large_image_is_made_coarser_at_the_same_place() -> None:
    grid = np.moveaxis(np.indices((40, 48, 36)), 0, -1) @ OBLIQUE[:3, :3].T + OBLIQUE[:3, 3]
    inside = np.linalg.norm(grid - grid.mean(axis=(0, 1, 2)), axis=-1) < 20
    ball = Volume(inside.astype(np.float32), OBLIQUE)
    small = bounded(ball, 9_000)
    assert small.data.size < 1.4 * 9_000
    assert bounded(ball, 10**6) is ball
    index = np.argwhere(small.data > 0.5).mean(axis=0)
    place = small.affine[:3, :3] @ index + small.affine[:3, 3]
    np.testing.assert_allclose(place, grid.mean(axis=(0, 1, 2)), atol=0.5)


def test_without_the_script_there_is_no_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewer, "script", lambda: None)
    page = tmp_path / "x.html"
    assert write_viewer(page, tmp_path, "x", head(), [MapLayer("z+", relevance())]) is None
    assert not list(tmp_path.iterdir())
    assert viewer.link(page, tmp_path, "words") == []


@pytest.mark.usefixtures("niivue")
def test_the_viewer_has_the_convention_of_the_pictures_and_says_so(tmp_path: Path) -> None:
    page, notes = tmp_path / "x.html", ["no <face>"]
    write_viewer(page, tmp_path, "x", head(), [MapLayer("z+", relevance())], None, notes)
    text = page.read_text()
    options = text[text.index("new niivue.Niivue({") :].partition("});")[0]
    for option in (
        "isRadiologicalConvention",
        "isOrientationTextVisible",
        "showAllOrientationMarkers",
        "sagittalNoseLeft",
    ):
        assert f"{option}: true" in options
    assert escape(CONVENTION) in text
    assert '<p class="note">no &lt;face&gt;</p>' in text
