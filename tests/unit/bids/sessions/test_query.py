"""From raw datasets to records, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from asking import refused, sessions

from bids_xai.bids.derivatives import open_derivatives
from bids_xai.bids.layout import select_participants
from bids_xai.bids.sessions.filters import read_filters
from bids_xai.bids.sessions.index import open_index
from bids_xai.bids.sessions.query import collect_sessions
from bids_xai.errors import BadDataError, NoInputError, NothingMatchedError


def test_one_visit_without_session_folders(raw: Any) -> None:
    raw.session("01")
    (only,) = sessions(raw)
    assert (only.participant, only.session, only.label) == ("01", None, "sub-01")
    assert only.t1w.file == raw.root / "sub-01/anat/sub-01_T1w.nii.gz"
    assert only.t1w.entities == {"sub": "01"}
    (series,) = only.megre
    assert series.entities == {"sub": "01"}
    assert series.echo_times_s == (0.01, 0.02)
    assert [f.name for f in series.files] == [
        "sub-01_echo-1_MEGRE.nii.gz",
        "sub-01_echo-2_MEGRE.nii.gz",
    ]
    assert series.field_strength_t is None


def test_sessions_runs_and_acquisitions_are_told_apart(raw: Any) -> None:
    raw.session("01", "pre", "_acq-hi_run-01")
    raw.session("01", "pre", "_acq-hi_run-02", t1w=False)
    raw.session("01", "pre", "_acq-lo_run-01", echo_times_s=(0.004, 0.008, 0.012), t1w=False)
    raw.session("01", "post")
    raw.session("02", "pre")
    post, pre = sessions(raw)
    assert [post.label, pre.label] == ["sub-01_ses-post", "sub-01_ses-pre"]
    assert [series.entities for series in pre.megre] == [
        {"sub": "01", "ses": "pre", "acq": "hi", "run": "01"},
        {"sub": "01", "ses": "pre", "acq": "hi", "run": "02"},
        {"sub": "01", "ses": "pre", "acq": "lo", "run": "01"},
    ]
    assert [len(series.files) for series in pre.megre] == [2, 2, 3]
    assert all("ses-pre" in f.name for series in pre.megre for f in series.files)
    assert [s.label for s in sessions(raw, wanted=("ses-post",))] == ["sub-01_ses-post"]
    assert [s.label for s in sessions(raw, wanted=("pre", "none"))] == ["sub-01_ses-pre"]


def test_the_nearest_sidecar_wins(raw: Any) -> None:
    raw.json("MEGRE.json", {"EchoTime": 0.4})
    raw.session("01", echo_times_s=(0.01, 0.02))
    assert sessions(raw)[0].megre[0].echo_times_s == (0.01, 0.02)


def test_inputs_hold_images_and_sidecars(raw: Any) -> None:
    raw.session("01")
    names = sorted(path.name for path in sessions(raw)[0].inputs)
    assert names == [
        "sub-01_T1w.json",
        "sub-01_T1w.nii.gz",
        "sub-01_echo-1_MEGRE.json",
        "sub-01_echo-1_MEGRE.nii.gz",
        "sub-01_echo-2_MEGRE.json",
        "sub-01_echo-2_MEGRE.nii.gz",
    ]


def test_inputs_hold_every_inherited_sidecar(raw: Any) -> None:
    raw.json("MEGRE.json", {"MagneticFieldStrength": 3})
    raw.session("01")
    assert raw.root / "MEGRE.json" in sessions(raw)[0].inputs


def test_derivatives_source_data_and_hidden_folders_are_left_out(raw: Any) -> None:
    raw.session("01")
    for folder in ("derivatives/x", "sourcedata", "code", ".git", "models"):
        raw.image(f"{folder}/sub-01/anat/sub-01_T1w.nii.gz")
        raw.image(f"{folder}/sub-09/anat/sub-09_echo-1_MEGRE.nii.gz", {"EchoTime": 0.01})
    assert select_participants(raw.root, ()) == ["01"]
    assert sessions(raw)[0].t1w.file == raw.root / "sub-01/anat/sub-01_T1w.nii.gz"


def test_an_output_folder_inside_the_dataset_is_no_raw_data(raw: Any) -> None:
    raw.session("01")
    raw.json("out/dataset_description.json", {"Name": "x", "DatasetType": "derivative"})
    raw.image("out/sub-01/anat/sub-01_desc-preproc_T1w.nii.gz")
    assert sessions(raw)[0].t1w.file == raw.root / "sub-01/anat/sub-01_T1w.nii.gz"


def test_of_several_t1w_images_the_first_run_is_taken(raw: Any) -> None:
    raw.session("01", t1w=False)
    for run in ("02", "01"):
        raw.image(f"sub-01/anat/sub-01_run-{run}_T1w.nii.gz")
    (only,) = sessions(raw)
    assert only.t1w.file.name == "sub-01_run-01_T1w.nii.gz"
    assert only.t1w.entities == {"sub": "01", "run": "01"}


def test_filters_choose_among_series_and_t1w_images(raw: Any) -> None:
    raw.session("01", middle="_acq-a_run-01", t1w=False)
    raw.session("01", middle="_acq-b_run-02", t1w=False)
    for acq in ("sharp", "fast"):
        raw.image(f"sub-01/anat/sub-01_acq-{acq}_T1w.nii.gz")
    (only,) = sessions(raw, megre={"acquisition": "b"}, t1w={"acquisition": "sharp"})
    assert [series.entities["acq"] for series in only.megre] == ["b"]
    assert only.t1w.file.name == "sub-01_acq-sharp_T1w.nii.gz"
    assert [s.entities["run"] for s in sessions(raw, megre={"run": 1})[0].megre] == ["01"]
    refused(raw, NothingMatchedError, "no multi-echo GRE.*bids-filter-file", megre={"run": 7})


@pytest.mark.parametrize("filters", [{"megre": {"colour": "red"}}, {"megre": "a"}, {"t1w": None}])
def test_filters_that_cannot_be_are_refused(raw: Any, filters: dict[str, Any]) -> None:
    raw.session("01")
    path = raw.json("filter.json", filters)
    with pytest.raises(BadDataError):
        sessions(raw, **read_filters(path))


def test_the_filter_file_is_read_and_checked(tmp_path: Path) -> None:
    assert read_filters(None) == {}
    path = tmp_path / "filter.json"
    with pytest.raises(NoInputError, match=r"no such filter file.*filter\.json") as caught:
        read_filters(path)
    assert caught.value.status == 66
    path.write_text('{"t1w": {"run": 1}}')
    assert read_filters(path) == {"t1w": {"run": 1}}
    for content, text in (
        ('{"bold": {}}', "unknown key bold.*filter.json.*use megre, t1w, flair"),
        ("{", "cannot read the JSON"),
        ("[]", "not an object"),
    ):
        path.write_text(content)
        with pytest.raises(BadDataError, match=text):
            read_filters(path)


def test_without_a_t1w_image_the_series_is_still_found(raw: Any) -> None:
    raw.session("01", "1")
    raw.session("01", "2", t1w=False)
    first, second = sessions(raw)
    assert first.t1w is not None
    assert second.t1w is None
    assert len(second.megre) == 1


def test_without_a_t1w_image_nothing_else_can_be_placed(raw: Any) -> None:
    raw.image("sub-01/ses-2/anat/sub-01_ses-2_FLAIR.nii.gz")
    error = refused(raw, BadDataError, "no T1w image.*of the same session", inputs=("FLAIR",))
    assert error.file == str(raw.root / "sub-01/ses-2/anat")


def test_no_series_is_refused(raw: Any) -> None:
    raw.image("sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz")
    assert refused(raw, NothingMatchedError, "sub-01 has no multi-echo GRE").status == 18
    raw.session("01", "2")
    with pytest.raises(NothingMatchedError, match=r"no session 3 .*choose from 1, 2"):
        sessions(raw, wanted=("3",))


def test_t1w_images_alone_are_an_input(raw: Any) -> None:
    raw.image("sub-01/anat/sub-01_T1w.nii.gz")
    (only,) = sessions(raw, inputs=("T1w",))
    assert only.megre == ()
    assert only.t1w.uri == "bids:raw:sub-01/anat/sub-01_T1w.nii.gz"
    error = refused(raw, NothingMatchedError, "no multi-echo GRE")
    assert "--inputs T1w" in error.fix


def test_what_is_not_asked_for_is_left_alone(raw: Any) -> None:
    raw.session("01")
    raw.image("sub-01/anat/sub-01_FLAIR.nii.gz")
    (default,) = sessions(raw)
    assert default.flair is None
    assert default.notes == ()
    (both,) = sessions(raw, inputs=("megre", "FLAIR"))
    assert both.flair.file.name == "sub-01_FLAIR.nii.gz"
    assert both.flair.file in both.inputs
    (anatomy,) = sessions(raw, inputs=("T1w",))
    assert anatomy.megre == ()


def test_an_input_that_is_missing_beside_others_is_noted(raw: Any) -> None:
    raw.session("01")
    (only,) = sessions(raw, inputs=("megre", "FLAIR"))
    assert only.notes == ("no FLAIR image in this session",)


def test_an_image_with_contrast_agent_comes_last_and_the_choice_is_noted(raw: Any) -> None:
    raw.session("01", t1w=False)
    raw.image("sub-01/anat/sub-01_ce-gad_run-1_T1w.nii.gz")
    raw.image("sub-01/anat/sub-01_run-2_T1w.nii.gz")
    (only,) = sessions(raw)
    assert only.t1w.file.name == "sub-01_run-2_T1w.nii.gz"
    assert only.notes == ("2 t1w images, sub-01_run-2_T1w.nii.gz is used",)
    (other,) = sessions(raw, t1w={"run": 1})
    assert other.t1w.file.name == "sub-01_ce-gad_run-1_T1w.nii.gz"


def test_brain_masks_are_looked_for_only_where_asked(raw: Any, tmp_path: Path) -> None:
    raw.session("01")
    other = tmp_path / "other" / "sub-01" / "anat"
    other.mkdir(parents=True)
    for name in ("sub-01_run-1_desc-brain_mask.nii.gz", "sub-01_run-2_desc-brain_mask.nii.gz"):
        raw.image(str(other / name))
    folders = open_derivatives([("other", tmp_path / "other")])
    layout = open_index(raw.root).layout
    assert collect_sessions(layout, "01", derivatives=folders)[0].brain_mask is None
    with pytest.raises(BadDataError, match="2 files could be the brain mask"):
        collect_sessions(layout, "01", derivatives=folders, brain_masks=True)
    (other / "sub-01_run-2_desc-brain_mask.nii.gz").unlink()
    found = collect_sessions(layout, "01", derivatives=folders, brain_masks=True)[0]
    assert found.brain_mask is not None
    (other / "sub-01_run-1_desc-brain_mask.nii.gz").unlink()
    (without,) = collect_sessions(layout, "01", derivatives=folders, brain_masks=True)
    assert without.notes == (
        "no brain mask in the derivatives: the mask is computed by registration",
    )


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("_MEGRE", "_GRE", r'no multi-echo GRE.*but sub-01_echo-1_GRE.*"megre": {"suffix": "GRE"}'),
        ("_MEGRE", "_T2starw", r'"megre": {"suffix": "T2starw"}'),
        ("_MEGRE", "_MPM", r'"megre": {"suffix": "MPM"}'),
        ("_MEGRE", "_MEGRE_e1", r"sub-01_echo-1_MEGRE_e1\.nii\.gz.*rename"),
    ],
)
def test_other_names_are_told_with_the_filter(raw: Any, old: str, new: str, text: str) -> None:
    raw.session("01")
    for file in [*(raw.root / "sub-01/anat").glob(f"*{old}.*")]:
        file.rename(file.with_name(file.name.replace(old, new)))
    refused(raw, NothingMatchedError, text)
    if new != "_MEGRE_e1":
        (only,) = sessions(raw, megre={"suffix": new[1:]})
        assert len(only.megre[0].files) == 2


def test_unit1_is_offered_for_t1w(raw: Any) -> None:
    raw.session("01", t1w=False)
    raw.image("sub-01/anat/sub-01_UNIT1.nii.gz", {})
    with pytest.raises(NothingMatchedError, match=r'UNIT1.*{"t1w": {"suffix": "UNIT1"}}'):
        sessions(raw, inputs=("T1w",))
    (note,) = sessions(raw)[0].notes
    assert '{"t1w": {"suffix": "UNIT1"}}' in note
    (only,) = sessions(raw, t1w={"suffix": "UNIT1"})
    assert only.t1w.file.name == "sub-01_UNIT1.nii.gz"


@pytest.mark.parametrize("echo", [1, "1", "01", [1], ["001"]])
def test_a_filter_of_echo_counts_numbers(raw: Any, echo: Any) -> None:
    raw.session("01")
    for number in ("01", "02"):
        raw.image(f"sub-01/anat/sub-01_echo-{number}_T1w.nii.gz", {})
    (only,) = sessions(raw, t1w={"echo": echo})
    assert only.t1w.file.name == "sub-01_echo-01_T1w.nii.gz"


def test_a_map_without_t1w_lacks_the_t1w(raw: Any, tmp_path: Path) -> None:
    raw.image("sub-01/anat/sub-01_T2w.nii.gz", {})
    raw.image("../maps/sub-01/anat/sub-01_R2starmap.nii.gz")
    with pytest.raises(BadDataError, match=r"no T1w image.*sub-01_R2starmap\.nii\.gz is there"):
        sessions(raw, inputs=("R2starmap",), derivatives=(("maps", tmp_path / "maps"),))
