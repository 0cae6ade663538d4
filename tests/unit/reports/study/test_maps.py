"""Mean maps of classes and outcomes, and of the methods after the first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bids_xai.bids.files import write_json, write_nifti
from bids_xai.reports.blocks import Details, Picture, Text
from bids_xai.reports.study import maps
from bids_xai.reports.study.spray import pictures
from bids_xai.reports.study.spray.analyses import analyses_of
from bids_xai.reports.study_files import StudyFiles

SHAPE = (6, 7, 8)
STUDY = "tiny"  # of conftest.py


def write_mean(folder: Path, tail: str, data: Any, method: str = "") -> None:
    stem = folder / "means" / f"configuration-A_group-{tail}_mean"
    write_nifti(stem.with_name(f"{stem.name}.nii.gz"), data.astype(np.float32), np.eye(4))
    if method:
        write_json(stem.with_name(f"{stem.name}.json"), {"Method": method})


def test_every_method_has_a_strip_on_its_own_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = tmp_path / "group" / "s"
    names = {
        "study": "s",
        "classes": ["NC", "A D"],
        "positive": "A D",
        "configurations": [{"id": "A"}],
    }
    write_json(group / "study.json", names)
    rng = np.random.default_rng(0)
    first, second = rng.random(SHAPE), 100 * rng.normal(size=SHAPE)
    write_mean(group, "AD", first)
    write_mean(group, "AD_desc-lrpalphabeta050", second, "beta-half")
    write_mean(group, "AD_desc-saliency", 0 * first, "saliency")
    write_mean(group, "NC_desc-saliency", first, "saliency")
    drawn: list[dict[str, Any]] = []

    def strips(_: Any, __: Any, maps: Any, **options: Any) -> bytes:
        drawn.append({"maps": maps, **options})
        return b"<svg/>"

    monkeypatch.setattr(maps, "strips", strips)
    monkeypatch.setattr(maps, "mosaic", lambda *_, **__: b"<svg/>")
    blocks = maps.mean_heatmaps(StudyFiles.at(tmp_path, "s")).blocks
    groups, method = drawn
    assert list(groups["maps"]) == ["AD"]  # the first method alone
    assert not groups["signed"]
    assert method["signed"]
    assert method["window"] == pytest.approx(np.percentile(abs(second), (50, 99.5)), rel=1e-5)
    np.testing.assert_allclose(next(iter(method["maps"].values())), second, rtol=1e-6)
    methods = next(b for b in blocks if isinstance(b, Details))
    assert methods.summary == "Configuration A: 2 further methods"
    blocks = (*(b for b in blocks if b is not methods), *methods.blocks)
    pictures = [b for b in blocks if isinstance(b, Picture)]
    assert len(pictures) == 3
    assert "Method beta-half" in pictures[2].caption
    assert "white zero" in pictures[2].caption
    assert "50 to the 99.5 percentile of the magnitudes" in pictures[2].caption
    assert [b.text for b in blocks if isinstance(b, Text)] == [
        "The mean map of A D by saliency has no relevance above zero."
    ]


def test_colours_of_signed_maps_are_told() -> None:
    plain = maps.window_words((0.1, 2.0), False, "this map")
    signed = maps.window_words((0.1, 2.0), True, "this map")
    assert "50 to the 99.5 percentile of the positive values of this map (0.1 to 2)" in plain
    assert "Red" not in plain
    assert "percentile of the magnitudes of this map" in signed
    assert "Red is positive, blue negative, white zero." in signed


@pytest.mark.parametrize("signed", [False, True])
def test_large_maps_have_such_captions(
    study_dir: Path, monkeypatch: pytest.MonkeyPatch, signed: bool
) -> None:
    for module in (maps, pictures):
        monkeypatch.setattr(module, "is_signed", lambda _: signed)
        for name in ("mosaic", "strips", "cluster_maps"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, lambda *_, **__: b"<svg/>")
    study = StudyFiles.at(study_dir, STUDY)
    files = maps.group_means(study, "A")
    large, strip = maps._configuration_maps(study, "A", files)
    (clusters,) = pictures.cluster_pictures(study, analyses_of(study)[0])
    for picture in (large, strip, clusters):
        assert ("the magnitudes of" in picture.caption) is signed
        assert ("white zero" in picture.caption) is signed
