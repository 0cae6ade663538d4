"""The pages as a reader and a browser meet them."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bids_xai.bids.files import write_text
from bids_xai.errors import BadDataError
from bids_xai.reports.participant.page import write_participant_page
from bids_xai.reports.participant.session_pictures import participant_figures, session_figures
from bids_xai.reports.study import agreement as group_agreement
from bids_xai.reports.study import maps as group_maps
from bids_xai.reports.study import performance as group_performance
from bids_xai.reports.study import regions as group_regions
from bids_xai.reports.study import spray as group_spray
from bids_xai.reports.study import training as group_training
from bids_xai.reports.study.page import write_group_page

STUDY = "tiny"
VOID = {"meta", "link", "img", "br", "hr", "input"}
SECTIONS = [
    "Summary",
    "Cohort",
    "Performance",
    "ROC curves",
    "Comparisons",
    "Training",
    "Relevance inside the mask",
    "Mean heatmaps",
    "Regions",
    "Agreement of heatmaps",
    "Relevance and biology",
    "Can the heatmaps be trusted?",
    "Spectral relevance analysis (SpRAy)",
    "Limits",
    "Methods",
    "Settings and versions",
]
PARTICIPANT_SECTIONS = [
    "Problems",
    "Summary",
    "Input map",
    "Heatmaps",
    "Quality",
    "How this was made",
]


class Page(HTMLParser):
    """Collects what the tests ask about, and checks that every tag is closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data.strip())
        if "style" not in self.open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def check_page(path: Path) -> Page:
    """Everything that holds for any page."""
    page = Page(path)
    loaded = [
        a for _, attributes in page.tags for k, a in attributes.items() if k in ("src", "href")
    ]
    assert not [a for a in loaded if a and re.match(r"(https?:)?//", a)]
    assert "url(" not in path.read_text()
    assert "@import" not in path.read_text()
    assert all((image.get("alt") or "").strip() for image in page.all("img"))
    assert all(cell.get("scope") in ("col", "row") for cell in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert len(page.all("h1")) == 1
    identifiers = [a["id"] for _, a in page.tags if "id" in a]
    assert len(identifiers) == len(set(identifiers))
    anchors = [a["href"][1:] for a in page.all("a") if (a.get("href") or "").startswith("#")]
    assert set(anchors) <= set(identifiers)
    return page


@pytest.fixture
def quick_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the drawing, for tests about what a page says."""
    drawings = {
        group_performance: ("roc_curves", "roc_bands", "calibration_curves"),
        group_training: ("training_curves", "share_curves"),
        group_maps: ("mosaic", "strips"),
        group_regions: ("region_bars", "region_violins"),
        group_agreement: ("agreement_matrices",),
        group_spray: ("cluster_maps", "eigenvalue_panels", "embedding_panels"),
    }
    for module, names in drawings.items():
        for name in names:
            monkeypatch.setattr(module, name, lambda *_args, **_options: b"<svg/>")


def test_the_group_page_has_every_section_filled(finished_study: Path) -> None:
    page = check_page(finished_study / f"group_{STUDY}.html")
    assert page.headings == SECTIONS
    # test_reports_performance.py has a study with the tables of calibration and ROC curves,
    # test_reports_trust.py one with those of the step quality
    missing = ["calibration.tsv", "quality/summary.tsv"]
    assert re.findall(r"Not available: group/tiny/(\S+)", page.text) == missing
    assert all((image["src"] or "").startswith("data:image/") for image in page.all("img"))
    assert len(page.all("img")) == 1 + 1 + 1 + 6 + 1 + 3 + 1 + 3 + 6


def test_the_group_page_says_the_numbers(finished_study: Path) -> None:
    text = Page(finished_study / f"group_{STUDY}.html").text.replace("\N{NO-BREAK SPACE}", " ")
    assert "It uses 24 scans of 12 participants: 12 of AD and 12 of NC. Left out: 1 scan." in text
    assert "Of 3 configurations, C has the highest mean balanced accuracy: 74.2 %" in text
    assert "64.2 ± 6.5 % [53.5, 76.9]" in text
    assert "0.64 ± 0.07 [0.54, 0.77]" in text
    assert "from the 50 to the 99.5 percentile of the positive values of the mean map of AD" in text
    assert "only 16 maps: 11 <neighbours>" in text
    assert "There are only 2 splits" in text
    assert "24 scans come from 12 participants" in text
    assert "nobody is in two sets" in text


def test_equal_files_give_equal_pages(finished_study: Path, study_dir: Path) -> None:
    first = (finished_study / f"group_{STUDY}.html").read_bytes()
    assert write_group_page(study_dir, STUDY).read_bytes() == first


def test_a_study_of_which_nothing_exists_yet_has_a_page(tmp_path: Path) -> None:
    page = check_page(write_group_page(tmp_path, STUDY))
    assert page.headings == SECTIONS
    for step in ("cohort", "train", "explain", "atlas", "spray"):
        assert f"--steps {step}" in page.text


@pytest.mark.parametrize(
    "lost",
    [
        "study.json",
        "cohort.tsv",
        "splits.tsv",
        "predictions.tsv",
        "performance.tsv",
        "performance_summary.tsv",
        "comparisons.tsv",
        "atlas/gain.tsv",
        "atlas/regions.tsv",
        "atlas/overlap.tsv",
        "atlas/fingerprints.tsv",
        "atlas/biology.tsv",
        "spray/A_T1w/clusters.tsv",
        "spray/B_T1w/eigenvalues.tsv",
        "spray/C_T1w/embedding.tsv",
        "spray/A_template/cluster-0_mean.nii.gz",
    ],
)
@pytest.mark.usefixtures("quick_figures")
def test_any_file_may_be_missing(study_dir: Path, lost: str) -> None:
    (study_dir / "group" / STUDY / lost).unlink()
    assert check_page(write_group_page(study_dir, STUDY)).headings == SECTIONS


@pytest.mark.usefixtures("quick_figures")
def test_a_table_without_its_columns_is_named(study_dir: Path) -> None:
    write_text(study_dir / "group" / STUDY / "comparisons.tsv", "configuration_a\nA\n")
    with pytest.raises(BadDataError, match=r"configuration_b.*comparisons\.tsv"):
        write_group_page(study_dir, STUDY)


@pytest.mark.usefixtures("quick_figures")
def test_a_single_split_and_a_shared_participant_are_told(study_dir: Path) -> None:
    group = study_dir / "group" / STUDY
    for name in ("performance.tsv", "performance_summary.tsv"):
        text = (group / name).read_text().replace("\t1\t", "\t0\t")
        write_text(group / name, re.sub(r"0\.065(\t\S+){2}\t2", "n/a\tn/a\tn/a\t1", text))
    write_text(group / "splits.tsv", "participant_id\tsplit\tset\na\t0\ttrain\na\t0\ttest\n")
    text = Page(write_group_page(study_dir, STUDY)).text
    assert "There is a single split" in text
    assert "on a single split" in text
    assert "WRONG: 1 participant in two sets" in text


def test_session_figures_are_named_after_bids_and_stable(participant_dir: Path) -> None:
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
    content = [p.read_bytes() for p in first]
    again = session_figures(participant_dir, {"sub": "01", "ses": "1"})
    assert [p.read_bytes() for p in again] == content


def test_the_participant_page_shows_all_sessions(participant_dir: Path) -> None:
    drawn = participant_figures(participant_dir, "01")
    path = write_participant_page(participant_dir, "01", ["ses-2: <the fit> failed"])
    assert path == participant_dir / "sub-01.html"
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


def test_pictures_stand_where_they_are_read(participant_dir: Path) -> None:
    participant_figures(participant_dir, "01")
    parts = parts_of(write_participant_page(participant_dir, "01", []))
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


def test_the_picture_of_what_the_model_reads_is_the_input_map(participant_dir: Path) -> None:
    participant_figures(participant_dir, "01")
    for session in ("1", "2"):
        anat = participant_dir / "sub-01" / f"ses-{session}" / "anat"
        sidecar = anat / f"sub-01_ses-{session}_model-A_prediction.json"
        sidecar.write_text('{"Model": {"suffix": "T1w"}}')
    part = parts_of(write_participant_page(participant_dir, "01", []))["Input map"]
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


def test_a_reader_by_ear_meets_no_crowd_of_landmarks(participant_dir: Path) -> None:
    participant_figures(participant_dir, "01")
    page = check_page(write_participant_page(participant_dir, "01", []))
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
