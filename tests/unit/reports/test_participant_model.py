"""The page of a participant whom a model explained: truth, calibration, regions, course."""

from __future__ import annotations

import math
import re
import shutil
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bids_xai.bids.files import write_json, write_tsv
from bids_xai.figures.trajectories import region_courses
from bids_xai.reports.participant import context as participant_context
from bids_xai.reports.participant.context import (
    Sources,
    calibration_words,
    origin_of,
    outcome_words,
    true_class,
)
from bids_xai.reports.participant.page import write_participant_page
from bids_xai.reports.participant.regions import SHOWN, against

SPACE = "MNI152NLin2009aSym"
TAIL = "model-tinyA0_label-all_desc-lrpzplus"
REGIONS = [(i, f"{('Left', 'Right')[i % 2]} part {i // 2}") for i in range(18)]
NEAR = [0.71, 0.75, 0.79, 0.70, 0.7999, 0.72]  # the same tenth as 0.74
CARD = {
    "study": "tiny",
    "configuration": "A",
    "split": 0,
    "classes": ["NC", "AD"],
    "positive": "AD",
    "weights_sha256": "abc",
    "architecture": "graz",
    "input_shape": [4, 5, 6],
    "voxel_mm": None,
    "versions": {"torch": "2.6"},
    "seed": 3,
    "suffix": "R2starmap",
    "space": "T1w",
}


def table(path: Path, rows: list[dict[str, Any]]) -> None:
    write_tsv(path, rows, {name: name for name in rows[0]})


def write_study(out: Path, trained: tuple[str, ...] = ("07",)) -> None:
    """A trained model and the group tables of its study."""
    model = out / "models" / "tiny" / "A" / "split-0"
    write_json(model / "model.json", {**CARD, "training_participants": list(trained)})
    group = out / "group" / "tiny"
    write_json(
        group / "study.json",
        {
            "study": "tiny",
            "classes": ["NC", "AD"],
            "positive": "AD",
            "template": SPACE,
            "settings": {"target": {"column": "diagnosis", "table": "participants"}},
        },
    )
    scans = [*((f"sub-1{i}", p) for i, p in enumerate([*NEAR, 0.8, 0.69, 0.1])), ("sub-01", 0.74)]
    table(
        group / "predictions.tsv",
        [
            {
                "participant_id": who,
                "session_id": "n/a",
                "configuration": c,
                "split": 0,
                "method": m,
                "true_class": "AD" if i % 3 else "NC",
                "predicted_class": "AD",
                "outcome": "TP",
                "probability": p,
                "warped": f"x/{who}_space-{SPACE}_res-2_model-tiny{c}0_label-all_"
                f"desc-{m.replace('-', '')}_relmap.nii.gz",
            }
            for c, m, (i, (who, p)) in product("AB", ("lrp-zplus", "saliency"), enumerate(scans))
        ],
    )
    table(
        group / "atlas" / "gain.tsv",
        [
            {
                "configuration": c,
                "method": "lrp-zplus",
                "atlas": "X",
                "index": i,
                "name": name,
                "group": g,
                "merged": merged,
                "n": 50,
                "n_voxels": 10,
                "mean_sum": 1.0,
                "mean_density": 1e-6,
                "mean_share": 0.1,
                "gain": 1.0,
                "density_q025": low,
                "density_q500": 3e-6,
                "density_q975": high,
            }
            for c, merged, (i, name), (g, low, high) in product(
                "AB",
                (False, True),
                REGIONS,
                (("NC", 1e-6, 4e-6), ("AD", 2e-6, 6e-6), ("TP", 0.0, 1.0)),
            )
        ],
    )


def write_session(out: Path, session: str, shift: float = 0.0, person: str = "01") -> Path:
    """Prediction and regions of one session: densities 0.5e-6, 1.0e-6, … as in REGIONS."""
    name = f"sub-{person}_ses-{session}" if session else f"sub-{person}"
    folder = out / f"sub-{person}" / (f"ses-{session}" if session else "") / "anat"
    table(
        folder / f"{name}_model-tinyA0_prediction.tsv",
        [
            {"model": "tinyA0", "class": c, "probability": p, "predicted": c == "AD"}
            for c, p in (("NC", 0.26), ("AD", 0.74))
        ],
    )
    write_json(folder / f"{name}_model-tinyA0_prediction.json", {"Model": CARD})
    table(
        folder / f"{name}_space-{SPACE}_atlas-X_{TAIL}_regions.tsv",
        [
            {
                "method": "lrp-zplus",
                "atlas": "X",
                "index": i,
                "name": region,
                "hemisphere": "L",
                "n_voxels": 10,
                "sum": 1.0,
                "abs_sum": 1.0,
                "density": (0.5 + 0.5 * i + shift) * 1e-6,
                "share": 0.01 * i,
            }
            for i, region in REGIONS
        ],
    )
    return folder


class Cells(HTMLParser):
    """The lines of every table, cell by cell."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.within = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.within = tag
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self.within = ""

    def handle_data(self, data: str) -> None:
        if self.within in ("td", "th"):
            self.tables[-1][-1][-1] += data


def region_tables(page: str) -> list[list[list[str]]]:
    return [t for t in Cells(page).tables if t[0][0] == "Region" and "Share" in t[0]]


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
    ranges = {"NC": (1.0, 2.0, 3.0), "AD": (2.0, 3.0, 4.0), "MCI": (0.0, 1.0, 9.0)}
    assert against(3.0, ranges) == "within all"
    assert against(3.1, ranges) == "above NC, within AD, within MCI"
    assert against(math.nan, ranges) == "n/a"
    assert against(1.0, {"NC": (math.nan,) * 3}) == "n/a"
    assert against(0.5, {"NC": (1.0, 2.0, 3.0)}) == "below NC"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("gain.tsv is missing", "The step “atlas” makes it"),
        ("other weights", "the study that trained this model is not at hand"),
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


def test_the_same_tenth_is_counted_among_other_participants(tmp_path: Path) -> None:
    write_study(tmp_path)
    write_session(tmp_path, "")
    origin = origin_of(CARD, Sources(tmp_path, "01"))
    assert origin is not None
    # sub-10 to sub-15 and no others; sub-10 and sub-13 are NC; all 9: sub-16 is NC as well
    words = calibration_words(origin, "A", "01", 0.74)
    assert words.startswith(
        "Of 6 test scans of other participants with a probability of AD from 0.7 to 0.8"
    )
    assert "4 were AD; of all 9 test scans, 6" in words
    few = calibration_words(origin, "A", "01", 0.15)
    assert "only 1 test scans" not in few
    assert "only 1 test scan of" in few
    assert "cannot be said" in few
    page = write_participant_page(tmp_path, "01", []).read_text()
    assert words in page


def test_a_probability_of_one_is_in_the_last_tenth() -> None:
    tenths = [participant_context._tenth(p) for p in (0.0, 0.1, 0.3, 0.6, 0.7, 0.95, 1.0)]
    assert tenths == [0, 1, 3, 6, 7, 9, 9]
    assert participant_context._tenth(math.nan) == -1


def test_the_true_class_is_told_where_a_table_has_it(tmp_path: Path) -> None:
    write_study(tmp_path)
    write_session(tmp_path, "1")
    raw = tmp_path / "raw"
    raw.mkdir()
    page = write_participant_page(tmp_path, "01", [], bids_dir=raw).read_text()
    assert "true class" not in page
    (raw / "participants.tsv").write_text("participant_id\tdiagnosis\nsub-01\tNC\nsub-02\tMCI\n")
    page = write_participant_page(tmp_path, "01", [], bids_dir=raw).read_text()
    assert (
        "The true class is NC (participants.tsv, column diagnosis): the prediction is wrong (FP)."
        in page
    )
    origin = origin_of(CARD, Sources(tmp_path, "02"))
    assert origin is not None
    assert true_class(origin, Sources(tmp_path, "02", raw), None) is None  # no class of the study
    cohort = [
        {
            "participant_id": "sub-01",
            "session_id": "ses-1",
            "class": "AD",
            "included": True,
            "reason": None,
        }
    ]
    table(tmp_path / "group" / "tiny" / "cohort.tsv", cohort)
    page = write_participant_page(tmp_path, "01", [], bids_dir=raw).read_text()
    assert (
        "The true class is AD (cohort.tsv of the study tiny): the prediction is right (TP)" in page
    )


def test_outcomes() -> None:
    classes = ("NC", "AD")
    pairs = {
        ("AD", "AD"): "right (TP)",
        ("NC", "NC"): "right (TN)",
        ("NC", "AD"): "wrong (FP)",
        ("AD", "NC"): "wrong (FN)",
    }
    assert all(outcome_words(*pair, classes, "AD") == said for pair, said in pairs.items())
    assert outcome_words("MCI", "AD", ("NC", "MCI", "AD"), "AD") == "wrong"


def test_the_study_is_found_from_the_model_and_its_training_is_told(tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    write_study(elsewhere, trained=("01",))
    write_session(out, "1")
    model = elsewhere / "models" / "tiny" / "A" / "split-0"
    for given in (model, model / "model.json"):
        origin = origin_of(CARD, Sources(out, "01", None, given))
        assert origin is not None
        assert origin.study.output_dir == elsewhere.resolve()
        assert not origin.same
    page = write_participant_page(out, "01", [], model=model).read_text()
    assert "Session 1: a participant called sub-01 trained the model tiny" in page
    assert "own test scans are among them" not in page
    assert len(region_tables(page)[0][0]) == 6
    shutil.copytree(elsewhere / "models", out / "models")
    shutil.copytree(elsewhere / "group", out / "group")
    page = write_participant_page(out, "01", []).read_text()
    assert "sub-01 is one of those who trained the model" in page
    assert origin_of(CARD, Sources(tmp_path, "01", None, tmp_path / "copied")) is None
    assert origin_of({}, Sources(out, "01")) is None


def test_the_course_over_sessions(tmp_path: Path) -> None:
    write_session(tmp_path, "1")
    page = write_participant_page(tmp_path, "01", []).read_text()
    assert "Course over sessions" not in page
    write_session(tmp_path, "2", shift=1.0)
    write_session(tmp_path, "10", shift=-0.25)
    page = write_participant_page(tmp_path, "01", []).read_text()
    (course,) = [t for t in Cells(page).tables if t[0][-1] == "Change"]
    assert course[0] == ["Region", "Session 1", "Session 2", "Session 10", "Change"]
    assert course[1] == ["Right part 8", "9e-06", "1e-05", "8.75e-06", "-2.5e-07"]
    assert len(course) == 1 + 6
    assert "the steps are equal" in page
    order = re.findall(r'<h2 id="([^"]+)"', page)
    assert order == ["problems", "summary", "regions", "course-over-sessions", "how-this-was-made"]
    assert "Session 10: Regions of atlas X" in page
    raw = tmp_path / "raw"
    (raw / "sub-01").mkdir(parents=True)
    lines = "session_id\tage\nses-1\t72.5\nses-2\t70\nses-10\t71\n"
    (raw / "sub-01" / "sub-01_sessions.tsv").write_text(lines)
    page = write_participant_page(tmp_path, "01", [], bids_dir=raw).read_text()
    (course,) = [t for t in Cells(page).tables if t[0][-1] == "Change"]
    assert course[0] == ["Region", "Session 2", "Session 10", "Session 1", "Change"]
    assert "the steps are equal" not in page


def test_courses_are_drawn_the_same_again() -> None:
    series = {f"region {i}": np.array([1.0, math.nan, i]) for i in range(9)}
    years = np.array([70.0, 71.5, 72.0])
    labels = {"title": "t", "label": "l", "years_label": "age (years)"}
    first = region_courses(series, ["1", "2", "3"], years, **labels)
    assert first == region_courses(series, ["1", "2", "3"], years, **labels)
    assert first != region_courses(series, ["1", "2", "3"], None, **labels)
    assert b"<svg" in first
