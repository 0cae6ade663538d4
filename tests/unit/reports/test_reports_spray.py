"""The section on spectral relevance analysis: verdicts first, and a drawing to explore."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from bids_xai.bids.files import write_bytes, write_json
from bids_xai.errors import BadDataError
from bids_xai.figures.cluster_tiles import TILE_PX, projection_tile, tile_sheet
from bids_xai.figures.clusters import cluster_maps
from bids_xai.reports.blocks import Html, Items, Section, Text, render
from bids_xai.reports.study import spray as group_spray
from bids_xai.reports.study import spray_explorer
from bids_xai.reports.study.spray_explorer import explorer
from bids_xai.reports.study_files import Study

STUDY = "tiny"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture
def study(study_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    for name in ("cluster_maps", "eigenvalue_panels", "embedding_panels"):
        monkeypatch.setattr(group_spray, name, lambda *_args, **_options: b"<svg/>")
    return Study.at(study_dir, STUDY)


def data_of(block: Html) -> dict[str, object]:
    found = re.search(r'id="spray-data">(.*?)</script>', block.text, re.DOTALL)
    assert found is not None
    loaded: dict[str, object] = json.loads(found.group(1))
    return loaded


def test_verdicts_come_first(study: Study) -> None:
    blocks = group_spray.spectral(study).blocks
    assert isinstance(blocks[0], Text)
    assert "may show a shortcut" in blocks[0].text
    assert isinstance(blocks[1], Items)
    assert blocks[1].look == "problem"
    assert blocks[1].items == (
        "Configuration A, subject space: Cluster <x> (suspicious). Look at: sub-01, sub-03.",
    )
    texts = [block.text for block in blocks if isinstance(block, Text)]
    assert "Configuration A, subject space: 2 clusters, 1 suspicious." in texts
    (study.folder / "spray" / "verdicts.tsv").unlink()
    first = group_spray.spectral(study).blocks[0]
    assert isinstance(first, Text)
    assert "--steps spray" in first.text


def test_a_table_without_its_columns_is_named(study: Study) -> None:
    (study.folder / "spray" / "verdicts.tsv").write_text("configuration\nA\n")
    with pytest.raises(BadDataError, match=r"space, finding.*verdicts\.tsv"):
        group_spray.spectral(study)


def test_the_tests_that_count_come_first(study: Study) -> None:
    folder = study.folder / "spray" / "A_T1w"
    header = [
        "cluster",
        "covariate",
        "test",
        "effect_size",
        "effect_within",
        "p",
        "q",
        "q_within",
        "n",
        "counts",
    ]
    lines = [
        [1, f"c{i}", "Fisher exact", 0.1, "n/a", 0.5 - i / 100, 0.9, "n/a", 30, "false"]
        for i in range(20)
    ]
    lines.append([2, "site", "Fisher exact", 0.9, 0.8, 0.6, 0.001, 0.002, 30, "true"])
    text = "\n".join("\t".join(map(str, line)) for line in [header, *lines])
    (folder / "confounds.tsv").write_text(text)
    (table,) = group_spray._confounds(folder)
    assert table.rows[0][:2] == ("Cluster 2", "site")
    assert table.rows[1][1] == "c19"
    assert len(table.rows) == 12
    assert "12 first of 21 tests" in table.caption


def test_the_explorer_holds_every_point(study: Study) -> None:
    folders = {"one": study.folder / "spray" / "A_T1w", "two": study.folder / "spray" / "none"}
    (study.folder / "spray" / "covariates.tsv").write_text(
        "scan\tsite\tempty\nsub-00_ses-1\t</script><b>\tn/a\n"
    )
    (block,) = explorer(study, folders)
    data = data_of(block)
    (analysis,) = data["analyses"]
    assert len(analysis["points"]) == 24
    assert analysis["points"][0]["scan"] == "sub-00_ses-1"
    assert data["columns"] == ["site"]
    assert data["scans"] == {"sub-00_ses-1": ["</script><b>"]}
    assert block.text.count("</script>") == 2
    assert explorer(study, {"two": folders["two"]}) == []


def test_pictures_are_bounded(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = study.folder / "spray" / "C_template"
    write_bytes(folder / "mosaics.png", b"x" * 1000)
    said = {"C_template": {"tile": {"height": 2, "width": 3, "tiles": 4}}}
    study.description["spray"] = said
    sheet = data_of(explorer(study, {"C": folder})[0])["analyses"][0]["sheet"]
    assert sheet["tiles"] == 4
    monkeypatch.setattr(spray_explorer, "MOST_BYTES", 999)
    assert data_of(explorer(study, {"C": folder})[0])["analyses"][0]["sheet"] is None


def test_heatmaps_without_a_picture_are_told(study: Study) -> None:
    folder = study.folder / "spray" / "C_template"
    write_bytes(folder / "mosaics.png", b"x")
    study.description["spray"] = {"C_template": {"tile": {"height": 2, "width": 3, "tiles": 4}}}
    assert "C: the first 4 heatmaps have a picture." in explorer(study, {"C": folder})[0].text
    study.description["spray"]["C_template"]["tile"]["tiles"] = 24
    assert "have a picture" not in explorer(study, {"C": folder})[0].text


def test_a_tile_shows_where_relevance_lies() -> None:
    volume = np.zeros((20, 30, 20))
    volume[15, 25, 4] = 2.0  # right, front, low
    brain = np.zeros(volume.shape, dtype=bool)
    brain[5:15, 8:22, 5:15] = True
    tile = projection_tile(volume, brain)
    assert tile.shape == TILE_PX
    cell = TILE_PX[1] // 3
    axial, coronal, sagittal = (tile[:, i * cell : (i + 1) * cell] for i in range(3))
    hot = [np.argwhere(part == 62).mean(axis=0) for part in (axial, coronal, sagittal)]
    middle_y, middle_x = TILE_PX[0] / 2, cell / 2
    assert hot[0][0] < middle_y  # front at the top
    assert hot[0][1] < middle_x  # the patient's right on the left
    assert hot[1][0] > middle_y  # low
    assert hot[2][1] < middle_x  # front at the left
    assert all((part == 63).any() for part in (axial, coronal, sagittal))
    assert projection_tile(np.zeros((4, 4, 4))).max() == 0
    sheet = tile_sheet([tile] * 20)
    assert sheet.startswith(b"\x89PNG")
    import io

    from matplotlib.image import imread

    assert imread(io.BytesIO(sheet)).shape[:2] == (2 * TILE_PX[0], 16 * TILE_PX[1])


def test_maps_of_clusters_are_drawn_in_three_planes() -> None:
    rng = np.random.default_rng(0)
    image = cluster_maps(
        rng.random((20, 24, 20)),
        (4.0, 4.0, 4.0),
        {"Cluster 1": rng.random((20, 24, 20)), "Cluster 2": rng.random((20, 24, 20))},
        window=(0.5, 1.0),
        title="x",
    )
    assert image.startswith(b"\x89PNG")


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_shows_the_scan_of_a_point(study: Study, tmp_path: Path) -> None:
    """From a file, without network: a link to a point opens its card."""
    folder = study.folder / "spray" / "A_T1w"
    tiles = [projection_tile(np.random.default_rng(i).random((9, 9, 9)) ** 9) for i in range(24)]
    write_bytes(folder / "mosaics.png", tile_sheet(tiles))
    study.description["spray"] = {"A_T1w": {"tile": {"height": 54, "width": 168, "tiles": 24}}}
    blocks = tuple(explorer(study, {"first": folder, "second": folder}))
    page = tmp_path / "page.html"
    page.write_text(render("x", "y", [Section("SpRAy", blocks)]))
    write_json(tmp_path / "unused.json", {})
    shown = subprocess.run(
        [
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--dump-dom",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"{page.as_uri()}#spray-1-5",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    card = unescape(shown.split('class="card"')[1].split("</div>")[0])
    assert "sub-02_ses-2" in card
    assert "<canvas" in card
    assert shown.count('role="button"') == 24
    assert 'class="now"' in shown
