"""The pages as a reader and a browser meet them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from page_checks import check_page

from bids_xai.reports.participant.page import write_participant_page
from bids_xai.reports.participant.session_pictures import session_figures

PARTICIPANT_SECTIONS = [
    "Problems",
    "Summary",
    "Input map",
    "Heatmaps",
    "Quality",
    "How this was made",
]


def test_session_figures_are_named_after_bids_and_stable(
    participant_dir: Path, drawn_once: tuple[Path, list[Path]]
) -> None:
    first = session_figures(participant_dir, {"sub": "01", "ses": "1"})
    assert sorted(p.name for p in first) == [
        "sub-01_ses-1_desc-brainmask_T1w.png",
        "sub-01_ses-1_desc-histogram_R2starmap.png",
        "sub-01_ses-1_space-MNI152NLin2009aSym_res-8_desc-templatemask_T1w.png",
        "sub-01_ses-1_space-MNI152NLin2009aSym_res-8_model-A_label-AD_desc-gradient_relmap.png",
        "sub-01_ses-1_space-T1w_desc-registration_R2starmap.png",
        "sub-01_ses-1_space-T1w_model-A_label-AD_desc-lrpzplus_relmap.png",
    ]
    assert {p.parent for p in first} == {participant_dir / "sub-01" / "figures"}
    twins = [drawn_once[0] / p.relative_to(participant_dir) for p in first]
    assert [p.read_bytes() for p in twins] == [p.read_bytes() for p in first]


def test_the_participant_page_shows_all_sessions(
    drawn_dir: Path, drawn_once: tuple[Path, list[Path]]
) -> None:
    drawn = [drawn_dir / file.relative_to(drawn_once[0]) for file in drawn_once[1]]
    path = write_participant_page(drawn_dir, "01", ["ses-2: <the fit> failed"])
    assert path == drawn_dir / "sub-01.html"
    page = check_page(path)
    assert page.headings == PARTICIPANT_SECTIONS
    assert "ses-2: <the fit> failed" in page.text
    assert "5, 10.1" in page.text
    assert "BrainVolumeMl" in page.text
    assert "0.9512" in page.text
    assert page.text.count("Predicted: AD, with a probability of 80.0 % (model A).") == 2
    assert "87.6 %" in page.text
    images = page.all("img")
    assert {path.parent / str(i["src"]) for i in images} == set(drawn)
    assert all(i["loading"] == "lazy" and i["width"] for i in images)


def parts_of(path: Path) -> dict[str, str]:
    """Heading → HTML of each section."""
    found = re.findall(r'<h2 id="[^"]*">(.*?)</h2>(.*?)</section>', path.read_text(), re.S)
    return dict(found)


def test_pictures_stand_where_they_are_read(drawn_dir: Path) -> None:
    parts = parts_of(write_participant_page(drawn_dir, "01", []))
    shown = {name: re.findall(r'src="[^"]*/([^"/]+)"', part) for name, part in parts.items()}
    assert [name for name, files in shown.items() if files] == ["Input map", "Heatmaps", "Quality"]
    assert all("desc-histogram" in name for name in shown["Input map"])
    assert len(shown["Heatmaps"]) == 4
    assert all("relmap" in name for name in shown["Heatmaps"])
    assert len(shown["Quality"]) == 6
    assert "the patient&#39;s right (R) is on the left" in parts["Heatmaps"]
    assert (
        "Session 1: Relevance for AD by lrp-zplus on the T1w image (model A)" in parts["Heatmaps"]
    )
    summary = " ".join(re.sub("<[^>]+>", "", parts["Summary"]).split())
    first, second = summary.split("Session 2")
    assert "Quality: within the limits (2 metrics)." in first
    assert "Quality: to be checked. 1 of 2 metrics is out of the limits." in second


def test_the_picture_of_what_the_model_reads_is_the_input_map(drawn_dir: Path) -> None:
    for session in ("1", "2"):
        anat = drawn_dir / "sub-01" / f"ses-{session}" / "anat"
        sidecar = anat / f"sub-01_ses-{session}_model-A_prediction.json"
        sidecar.write_text('{"Model": {"suffix": "T1w"}}')
    part = parts_of(write_participant_page(drawn_dir, "01", []))["Input map"]
    files = re.findall(r'src="[^"]*/([^"/]+)"', part)
    assert files == [f"sub-01_ses-{s}_desc-brainmask_T1w.png" for s in "12"]


def test_every_session_has_its_own_methods(participant_dir: Path) -> None:
    part = parts_of(write_participant_page(participant_dir, "01", []))["How this was made"]
    first, second = part.split("<h3>Session 2</h3>")
    assert "nonlinear least squares" in first
    assert "auto-regression on linear operations" not in first
    assert "auto-regression on linear operations" in second
    assert "Settings of the preprocessing" in second
    assert "<td>arlo</td>" in second
    assert second.count("Pei M et al. (2015)") == part.count("Gorgolewski KJ et al. (2016)") == 1
    assert "antspyx " in first
    stamps = participant_dir / "logs" / "sub-01"
    same = (stamps / "sub-01_ses-1.json").read_text()
    (stamps / "sub-01_ses-2.json").write_text(same)
    part = parts_of(write_participant_page(participant_dir, "01", []))["How this was made"]
    assert "<h3>Session 1 and Session 2</h3>" in part
    assert part.count("nonlinear least squares") == 1
    changed = json.loads(same)
    changed["settings"]["sloppy"] = True
    (stamps / "sub-01_ses-2.json").write_text(json.dumps(changed))
    part = parts_of(write_participant_page(participant_dir, "01", []))["Problems"]
    assert "Session 2: Made with --sloppy" in part
    assert "Session 1: Made with --sloppy" not in part
    (stamps / "sub-01_ses-2.json").write_text('{"digest": "of an earlier version"}')
    part = parts_of(write_participant_page(participant_dir, "01", []))["How this was made"]
    assert "was not recorded" in part.split("<h3>Session 2</h3>")[1]
    assert "was not recorded" not in part.split("<h3>Session 2</h3>")[0]


def test_a_reader_by_ear_meets_no_crowd_of_landmarks(drawn_dir: Path) -> None:
    page = check_page(write_participant_page(drawn_dir, "01", []))
    assert not [a for _, a in page.tags if a.get("role") == "region"]
    boxes = [a for a in page.all("div") if a.get("class") == "scroll"]
    assert all(a["tabindex"] == "0" for a in boxes)  # until the script knows which can scroll
    labels = [a["aria-label"] for a in boxes if "aria-label" in a]
    assert len(labels) == len(page.all("table"))
    assert max(len(str(label)) for label in labels) < 20


def test_a_participant_without_any_file_has_a_page(tmp_path: Path) -> None:
    page = check_page(write_participant_page(tmp_path, "x", ["no multi-echo images"]))
    assert page.headings == ["Problems"]
    assert session_figures(tmp_path, {"sub": "x"}) == []
