"""Heatmaps of a test set: what is yielded, and what is written of it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import nibabel as nib
import numpy as np
import pytest

from bids_xai.attribution.request import Request
from bids_xai.bids.images import Volume
from bids_xai.errors import UsageError
from bids_xai.group.explain import heatmaps as module
from bids_xai.group.explain.heatmaps import (
    Heatmap,
    HeatmapOptions,
    TrainedNetwork,
    heatmaps,
    write_heatmap,
)
from bids_xai.group.scans import Scan
from bids_xai.stages.explain import Explanation, OpenScan
from bids_xai.studies.tables import Target

TARGET = Target("diagnosis", "NC", "AD")
CARD = cast(
    "Any",
    SimpleNamespace(study="tiny", configuration="card", split=9, classes=("NC", "AD"), space="T1w"),
)
REQUESTS = (Request("lrp-zplus", "lrp-zplus"), Request("logit", "saliency", {}, "true"))


def scan(label: str, class_name: str) -> Scan:
    files = (Path(f"{label}.nii.gz"), Path(f"{label}_mask.nii.gz"))
    return Scan(f"sub-{label}", label, "", class_name, *files, Path("xfm.h5"))


def options(grid: Any = None, requests: tuple[Request, ...] = REQUESTS) -> HeatmapOptions:
    return HeatmapOptions(requests, TARGET, grid, "cpu", renormalise=True)


def volume(value: float) -> Volume:
    return Volume(np.full((2, 3, 4), value, np.float32), np.diag([4.0, 4, 4, 1]))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A network that finds 02 to be sick, and relevance of a tenth everywhere."""
    asked: list[Any] = []

    def open_scan(model: Any, card: Any, rule: Any, map_file: Path, *of: Any) -> OpenScan:
        sick = 0.75 if map_file.name == "02.nii.gz" else 0.25
        return OpenScan(volume(1.0), volume(1.0), np.array([1 - sick, sick]))

    def explain_scan(model: Any, card: Any, opened: Any, request: Request, **of: Any) -> Any:
        asked.append((request.name, of["true_class"]))
        class_name = "all" if request.start == "softmax" else "AD"
        return Explanation(volume(0.1), class_name, 2.4, 0.9)

    def warp(relevance: Volume, grid: Any, to_template: Path, *, renormalise: bool) -> Volume:
        asked.append((to_template, renormalise))
        return Volume(2 * relevance.data, relevance.affine)

    monkeypatch.setattr(module, "open_scan", open_scan)
    monkeypatch.setattr(module, "explain_scan", explain_scan)
    monkeypatch.setattr(module, "warp_relevance", warp)
    return asked


NETWORK = TrainedNetwork("A", 3, cast("Any", None), CARD, cast("Any", None))


def test_every_scan_is_explained_by_every_request(calls: list[Any]) -> None:
    found = list(heatmaps(NETWORK, [scan("01", "AD"), scan("02", "AD")], options()))
    assert [(h.scan.name, h.request.name) for h in found] == [
        ("sub-01", "lrp-zplus"),
        ("sub-01", "logit"),
        ("sub-02", "lrp-zplus"),
        ("sub-02", "logit"),
    ]
    assert calls[:2] == [("lrp-zplus", "AD"), ("logit", "AD")]
    assert all(h.warped is None and h.prediction.warped_sum is None for h in found)
    row = found[0].prediction
    assert (row.configuration, row.split, row.method) == ("A", 3, "lrp-zplus")
    assert (row.predicted_class, row.probability, row.outcome) == ("NC", 0.25, "FN")
    assert (row.relevance_sum, row.inner_mask_share) == (2.4, 0.9)
    assert found[2].prediction.outcome == "TP"


def test_relevance_is_warped_where_there_is_a_template(calls: list[Any]) -> None:
    grid = SimpleNamespace(atlas=None, space=SimpleNamespace(template="T"))
    (found,) = heatmaps(NETWORK, [scan("01", "AD")], options(grid, REQUESTS[:1]))
    assert calls[-1] == (Path("xfm.h5"), True)
    assert found.prediction.warped_sum == pytest.approx(24 * 0.2)
    assert options(grid).template == "T"
    assert options().template == ""


def test_a_request_that_does_not_fit_is_refused_before_any_scan(calls: list[Any]) -> None:
    asked = options(requests=(Request("saliency", "saliency", {}, "MCI"),))
    with pytest.raises(UsageError, match="no class 'MCI'"):
        next(heatmaps(NETWORK, [scan("01", "AD")], asked))
    assert calls == []


@pytest.mark.usefixtures("calls")
def test_files_say_what_they_hold(tmp_path: Path) -> None:
    grid = SimpleNamespace(atlas=None, space=SimpleNamespace(template="T"))
    folder = tmp_path / "relevance" / "A"
    first: Heatmap = next(heatmaps(NETWORK, [scan("01", "AD")], options(grid)))
    row, files = write_heatmap(first, CARD, folder, tmp_path, "T")
    assert row.heatmap is not None
    assert row.warped_heatmap is not None
    assert row.scan == "sub-01"
    assert row.heatmap.parent == Path("relevance/A")
    start = f"model-tinycard9_label-{row.relevance_class}_desc-"
    assert f"sub-01_space-T1w_{start}" in row.heatmap.name
    assert f"sub-01_space-T_res-2_{start}" in row.warped_heatmap.name
    assert len(files) == 4
    image = nib.load(tmp_path / row.warped_heatmap)
    assert np.allclose(image.get_fdata(), 0.2)
    sidecars = [json.loads(file.read_text()) for file in files if file.suffix == ".json"]
    assert [sidecar["Grid"] for sidecar in sidecars] == ["network input", "template"]
    for sidecar in sidecars:
        assert sidecar["Method"] == "lrp-zplus"
        assert sidecar["Class"] == row.relevance_class
        assert (sidecar["SumBeforeWarp"], sidecar["InnerMaskShare"]) == (2.4, 0.9)
        assert sidecar["SumAfterWarp"] == pytest.approx(24 * 0.2)


@pytest.mark.usefixtures("calls")
def test_without_a_template_there_is_one_grid(tmp_path: Path) -> None:
    first = next(heatmaps(NETWORK, [scan("01", "AD")], options()))
    row, files = write_heatmap(first, CARD, tmp_path, tmp_path, "")
    assert row.warped_heatmap is None
    assert len(files) == 2
    assert json.loads(files[1].read_text())["SumAfterWarp"] is None
