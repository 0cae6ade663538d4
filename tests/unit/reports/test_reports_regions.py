"""What the sections on regions, agreement and biology say, against their tables."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bids_xai.bids.files import write_text
from bids_xai.errors import BadDataError
from bids_xai.figures import regions as drawing
from bids_xai.reports.blocks import Picture, Section, Subheading, Table, Text
from bids_xai.reports.study import agreement as group_agreement
from bids_xai.reports.study import regions as group_regions
from bids_xai.reports.study.agreement import agreement
from bids_xai.reports.study.biology import biology
from bids_xai.reports.study.regions import regions
from bids_xai.reports.study_files import Study

STUDY = "tiny"


@pytest.fixture
def study(study_dir: Path) -> Study:
    return Study.at(study_dir, STUDY)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """What the figures are given, in the order of the page."""
    seen: dict[str, list[Any]] = {}

    def record(name: str) -> Any:
        def draw(first: Any, *_: Any, **__: Any) -> bytes:
            seen.setdefault(name, []).append(first)
            return b"<svg/>"

        return draw

    for name in ("region_bars", "region_violins"):
        monkeypatch.setattr(group_regions, name, record(name))
    monkeypatch.setattr(group_agreement, "agreement_matrices", record("agreement_matrices"))
    return seen


def rows(study: Study, name: str) -> list[dict[str, str]]:
    with (study.folder / "atlas" / name).open() as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def words(section: Section) -> str:
    found = [b.text for b in section.blocks if isinstance(b, (Text, Subheading))]
    found += [b.caption for b in section.blocks if isinstance(b, (Table, Picture))]
    return " ".join(found)


def tables(section: Section) -> list[Table]:
    return [block for block in section.blocks if isinstance(block, Table)]


def test_bars_show_the_densest_regions_with_their_gain(
    study: Study, drawn: dict[str, list[Any]]
) -> None:
    section = regions(study)
    gains = [
        r for r in rows(study, "gain.tsv") if (r["configuration"], r["merged"]) == ("B", "false")
    ]
    ill = sorted((r for r in gains if r["group"] == "AD"), key=lambda r: -float(r["mean_density"]))
    healthy = {r["name"]: float(r["mean_density"]) for r in gains if r["group"] == "NC"}
    panel = drawn["region_bars"][0]["B"]
    assert list(panel.regions) == [r["name"] for r in ill[:10]]
    np.testing.assert_allclose(panel.positive, [float(r["mean_density"]) for r in ill[:10]])
    np.testing.assert_allclose(panel.negative, [healthy[r["name"]] for r in ill[:10]])
    assert [np.isnan(g) for g in panel.gain] == [r["gain"] == "n/a" for r in ill[:10]]
    assert tables(section)[1].rows[0][0] == ill[0]["name"]
    assert "n/a in 6 of" in words(section)  # one region in three configurations, apart and joined


def test_the_leading_four_by_share_are_of_joined_sides(
    study: Study, drawn: dict[str, list[Any]]
) -> None:
    table = tables(regions(study))[-1]
    assert table.header == ("Configuration", "AD", "NC")
    known = [
        r
        for r in rows(study, "gain.tsv")
        if (r["configuration"], r["merged"], r["group"]) == ("C", "true", "NC")
    ]
    known.sort(key=lambda r: -float(r["mean_sum"]))
    expected = "; ".join(f"{r['name']} ({100 * float(r['mean_share']):.1f} %)" for r in known[:4])
    assert table.rows[2] == ("C", table.rows[2][1], expected)


def test_the_spread_is_that_of_single_scans_with_sides_joined(
    study: Study, drawn: dict[str, list[Any]]
) -> None:
    section = regions(study)
    values = drawn["region_violins"][2]
    lines = [r for r in rows(study, "regions.tsv") if r["configuration"] == "C"]
    expected: dict[str, list[float]] = {}
    for left, right in zip(lines[::2], lines[1::2], strict=True):
        assert right["name"] == left["name"].replace("Left", "Right")
        if left["true_class"] == "AD":
            total = float(left["sum"]) + float(right["sum"])
            density = total / (float(left["n_voxels"]) + float(right["n_voxels"]))
            expected.setdefault(left["name"].removeprefix("Left "), []).append(density)
    order = sorted(expected, key=lambda name: -np.mean(expected[name]))
    assert list(values.regions) == order
    for name, found in zip(values.regions, values.positive, strict=True):
        np.testing.assert_allclose(sorted(found), sorted(expected[name]), rtol=1e-6)
    prints = {
        (r["individual"], r["name"]): float(r["density"])
        for r in rows(study, "fingerprints.tsv")
        if r["configuration"] == "C"
    }
    for who in "AB":
        assert values.individuals[who].tolist() == [prints[who, name] for name in values.regions]
    assert "cosine distance 0.432; A is sub-01, B is sub-03" in words(section)


def test_agreement_is_a_symmetric_matrix_of_the_table(
    study: Study, drawn: dict[str, list[Any]]
) -> None:
    section = agreement(study)
    panels = drawn["agreement_matrices"][0]
    assert list(panels) == ["by sum", "by density", "by gain"]
    names, values = panels["by density"]
    assert names == ["A", "B", "C"]
    known = {
        (r["a"], r["b"]): float(r["value"])
        for r in rows(study, "overlap.tsv")
        if (r["comparison"], r["metric"], r["group"]) == ("configurations", "top10_density", "AD")
    }
    assert values[0, 2] == values[2, 0] == known["A", "C"]
    assert np.diag(values).tolist() == [1, 1, 1]
    pair = tables(section)[0]
    assert pair.rows[0][:2] == ("A, B", "NC")
    assert len(pair.rows) == 6
    splits = tables(section)[1]
    assert [row[0] for row in splits.rows] == ["A", "B", "C"]
    top = [
        r
        for r in rows(study, "overlap.tsv")
        if (r["comparison"], r["configuration"], r["metric"], r["group"])
        == ("splits", "B", "top10_sum", "AD")
    ]
    assert splits.rows[1][3] == f"{100 * float(top[0]['value']):.1f} %"
    assert {row[2] for row in tables(section)[2].rows} == {"NC", "AD", "TP", "TN"}


def test_a_single_pair_is_a_line_and_no_picture(study: Study, drawn: dict[str, list[Any]]) -> None:
    path = study.folder / "atlas" / "overlap.tsv"
    lines = path.read_text().splitlines()
    kept = [line for line in lines[1:] if line.startswith("configurations") and "\tC\t" not in line]
    write_text(path, "\n".join([lines[0], *kept]) + "\n")
    pairs = tables(agreement(study))[0]
    assert "agreement_matrices" not in drawn
    (row,) = pairs.rows
    assert row[:3] == ("Method lrp-zplus", "A, B", "TissueNuclei")
    known = {
        r["metric"]: float(r["value"]) for r in rows(study, "overlap.tsv") if r["group"] == "AD"
    }
    assert row[4] == f"{100 * known['top10_density']:.1f} %"


def test_biology_shows_the_strongest_correlations(study: Study) -> None:
    section = biology(study)
    volume = tables(section)[0]
    known = [r for r in rows(study, "biology.tsv") if r["measure"] == "volume"]
    strongest = max(known, key=lambda r: abs(float(r["r"])))
    assert volume.rows[0][0] == strongest["name"]
    assert float(volume.rows[0][4]) == pytest.approx(float(strongest["r"]), rel=1e-2)
    assert len(volume.rows) == 10
    assert "at most 720 permutations" in words(section)
    assert [row[3] for row in tables(section)[2].rows] == ["12.3 %"] * 3


@pytest.mark.parametrize("section", [regions, agreement])
def test_a_section_without_its_table_names_the_step(tmp_path: Path, section: Any) -> None:
    assert "--steps atlas" in words(section(Study.at(tmp_path, STUDY)))


def test_biology_without_anything_to_compare_says_so(study: Study) -> None:
    path = study.folder / "atlas" / "biology.tsv"
    write_text(path, path.read_text().splitlines()[0] + "\n")
    assert "Nothing to compare with" in words(biology(study))


def test_a_table_of_an_older_version_is_named(study: Study) -> None:
    path = study.folder / "atlas" / "gain.tsv"
    write_text(path, path.read_text().replace("\tname\t", "\tregion\t"))
    with pytest.raises(BadDataError, match=r"lacks the columns name.*run the step atlas again"):
        regions(study)


def test_a_density_ends_where_the_scans_end() -> None:
    """Relevance of z+ is never negative; a smooth tail below zero would say it is."""
    figure, grid = drawing.grid_of(1, width_in=3, height_in=2)
    values = np.array([0.0, 0.1, 0.2, 0.2, 0.3, 0.4, 0.9, 1.5, 2.0])
    drawing._half_violin(grid[0, 0], 0, values, -1, "red")
    drawing._half_violin(grid[0, 0], 1, values[:3], 1, "red")
    drawing._half_violin(grid[0, 0], 2, np.zeros(20), 1, "red")
    (shape,) = grid[0, 0].collections
    x, y = shape.get_paths()[0].vertices.T
    assert (x.min(), x.max()) == (0.0, 2.0)
    assert y.min() == pytest.approx(-0.44)
    assert len(grid[0, 0].lines) == 2  # few scans, and scans that are all alike, one by one
    assert figure is not None
