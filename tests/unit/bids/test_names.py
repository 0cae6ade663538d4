"""Names of outputs: the order of BIDS, there and back."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from bids_xai.bids.names import ENTITY_ORDER, anat_path, file_name, label_of, parse_name


@pytest.mark.parametrize(
    ("entities", "suffix", "extension", "expected"),
    [
        ({"run": "02", "ses": "1", "sub": "01"}, "T1w", ".json", "sub-01_ses-1_run-02_T1w.json"),
        (
            {"desc": "brain", "res": "2", "space": "MNI", "sub": "01", "acq": "a"},
            "mask",
            ".nii.gz",
            "sub-01_acq-a_space-MNI_res-2_desc-brain_mask.nii.gz",
        ),
        (
            {"mode": "image", "to": "T1w", "from": "MEGRE", "sub": "01", "run": "1"},
            "xfm",
            ".txt",
            "sub-01_run-1_from-MEGRE_to-T1w_mode-image_xfm.txt",
        ),
        (
            {
                "desc": "lrpzplus",
                "label": "AD",
                "model": "m",
                "atlas": "A",
                "space": "S",
                "sub": "x",
            },
            "regions",
            ".tsv",
            "sub-x_space-S_atlas-A_model-m_label-AD_desc-lrpzplus_regions.tsv",
        ),
        ({"sub": "01", "ses": "", "run": "0"}, "T1w", ".nii", "sub-01_run-0_T1w.nii"),
    ],
)
def test_entities_stand_in_the_order_of_bids(
    entities: dict[str, str], suffix: str, extension: str, expected: str
) -> None:
    assert file_name(entities, suffix, extension) == expected
    back, found_suffix, found_extension = parse_name(expected)
    assert back == {key: value for key, value in entities.items() if value}
    assert (found_suffix, found_extension) == (suffix, extension)


def test_the_end_of_the_order_is_the_one_of_the_validator() -> None:
    places = [
        ENTITY_ORDER.index(e) for e in ("sub", "ses", "space", "atlas", "seg", "res", "label")
    ]
    assert places == sorted(places)
    assert ENTITY_ORDER[-1] == "desc"
    assert len(set(ENTITY_ORDER)) == len(ENTITY_ORDER)


def test_an_unknown_entity_is_a_bug() -> None:
    with pytest.raises(KeyError, match="colour"):
        file_name({"sub": "01", "colour": "red"}, "T1w", ".nii")


def test_the_folder_follows_subject_and_session() -> None:
    assert anat_path({"sub": "01"}, "T1w", ".nii.gz") == PurePosixPath(
        "sub-01/anat/sub-01_T1w.nii.gz"
    )
    assert anat_path({"sub": "01", "ses": "2"}, "T1w", ".nii.gz") == PurePosixPath(
        "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz"
    )


def test_names_without_entities_and_with_hyphens_in_values() -> None:
    assert parse_name("MEGRE.json") == ({}, "MEGRE", ".json")
    assert parse_name("sub-01_T1w") == ({"sub": "01"}, "T1w", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("lrp-zplus", "lrpzplus"), ("MNI:res-2", "MNIres2"), ("sub-01_ses-1", "sub01ses1"), ("", "")],
)
def test_labels_are_letters_and_digits(text: str, expected: str) -> None:
    assert label_of(text) == expected


@pytest.mark.parametrize("text", ["Größe", "T²", "病"])
def test_labels_are_ascii(text: str) -> None:
    assert label_of(text).isascii()
