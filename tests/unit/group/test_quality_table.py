"""The quality of all sessions: one table, one page, and who stands out."""

from __future__ import annotations

import csv
import json
import math
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bids_xai.bids.files import write_json, write_text, write_tsv
from bids_xai.bids.stamps import session_stamp
from bids_xai.errors import BadDataError
from bids_xai.group import qc as quality_table
from bids_xai.group.qc import worst_first, write_group_quality
from bids_xai.tables.session_quality import QUALITY, QUALITY_COLUMNS, collect_quality

TEMPLATE = "space-MNI152NLin2009aSym_res-2_desc-preproc_T1w"
DICE, VOLUME = f"MaskDice_{TEMPLATE}", "BrainVolumeMl_desc-brain_mask"


def add(out: Path, sub: str, ses: str = "", **values: float) -> None:
    """Write the quality table of a session; dice and volume have usual values by default."""
    stem = f"sub-{sub}_ses-{ses}" if ses else f"sub-{sub}"
    images = {"MaskDice": TEMPLATE, "BrainVolumeMl": "desc-brain_mask"}
    number = sum(map(ord, sub + ses)) % 7
    figures = {"MaskDice": 0.94 + 0.002 * number, "BrainVolumeMl": 1300 + 20 * number} | values
    rows = []
    for metric, value in figures.items():
        limit = QUALITY[metric]
        low, high = (end if math.isfinite(end) else None for end in (limit.low, limit.high))
        rows.append(
            {
                "image": f"{stem}_{images.get(metric, 'space-T1w_R2starmap')}",
                "metric": metric,
                "value": value,
                "low": low,
                "high": high,
                "flagged": limit.flags(value),
                "meaning": limit.meaning,
            }
        )
    folder = out / f"sub-{sub}" / (f"ses-{ses}" if ses else "") / "anat"
    write_tsv(folder / f"{stem}_qc.tsv", rows, QUALITY_COLUMNS)


def table(out: Path) -> dict[str, dict[str, str]]:
    with (out / "group_qc.tsv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    return {row["participant_id"] + "/" + row["session_id"]: row for row in rows}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Ten usual sessions, one flagged, one far from the others but within the limits."""
    for number in range(10):
        add(tmp_path, f"{number:02d}")
    add(tmp_path, "low", "2", MaskDice=0.71)
    add(tmp_path, "big", BrainVolumeMl=2100.0, UndefinedVoxels=0.0)
    return tmp_path


def test_one_line_a_session_and_one_column_a_metric(out: Path) -> None:
    written = write_group_quality(out)
    assert [path.name for path in written] == ["group_qc.tsv", "group_qc.json", "group_qc.html"]
    rows = table(out)
    assert list(rows) == sorted(rows)
    assert len(rows) == 12
    low, big, usual = rows["sub-low/ses-2"], rows["sub-big/n/a"], rows["sub-00/n/a"]
    assert low[DICE] == "0.71"
    assert (low["flagged"], low["n_flagged"], low["flagged_metrics"]) == ("true", "1", DICE)
    assert low["UndefinedVoxels_space-T1w_R2starmap"] == "n/a"
    assert (big["flagged"], big["n_outliers"], big["outlier_metrics"]) == ("false", "1", VOLUME)
    assert (usual["flagged_metrics"], usual["outlier_metrics"]) == ("none", "none")
    described = json.loads((out / "group_qc.json").read_text())
    assert list(described) == list(usual)
    assert "limits ≥ 0.9" in described[DICE]["Description"]
    few = described["UndefinedVoxels_space-T1w_R2starmap"]["Description"]
    assert "of 1 session;" in few
    assert "fewer than 8 values" in few


def test_z_is_that_of_the_formula(out: Path) -> None:
    write_group_quality(out)
    rows = table(out)
    values = sorted(float(row[VOLUME]) for row in rows.values())
    median = (values[5] + values[6]) / 2
    deviations = sorted(abs(v - median) for v in values)
    mad = (deviations[5] + deviations[6]) / 2
    expected = 0.6745 * (2100 - median) / mad
    assert float(rows["sub-big/n/a"]["largest_z"]) == pytest.approx(expected, rel=1e-6)


def test_few_sessions_have_no_outliers_and_the_page_says_so(tmp_path: Path) -> None:
    for number in range(6):
        add(tmp_path, f"{number:02d}")
    add(tmp_path, "low", MaskDice=0.1)
    write_group_quality(tmp_path)
    low = table(tmp_path)["sub-low/n/a"]
    assert (low["flagged"], low["n_outliers"], low["outlier_metrics"]) == ("true", "n/a", "n/a")
    page = (tmp_path / "group_qc.html").read_text()
    assert "Outliers were not looked for in any metric: fewer than 8 sessions" in page


def test_equal_values_have_no_outlier_but_the_one_that_differs(tmp_path: Path) -> None:
    for number in range(12):
        add(tmp_path, f"{number:02d}", UndefinedVoxels=float(9 * (number == 3)), MaskDice=0.95)
    write_group_quality(tmp_path)
    rows = table(tmp_path)
    found = [name for name, row in rows.items() if row["outlier_metrics"] != "none"]
    assert found == ["sub-03/n/a"]
    assert rows["sub-03/n/a"]["outlier_metrics"] == "UndefinedVoxels_space-T1w_R2starmap"


def test_an_undefined_value_is_flagged_and_no_outlier(out: Path) -> None:
    add(out, "nan", MaskDice=math.nan)
    write_group_quality(out)
    row = table(out)["sub-nan/n/a"]
    assert (row[DICE], row["flagged"], row["outlier_metrics"]) == ("n/a", "true", "none")
    assert "MaskDice undefined" in (out / "group_qc.html").read_text()


def test_the_worst_come_first() -> None:
    rows = [
        {"n_flagged": 0, "n_outliers": 0, "largest_z": 1.0},
        {"n_flagged": 0, "n_outliers": 2, "largest_z": 4.0},
        {"n_flagged": 1, "n_outliers": None, "largest_z": None},
        {"n_flagged": 0, "n_outliers": 2, "largest_z": 9.0},
        {"n_flagged": 0, "n_outliers": 0, "largest_z": 1.0},
    ]
    assert worst_first(rows) == [2, 3, 1, 0, 4]


class _Names(HTMLParser):
    """Row headings of the first table, and every link that leaves the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "link", "img", "br"}:
            self.open.append(tag)
        self.links += [v for k, v in attrs if k == "href" and v and not v.startswith(("#", "data"))]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_lists_the_worst_first_and_links_to_pages_that_exist(out: Path) -> None:
    write_text(out / "sub-low.html", "a page")
    write_group_quality(out)
    text = (out / "group_qc.html").read_text()
    assert _Names(text).links == ["sub-low.html"]
    lines = re.findall(r'<th scope="row">(?:<a[^>]*>)?(sub-[^<]+)', text)
    assert lines[:2] == ["sub-low_ses-2", "sub-big"]
    assert len(lines) == 12
    assert "MaskDice 0.71 below 0.9" in text
    assert re.search(r"BrainVolumeMl 2100 \(z = \d", text)
    assert text.count("data:image/png") == 3  # one a kind of image
    assert not re.search(r"(src|href)=.(https?:)?//", text)


def test_a_long_list_is_cut_and_says_so(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality_table, "MOST_LINES", 3)
    write_group_quality(out)
    text = (out / "group_qc.html").read_text()
    assert "9 more, which are better, are in group_qc.tsv" in text
    assert len(re.findall(r'<th scope="row">sub-', text)) == 3
    assert len(table(out)) == 12


def test_sessions_that_were_made_for_a_test_are_counted_on_the_page(out: Path) -> None:
    page = out / "group_qc.html"
    write_group_quality(out)
    assert "sloppy" not in page.read_text()
    label = collect_quality(out)[0].name
    write_json(session_stamp(out, label), {"settings": {"sloppy": True}})
    write_group_quality(out)
    assert "1 session had coarse masks" in page.read_text()


def test_without_any_table_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "sub-01" / "anat").mkdir(parents=True)
    assert write_group_quality(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["sub-01"]


def test_a_damaged_table_is_named(out: Path) -> None:
    write_text(out / "sub-00" / "anat" / "sub-00_qc.tsv", "image\tvalue\nx\t1\n")
    with pytest.raises(BadDataError, match=r"sub-00_qc\.tsv"):
        collect_quality(out)


def test_equal_tables_give_equal_files(out: Path) -> None:
    first = [path.read_bytes() for path in write_group_quality(out)]
    assert [path.read_bytes() for path in write_group_quality(out)] == first


def test_hundreds_of_sessions_take_seconds(tmp_path: Path) -> None:
    for number in range(400):
        add(tmp_path, f"{number:04d}", MaskDice=0.94 + (number % 97) / 2000)
    started = time.monotonic()
    write_group_quality(tmp_path)
    assert time.monotonic() - started < 8
    assert (tmp_path / "group_qc.html").stat().st_size < 600_000
