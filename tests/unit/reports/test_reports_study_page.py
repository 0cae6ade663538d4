"""What the group page says of failures, of its own methods, and of what speaks against it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from bids_xai.bids.files import write_json, write_text
from bids_xai.errors import BadDataError
from bids_xai.group.context import GroupContext
from bids_xai.group.study_file import add_to_study, write_study
from bids_xai.reports.blocks import Details, Html, Items, Section, Table, Text, embedded, render
from bids_xai.reports.references import REFERENCES, cited
from bids_xai.reports.study import cohort as group_cohort
from bids_xai.reports.study import maps as group_maps
from bids_xai.reports.study import methods as group_methods
from bids_xai.reports.study import page as group
from bids_xai.reports.study import performance as group_performance
from bids_xai.reports.study import spray as group_spray
from bids_xai.reports.study import summary as study_summary
from bids_xai.reports.study.page import draw_group_page, write_group_page
from bids_xai.reports.study_files import Study, section
from bids_xai.settings import RunSettings
from bids_xai.studies.schema import load_study

STUDY = "tiny"
FEW = (
    study_summary.summary,
    group_cohort.cohort,
    group_performance.performance,
    study_summary.limits,
)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sections without many pictures, for tests about what a page says."""
    monkeypatch.setattr(group, "_SECTIONS", FEW)
    monkeypatch.setattr(group, "write_study_viewer", lambda _: None)


def texts(section: Section) -> str:
    return "\n".join(str(block.text) for block in section.blocks if isinstance(block, Text))


@pytest.mark.usefixtures("few")
def test_a_damaged_table_costs_its_section_alone(study_dir: Path) -> None:
    write_text(study_dir / "group" / STUDY / "performance_summary.tsv", "configuration\nA\n")
    with pytest.raises(BadDataError, match="lacks the columns metric"):
        write_group_page(study_dir, STUDY)
    page = (study_dir / f"group_{STUDY}.html").read_text()
    assert '<a href="#performance">Performance</a>: the table lacks the columns metric' in page
    assert "Not drawn: the table lacks the columns metric" in page
    assert "run the step explain again" in page
    assert "24 scans come from 12 participants" in page  # of the last section
    assert page.index('<h2 id="problems">') < page.index('<h2 id="summary">')


def test_a_bug_or_a_broken_viewer_leaves_the_rest(
    study_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @section("Odd")
    def odd(_: Study) -> list[Any]:
        raise KeyError("lost")

    def broken(_: Study) -> None:
        raise ValueError("no volume")

    monkeypatch.setattr(group, "_SECTIONS", (odd, study_summary.limits))
    monkeypatch.setattr(group, "write_study_viewer", broken)
    write_text(study_dir / "group" / STUDY / "study.json", "{")
    page, errors = draw_group_page(study_dir, STUDY)
    text = page.read_text()
    assert [type(error) for error in errors] == [BadDataError, ValueError, KeyError]
    assert "cannot read the JSON file" in text
    assert "Viewer of the mean heatmaps: ValueError: no volume" in text
    assert "This looks like a bug" in text
    assert '<h2 id="limits">' in text


def test_study_json_begins_with_the_cohort_and_keeps_what_is_added(tmp_path: Path) -> None:
    study = dataclasses.replace(load_study("tinauer2025"), name=STUDY)
    context = GroupContext(RunSettings(tmp_path, tmp_path, "group"), study, "T")
    options: Any = {"template": "T", "seed": 0, "sloppy": False}
    file = write_study(context.folder, study, **options)
    add_to_study(context.folder, atlas="Nuclei", versions={"bids_xai": "1", "torch": "2"})
    add_to_study(context.folder, spray={"A_T1w": {}})
    write_study(context.folder, study, **options)
    said = json.loads(file.read_text())
    assert said["classes"] == ["NC", "AD"]
    assert said["positive"] == "AD"
    assert said["settings"]["training"]["epochs"] == 60
    assert said["atlas"] == "Nuclei"
    assert said["spray"] == {"A_T1w": {}}
    assert said["versions"]["torch"] == "2"


def test_without_study_json_the_counts_are_those_of_the_cohort(study_dir: Path) -> None:
    (study_dir / "group" / STUDY / "study.json").unlink()
    study = Study.at(study_dir, STUDY)
    assert "24 scans of 12 participants: 12 of AD and 12 of NC." in texts(
        study_summary.summary(study)
    )
    tables = [b for b in group_cohort.cohort(study).blocks if isinstance(b, Table)]
    (table,) = (b for b in tables if b.caption.startswith("Scans that were used"))
    assert table.header == ("", "AD", "NC")


def test_the_summary_counts_what_speaks_against_the_heatmaps(study_dir: Path) -> None:
    study = Study.at(study_dir, STUDY)
    said = texts(study_summary.summary(study))
    anchor = group_spray.spectral.anchor
    assert f'heatmaps: 1 <a href="#{anchor}">suspicious cluster</a>.' in said
    assert "The best was chosen by its test scans, so its score is optimistic" in said
    header = "configuration\tsplit\tmethod\tcheck\tregion\tpassed\tverdict\n"
    line = "A\tn/a\tlrp-zplus\taopc\tn/a\t{}\tx\n"
    lines = line.format("false") * 2 + line.format("true")
    write_text(study.folder / "quality" / "summary.tsv", header + lines)
    said = texts(study_summary.summary(study))
    assert '2 <a href="#can-the-heatmaps-be-trusted">checks failed</a> and 1 <a' in said
    write_text(study.folder / "spray" / "verdicts.tsv", "finding\nx\n")  # told by its section
    assert "suspicious" not in texts(study_summary.summary(study))


def test_colours_of_signed_maps_are_told() -> None:
    plain = group_maps.window_words((0.1, 2.0), False, "this map")
    signed = group_maps.window_words((0.1, 2.0), True, "this map")
    assert "50 to the 99.5 percentile of the positive values of this map (0.1 to 2)" in plain
    assert "Red" not in plain
    assert "percentile of the magnitudes of this map" in signed
    assert "Red is positive, blue negative, white zero." in signed


@pytest.mark.parametrize("signed", [False, True])
def test_large_maps_have_such_captions(
    study_dir: Path, monkeypatch: pytest.MonkeyPatch, signed: bool
) -> None:
    for module in (group_maps, group_spray):
        monkeypatch.setattr(module, "is_signed", lambda _: signed)
        for name in ("mosaic", "strips", "cluster_maps"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, lambda *_, **__: b"<svg/>")
    study = Study.at(study_dir, STUDY)
    files = group_maps.group_means(study, "A")
    large, strip = group_maps._configuration_maps(study, "A", files)
    folder = study.folder / "spray" / "A_T1w"
    (clusters,) = group_spray._cluster_maps(study, "A", "T1w", folder)
    for picture in (large, strip, clusters):
        assert ("the magnitudes of" in picture.caption) is signed
        assert ("white zero" in picture.caption) is signed


def test_the_embedding_is_called_what_it_is(study_dir: Path) -> None:
    study = Study.at(study_dir, STUDY)
    assert group_spray.embedding_name(study) == "t-SNE"
    study.description["settings"] = {"spray": {"embedding": "umap"}}
    folders = {("A", "T1w"): study.folder / "spray" / "A_T1w"}
    (picture,) = group_spray._embeddings(study, folders)
    assert "mean nothing in UMAP" in picture.caption
    assert "t-SNE" not in picture.caption + picture.alt


def described(name: str, tmp_path: Path) -> Study:
    study = load_study(name)
    context = GroupContext(RunSettings(tmp_path, tmp_path, "group"), study, "T")
    write_study(context.folder, study, template="T", seed=0, sloppy=False)
    add_to_study(context.folder, versions={"bids_xai": "1.2", "torch": "2.7"})
    return Study.at(tmp_path, name)


def test_methods_are_those_of_the_settings(tmp_path: Path) -> None:
    study = described("tinauer2025", tmp_path)
    made = group_methods.methods(study)
    said = texts(made)
    for words in (
        "AD (positive class) from NC, by the column diagnosis of participants.tsv",
        "R2starmap maps in subject space",
        "divided by 40.",
        "matched 1:1 by propensity score on age and sex",
        "at random, 10 times: within each class 70 % for training, 15 % for validation, 15 % for",
        "The network graz (Tinauer et al. 2025) was trained with Adam (Kingma and Ba 2015)",
        "for at most 60 epochs, with learning rate 0.001 and 6 scans a step.",
        "Configuration B: maps without the skull, not relevance guided.",
        "inside the mask (brain) with weight −1",
        "lrp-zplus, starting at all softmax outputs (Montavon et al. 2017;",
        "12 nearest neighbours",
        "Software: bids_xai 1.2, torch 2.7.",
    ):
        assert words in said
    (references,) = (block for block in made.blocks if isinstance(block, Items))
    assert any("10.1016/j.patcog.2016.11.008" in item for item in references.items)
    every = next(b for b in group_methods.settings(study).blocks if isinstance(b, Details))
    rows = dict(every.blocks[0].rows)
    assert rows["training.plateau.patience"] == "5"
    assert rows["configurations.B.skull_strip"] == "yes"


@pytest.mark.parametrize(
    "name",
    [
        "boehle2019",
        "cam-lrp-digits",
        "cam-lrp-thesis",
        "eitel-ritter2019",
        "eitel2019-pretraining",
        "eitel2021-pif",
        "klingenberg2021",
        "quick",
        "rieke2018",
    ],
)
def test_every_study_of_the_package_has_its_methods(name: str, tmp_path: Path) -> None:
    made = group_methods.methods(described(name, tmp_path))
    assert "None" not in texts(made)
    assert isinstance(made.blocks[-1], Items)


def test_every_source_of_a_method_is_a_reference() -> None:
    for method in group_methods.METHODS.values():
        assert cited(method.source), method.source
    assert all(cited(key) == [text] for key, text in REFERENCES.items() if key[:10] != "University")


def test_html_and_details_are_drawn_and_drawings_keep_their_room() -> None:
    image = embedded(b'<svg height="72pt" version="1.1" width="144.4pt">', "a", "b")
    assert (image.width, image.height) == (193, 96)
    inner = Details("Open <me>", (Text("inside"), image))
    page = render("t", "l", [Section("S", (Html(group.Markup("<b>x</b>")), inner))])
    assert "<b>x</b>" in page
    assert "<summary>Open &lt;me&gt;</summary>" in page
    assert '<p class="plain">inside</p>' in page
    assert 'loading="lazy"' in page
    assert 'width="193" height="96"' in page


def test_damaged_records_of_problems_do_not_cost_the_page(
    study_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "_SECTIONS", (study_summary.limits,))
    monkeypatch.setattr(group, "write_study_viewer", lambda _: None)
    file = study_dir / "group" / STUDY / "problems.json"
    write_json(file, {"train": "lost. Fix: find it."})
    assert "The step train failed, and it has not succeeded since: lost. Fix: find it." in (
        write_group_page(study_dir, STUDY).read_text()
    )
    write_text(file, "[")
    page, errors = draw_group_page(study_dir, STUDY)
    assert len(errors) == 1
    assert "problems.json" in page.read_text()
