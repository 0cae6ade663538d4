"""Atlases asked for by name or by file: what is taken, and what is refused."""

from __future__ import annotations

import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from flow_homes import AFFINE, SHAPE, SHARED, InCohort, UseHome, left_right, put, put_template

from bids_xai.bids.files import write_nifti
from bids_xai.bids.images import read_volume
from bids_xai.core.regions.labels import (
    label_centroids_mm,
    share_inside,
    side_of_name,
    swapped_sides,
    whole_labels,
)
from bids_xai.errors import BadDataError, NoInputError, UsageError
from bids_xai.settings import OutputSpace
from bids_xai.templates import embedded
from bids_xai.templates.atlas_spec import EMBEDDED_ATLAS
from bids_xai.templates.label_tables import find_label_table, read_label_table
from bids_xai.templates.lookup import (
    AtlasSpec,
    load_atlas,
    load_atlas_spec,
    load_mask,
    load_template,
    parse_atlas,
)

SPACE = OutputSpace("MNI152NLin2009aSym", 4)
NAMES = "index\tname\n300\tLeft half\n70000\tRight half\n"


# --- the option -------------------------------------------------------------------------------


def test_options_are_read_and_written_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    a, b = tmp_path / "a.nii.gz", tmp_path / "b,c.tsv"
    assert parse_atlas("AAL=a.nii.gz,b,c.tsv") == AtlasSpec("AAL", a, b)
    assert parse_atlas("AAL=a.nii.gz") == AtlasSpec("AAL", a)
    assert parse_atlas("x1=~/a.nii").image == Path("/home/me/a.nii")
    assert parse_atlas("HOSPA") == AtlasSpec("HOSPA")
    variant = parse_atlas("Schaefer2018:desc-100Parcels7Networks")
    assert variant.modifiers == (("desc", "100Parcels7Networks"),)
    assert variant.label == "Schaefer2018100Parcels7Networks"
    assert parse_atlas("Y:desc-a:seg-7n") == parse_atlas("Y:seg-7n:desc-a")
    for text in ("AAL=a.nii.gz,b,c.tsv", "AAL=a.nii.gz", "HOSPA", "Y:seg-7n:scale-2:desc-a"):
        assert parse_atlas(str(parse_atlas(text))) == parse_atlas(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "=a.nii.gz",
        "A-B",
        "A_B=a.nii.gz",
        "A B",
        "Ä",
        "A=",
        "A=a.mgz",
        "A=a.nii.gz,",
        "A:",
        "A:desc-",
        "A:res-2",
        "A:desc-a_b",
        "A:desc-a:desc-b",
        "A:desc-a=a.nii.gz",
        "A=a.tsv,b.tsv",
    ],
)
def test_options_that_are_no_atlas(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not|is no atlas"):
        parse_atlas(text)


def test_an_image_declares_its_template_by_name() -> None:
    here = OutputSpace("MNI152NLin6Asym", 2)
    assert parse_atlas("A=/x/tpl-MNI152NLin6Asym_dseg.nii.gz").fits(here)
    assert not parse_atlas("A=/x/space-MNI152NLin2009cAsym_dseg.nii.gz").fits(here)
    assert parse_atlas("A=/x/my_atlas.nii.gz").template is None
    assert parse_atlas("A=/x/my_atlas.nii.gz").fits(here)


# --- the embedded one -------------------------------------------------------------------------


def test_the_embedded_atlas_by_name() -> None:
    assert EMBEDDED_ATLAS == embedded.ATLAS
    default, named = load_atlas(SPACE), load_atlas_spec(parse_atlas("TissueNuclei"), SPACE)
    assert default is not None
    assert named.labels == default.labels
    np.testing.assert_array_equal(named.volume.data, default.volume.data)
    places = label_centroids_mm(named.volume.data, named.volume.affine)
    assert not swapped_sides(named.labels, places)
    mirrored = label_centroids_mm(named.volume.data[::-1], named.volume.affine)
    assert len(swapped_sides(named.labels, mirrored)) == len(named.labels) == 12


def test_other_names_with_the_embedded_template_and_the_reverse() -> None:
    with pytest.raises(NoInputError, match="has only the atlas TissueNuclei, not AAL"):
        load_atlas_spec(parse_atlas("AAL"), SPACE)
    with pytest.raises(NoInputError, match="exists for the template MNI152NLin2009aSym only"):
        load_atlas_spec(parse_atlas("TissueNuclei"), OutputSpace("MNI152NLin6Asym", 2))


# --- the user's own ---------------------------------------------------------------------------


def user_atlas(
    folder: Path,
    labels: np.ndarray | None = None,
    table: str = NAMES,
    *,
    affine: np.ndarray = AFFINE,
    name: str = "mine",
) -> AtlasSpec:
    write_nifti(folder / f"{name}.nii.gz", left_right() if labels is None else labels, affine)
    (folder / f"{name}.tsv").write_text(table)
    return parse_atlas(f"Mine={folder / name}.nii.gz")


def test_a_users_atlas_comes_on_the_templates_grid(tmp_path: Path) -> None:
    spec = user_atlas(tmp_path)
    space = OutputSpace(SPACE.template, 3)
    atlas, template = load_atlas_spec(spec, space), load_template(space)
    assert atlas.name == "Mine"
    assert atlas.labels == ((300, "Left half"), (70000, "Right half"))
    assert (atlas.image, atlas.table) == (spec.image, tmp_path / "mine.tsv")
    assert "mine.nii.gz" in atlas.description
    assert atlas.volume.data.dtype == np.int32
    assert atlas.volume.data.shape == template.brain.data.shape
    np.testing.assert_array_equal(atlas.volume.affine, template.brain.affine)
    found = label_centroids_mm(atlas.volume.data, atlas.volume.affine)
    source = label_centroids_mm(left_right(), AFFINE)
    np.testing.assert_allclose(found.centroids_mm, source.centroids_mm, atol=1)
    np.testing.assert_allclose(27 * found.n_voxels, 64 * source.n_voxels, rtol=0.03)  # mm³


def test_labels_float32_cannot_tell_apart_stay_apart(tmp_path: Path) -> None:
    labels = left_right()
    labels[labels == 300], labels[labels == 70000] = 2**24, 2**24 + 1
    table = f"index\tname\n{2**24}\tLeft half\n{2**24 + 1}\tRight half\n"
    atlas = load_atlas_spec(user_atlas(tmp_path, labels, table), SPACE)
    assert [index for index, _ in atlas.labels] == [2**24, 2**24 + 1]


def test_a_table_of_its_own_and_the_default_loader(tmp_path: Path) -> None:
    spec = user_atlas(tmp_path)
    (tmp_path / "other.csv").write_text("value,region\n300,A left\n70000,A right\n")
    other = parse_atlas(f"Mine={spec.image},{tmp_path / 'other.csv'}")
    atlas = load_atlas(SPACE, other)
    assert atlas is not None
    assert atlas.labels == ((300, "A left"), (70000, "A right"))


def test_any_orientation_and_type_gives_the_same_atlas(tmp_path: Path) -> None:
    expected = load_atlas_spec(user_atlas(tmp_path), SPACE)
    image = nib.Nifti1Image(left_right().astype(np.float32), AFFINE)
    turned = image.as_reoriented(nib.orientations.axcodes2ornt(("P", "L", "I")))
    nib.save(turned, tmp_path / "turned.nii.gz")
    (tmp_path / "turned.tsv").write_text(NAMES)
    found = load_atlas_spec(parse_atlas(f"Mine={tmp_path / 'turned.nii.gz'}"), SPACE)
    different = found.volume.data != expected.volume.data
    assert different.mean() < 0.005  # a voxel on the edge between two may go to either
    assert found.labels == expected.labels


def refused(spec: AtlasSpec, said: str, space: OutputSpace = SPACE) -> BadDataError:
    with pytest.raises(BadDataError, match=said) as caught:
        load_atlas_spec(spec, space)
    assert caught.value.file
    assert caught.value.fix
    assert "\n" not in str(caught.value)
    return caught.value


def test_swapped_names_are_refused_in_one_message(tmp_path: Path) -> None:
    table = "index\tname\n300\tRight half\n70000\tLeft half\n"
    error = refused(user_atlas(tmp_path, table=table), "2 names of atlas Mine are on the wrong")
    assert error.file == str(tmp_path / "mine.tsv")
    assert "'Right half' (300) at x = -1" in error.problem


def test_a_mirrored_image_is_refused(tmp_path: Path) -> None:
    mirror = np.diag([-1.0, 1, 1, 1]) @ AFFINE
    refused(user_atlas(tmp_path, affine=mirror), "wrong side of mine.nii.gz")


def test_at_most_five_labels_are_named(tmp_path: Path) -> None:
    labels = left_right()
    labels[labels == 300] = 1 + np.arange((labels == 300).sum()) % 9
    rows = "".join(f"{i}\tPart{i} right\n" for i in range(1, 10))
    spec = user_atlas(tmp_path, labels, f"index\tname\n{rows}70000\tOther right\n")
    error = refused(spec, "9 names")
    assert error.problem.count("Part") == 5
    assert error.problem.endswith("…")


def test_a_table_of_another_atlas_is_refused(tmp_path: Path) -> None:
    spec = user_atlas(tmp_path, table="index\tname\n1\tLeft half\n2\tRight half\n")
    error = refused(spec, "names only 0 of the 2 labels .* lacks 300, 70000")
    assert error.file == str(tmp_path / "mine.tsv")


def test_unnamed_and_absent_labels_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = user_atlas(tmp_path, table="index\tname\n300\tLeft half\n7\tGhost left\n")
    with caplog.at_level(logging.WARNING, "bids_xai"):
        atlas = load_atlas_spec(spec, SPACE)
    assert atlas.labels == ((300, "Left half"), (70000, "label-70000"))
    assert "1 labels have no name in the label table: 70000 (label-70000)" in caplog.text
    assert "1 labels of the table are not in the image: 7 (Ghost left)" in caplog.text


def test_labels_lost_on_a_coarser_grid_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shape, affine = (60, 72, 54), AFFINE @ np.diag([1 / 3, 1 / 3, 1 / 3, 1])
    labels = np.kron(left_right(), np.ones((3, 3, 3), np.int32))
    assert labels.shape == shape
    grid = load_mask(SPACE)
    centres = np.linalg.inv(affine) @ grid.affine  # of coarse voxels, in fine ones
    near = np.rint(centres @ [20, 25, 15, 1])[:3].astype(int)
    labels[tuple(near + 1)] = 5
    spec = user_atlas(tmp_path, labels, NAMES + "5\tTiny\n", affine=affine)
    with caplog.at_level(logging.WARNING, "bids_xai"):
        atlas = load_atlas_spec(spec, SPACE)
    assert [index for index, _ in atlas.labels] == [300, 70000]
    assert "1 labels are lost on the grid of MNI152NLin2009aSym:res-4: 5 (Tiny)" in caplog.text


def test_an_atlas_of_another_space_is_refused(tmp_path: Path) -> None:
    lost = np.diag([4.0, 4, 4, 1])  # an image whose sform was lost
    lost[:3, 3] = 10
    error = refused(user_atlas(tmp_path, affine=lost), r"only \d+ % of the labelled voxels")
    assert "sform" in str(error)
    declared = user_atlas(tmp_path, name="tpl-MNI152NLin6Asym_atlas-Mine_dseg")
    refused(declared, "in the space MNI152NLin6Asym, as its file name says")


def test_what_is_no_label_image_is_refused(tmp_path: Path) -> None:
    fractions = left_right() / 70000
    error = refused(user_atlas(tmp_path, fractions.astype(np.float32)), "whole numbers")
    assert error.file == str(tmp_path / "mine.nii.gz")
    four = np.repeat(ball_probability()[..., None], 3, axis=3)
    refused(user_atlas(tmp_path, four), "4-D, .*probability maps")
    refused(user_atlas(tmp_path, np.zeros(SHAPE, np.int16)), "no labels, only 0")
    refused(user_atlas(tmp_path, -left_right()), "this image has -70000")


def ball_probability() -> np.ndarray:
    return (left_right() > 0).astype(np.float32) / 2


def test_missing_files_are_named(tmp_path: Path) -> None:
    spec = user_atlas(tmp_path)
    (tmp_path / "mine.tsv").unlink()
    with pytest.raises(NoInputError, match=r"no label table .*mine\.nii\.gz,LABELS\.tsv"):
        load_atlas_spec(spec, SPACE)
    with pytest.raises(NoInputError, match=r"none\.nii\.gz"):
        load_atlas_spec(parse_atlas(f"A={tmp_path}/none.nii.gz,{tmp_path}/t.tsv"), SPACE)


# --- TemplateFlow's ---------------------------------------------------------------------------

TOY = OutputSpace("Toy", 2)


def put_atlas(home: Path, entities: str, labels: np.ndarray | None = None) -> Path:
    data = left_right() if labels is None else labels
    return put(home, f"tpl-Toy_{entities}_dseg.nii.gz", data)


def put_table(home: Path, stem: str, text: str = NAMES) -> None:
    put(home, f"{stem}_dseg.tsv").write_text(text)


def test_templateflow_atlases_by_name_variant_and_resolution(
    tmp_path: Path, use_home: UseHome
) -> None:
    put_template(tmp_path)
    coarse = AFFINE @ np.diag([2.0, 2, 2, 1])
    put(tmp_path, "tpl-Toy_res-03_atlas-One_dseg.nii.gz", left_right()[::2, ::2, ::2], coarse)
    put_table(tmp_path, "tpl-Toy_atlas-One")
    for desc in ("small", "large"):
        put_atlas(tmp_path, f"res-02_atlas-Two_desc-{desc}")
        put_table(tmp_path, f"tpl-Toy_atlas-Two_desc-{desc}", NAMES.replace("half", desc))
    put_table(tmp_path, "tpl-Toy_atlas-Two", NAMES.replace("half", "any"))
    put_atlas(tmp_path, "res-02_seg-aseg")
    put_table(tmp_path, "tpl-Toy_seg-aseg")
    for desc in ("th0", "th25"):
        put_atlas(tmp_path, f"res-02_atlas-HOSPA_desc-{desc}")
    put_table(tmp_path, "tpl-Other_atlas-HOSPA", NAMES.replace("half", "borrowed"))
    put_atlas(tmp_path, "res-02_atlas-Bare")
    before = sorted(tmp_path.rglob("*"))
    use_home(tmp_path)

    one = load_atlas_spec(parse_atlas("One"), TOY)
    assert one.volume.data.shape == SHAPE
    assert one.labels == ((300, "Left half"), (70000, "Right half"))
    large = load_atlas_spec(parse_atlas("Two:desc-large"), TOY)
    assert (large.name, large.labels[0][1]) == ("Twolarge", "Left large")
    assert load_atlas_spec(parse_atlas("aseg"), TOY).name == "aseg"
    default = load_atlas(TOY)
    assert default is not None
    assert (default.name, default.labels[0][1]) == ("HOSPA", "Left borrowed")
    assert default.image is not None
    assert "th25" in default.image.name
    with pytest.raises(UsageError, match=r"--atlas Two:desc-large \| Two:desc-small"):
        load_atlas_spec(parse_atlas("Two"), TOY)
    with pytest.raises(NoInputError, match=r"no atlas Three in Toy:res-2 \(it has Bare, HOSPA"):
        load_atlas_spec(parse_atlas("Three"), TOY)
    with pytest.raises(NoInputError, match=r"no label table of tpl-Toy_res-02_atlas-B") as caught:
        load_atlas_spec(parse_atlas("Bare"), TOY)
    assert "--atlas Bare=dseg.nii.gz,labels.tsv" in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before  # a read-only home will do


def test_cohorts_may_share_a_label_table(tmp_path: Path, use_home: UseHome) -> None:
    for cohort in (1, 2):
        put_template(tmp_path, f"tpl-Child_cohort-{cohort}_res-1")
        put(tmp_path, f"tpl-Child_cohort-{cohort}_res-1_desc-parts_dseg.nii.gz", left_right())
    put_table(tmp_path, "tpl-Child_desc-parts")
    use_home(tmp_path)
    atlas = load_atlas_spec(parse_atlas("parts"), InCohort("Child", 1, "2"))
    assert atlas.image is not None
    assert "cohort-2" in atlas.image.name
    assert len(atlas.labels) == 2


def test_a_template_without_the_default_atlas_has_none(tmp_path: Path, use_home: UseHome) -> None:
    put_template(tmp_path)
    use_home(tmp_path)
    assert load_atlas(TOY) is None


def test_templateflow_atlases_are_checked_too(tmp_path: Path, use_home: UseHome) -> None:
    put_template(tmp_path)
    put_atlas(tmp_path, "res-02_atlas-Bad", left_right()[::-1])
    put_table(tmp_path, "tpl-Toy_atlas-Bad")
    use_home(tmp_path)
    refused(parse_atlas("Bad"), "2 names of atlas Bad", TOY)


# --- real atlases -----------------------------------------------------------------------------

ATLASES = SHARED / "atlases"
REAL = {
    "AAL": (ATLASES / "tpl-MNI152NLin6Asym_atlas-AAL_res-1_dseg.nii.gz", "MNI152NLin6Asym", 2, 108),
    "JHU": (ATLASES / "tpl-MNI152NLin6Asym_atlas-JHU_res-2_dseg.nii.gz", "MNI152NLin6Asym", 2, 42),
    "CIT168": (
        ATLASES / "tpl-MNI152NLin2009cAsym_atlas-CIT168_res-1_dseg.nii.gz",
        "MNI152NLin2009cAsym",
        1,
        32,
    ),
    "HOSPA": (
        SHARED
        / "templateflow"
        / "tpl-MNI152NLin6Asym"
        / "tpl-MNI152NLin6Asym_res-02_atlas-HOSPA_desc-th25_dseg.nii.gz",
        "MNI152NLin6Asym",
        2,
        20,
    ),
}
needs_atlases = pytest.mark.skipif(
    not ATLASES.is_dir(), reason="no ../shared/data/atlases beside the repository"
)


@needs_atlases
@pytest.mark.parametrize("name", REAL)
def test_real_atlases_pass_and_mirrored_ones_do_not(name: str, use_home: UseHome) -> None:
    image, template, resolution, n_sided = REAL[name]
    use_home(SHARED / "templateflow")
    table = find_label_table(image)
    assert table is not None
    names = list(read_label_table(table).items())
    assert sum(side_of_name(each) is not None for _, each in names) == n_sided
    volume = read_volume(image, np.float64)
    labels = whole_labels(volume.data)
    places = label_centroids_mm(labels, volume.affine)
    assert set(places.values) == {index for index, _ in names}
    assert swapped_sides(names, places) == ()
    mirrored = label_centroids_mm(labels[::-1], volume.affine)
    assert len(swapped_sides(names, mirrored)) == n_sided
    mask = load_mask(OutputSpace(template, resolution))
    assert share_inside(labels, volume.affine, mask.data, mask.affine) > 0.98


@needs_atlases
def test_a_real_atlas_from_files_and_its_mirror_image(tmp_path: Path, use_home: UseHome) -> None:
    image, template, resolution, _ = REAL["JHU"]
    use_home(SHARED / "templateflow")
    space = OutputSpace(template, resolution)
    atlas = load_atlas_spec(parse_atlas(f"JHU={image}"), space)
    assert len(atlas.labels) == 48
    assert atlas.volume.data.shape == (91, 109, 91)
    volume = read_volume(image, np.float64)
    labels = volume.data[::-1].astype(np.int16)
    table = str(find_label_table(image))
    write_nifti(tmp_path / "mirror.nii.gz", labels, volume.affine)
    spec = parse_atlas(f"JHU={tmp_path / 'mirror.nii.gz'},{table}")
    refused(spec, "42 names of atlas JHU are on the wrong side", space)
