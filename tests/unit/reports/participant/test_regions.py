"""Regions of a participant beside the cohort of the study, and when there is no comparison."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from participant_cases import CARD, region_tables, write_session, write_study

from bids_xai.bids.files import write_json
from bids_xai.reports.participant.page import write_participant_page
from bids_xai.reports.participant.regions import SHOWN, DensityRange, against


def test_regions_stand_beside_the_cohort_sorted_marked_in_words_and_folded(tmp_path: Path) -> None:
    write_study(tmp_path)
    write_session(tmp_path, "")
    page = write_participant_page(tmp_path, "01", []).read_text()
    shown, folded = region_tables(page)
    assert shown[0] == [
        "Region",
        "Density (× 10⁻⁶)",
        "Against the cohort",
        "Share",
        "NC, 50 scans: 2.5 · 50 · 97.5 % (× 10⁻⁶)",
        "AD, 50 scans: 2.5 · 50 · 97.5 % (× 10⁻⁶)",
    ]
    assert [len(shown), len(folded)] == [1 + SHOWN, 1 + 3]
    densities = [float(row[1]) for row in (*shown[1:], *folded[1:])]
    assert densities == [0.5 + 0.5 * i for i in range(17, -1, -1)]
    words = {float(row[1]): row[2] for row in (*shown[1:], *folded[1:])}
    for value, said in words.items():  # NC has 1 to 4, AD 2 to 6
        expected = (
            "below both"
            if value < 1
            else "within NC, below AD"
            if value < 2
            else "within both"
            if value <= 4
            else "above NC, within AD"
            if value <= 6
            else "above both"
        )
        assert said == expected, value
    assert shown[1][3:] == ["17.0 %", "1 · 3 · 4", "2 · 3 · 6"]
    assert "<summary>The other 3 regions</summary>" in page
    assert "11 outside the range of NC and 9 outside the range of AD" in page
    assert "chance alone would put about 0.9 outside" in page
    assert "This participant&#39;s own test scans are among them" in page
    assert "fewer than 40 scans" not in page


def test_densities_at_the_ends_and_unknown_ones() -> None:
    quantiles = {"NC": (1.0, 2.0, 3.0), "AD": (2.0, 3.0, 4.0), "MCI": (0.0, 1.0, 9.0)}
    ranges = {name: DensityRange(*values) for name, values in quantiles.items()}
    assert against(3.0, ranges) == "within all"
    assert against(3.1, ranges) == "above NC, within AD, within MCI"
    assert against(math.nan, ranges) == "n/a"
    assert against(1.0, {"NC": DensityRange(math.nan, math.nan, math.nan)}) == "n/a"
    assert against(0.5, {"NC": DensityRange(1.0, 2.0, 3.0)}) == "below NC"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("gain.tsv is missing", "The step “atlas” writes it"),
        ("other weights", "the study that trained this model is not available"),
        ("another class explained", "starts elsewhere, has other options"),
        ("another atlas", "has no regions of atlas Y"),
        ("other regions", "has other regions"),
    ],
)
def test_there_is_no_comparison_where_it_would_not_hold(
    tmp_path: Path, spoil: str, words: str
) -> None:
    write_study(tmp_path)
    folder = write_session(tmp_path, "")
    (regions,) = folder.glob("*_regions.tsv")
    if spoil == "gain.tsv is missing":
        (tmp_path / "group" / "tiny" / "atlas" / "gain.tsv").unlink()
    elif spoil == "other weights":
        model = tmp_path / "models" / "tiny" / "A" / "split-0" / "model.json"
        write_json(model, {**CARD, "weights_sha256": "other"})
    elif spoil == "another class explained":
        regions.rename(folder / regions.name.replace("label-all", "label-AD"))
    elif spoil == "another atlas":
        regions.rename(folder / regions.name.replace("atlas-X", "atlas-Y"))
    else:
        text = regions.read_text()
        regions.write_text(text.replace("\t10\t", "\t11\t", 1))
    page = write_participant_page(tmp_path, "01", []).read_text()
    assert words in page
    first, _ = region_tables(page)
    assert first[0] == ["Region", "Density (× 10⁻⁶)", "Share"]
    assert "outside the range" not in page
