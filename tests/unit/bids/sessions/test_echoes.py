"""Multi-echo GRE: echo times, grids, parts, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from asking import refused, sessions

from bids_xai.errors import BadDataError, InvalidBidsError, NoInputError


def test_echoes_are_sorted_by_time_not_by_name(raw: Any) -> None:
    times = (0.02, 0.011, 0.01, 0.035, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.005)
    for number, time in enumerate(times, start=1):
        raw.image(f"sub-01/anat/sub-01_echo-{number:02d}_MEGRE.nii.gz", {"EchoTime": time})
    raw.image("sub-01/anat/sub-01_T1w.nii.gz")
    (series,) = sessions(raw)[0].megre
    assert series.echo_times_s == tuple(sorted(times))
    numbers = [int(f.name.split("echo-")[1][:2]) for f in series.files]
    assert [times[n - 1] for n in numbers] == sorted(times)
    assert "echo" not in series.entities


def test_echo_times_may_be_inherited_and_may_be_text(raw: Any) -> None:
    """One JSON at the root for the field, one an echo above, text instead of a number."""
    raw.session("01", "1", echo_times_s=(None, None))
    for sidecar in raw.root.rglob("*_MEGRE.json"):
        sidecar.unlink()
    raw.json("MEGRE.json", {"MagneticFieldStrength": 3, "EchoTime": 0.5})
    raw.json("echo-1_MEGRE.json", {"EchoTime": "0.00492"})
    raw.json("sub-01/sub-01_echo-2_MEGRE.json", {"EchoTime": 0.00984})
    (series,) = sessions(raw)[0].megre
    assert series.echo_times_s == (0.00492, 0.00984)
    assert series.field_strength_t == 3.0


def test_phase_images_are_left_out(raw: Any) -> None:
    for number in (1, 2, 3):
        for part in ("mag", "phase", "real"):
            raw.image(
                f"sub-01/anat/sub-01_run-1_echo-{number}_part-{part}_MEGRE.nii.gz",
                {"EchoTime": 0.004 * number},
            )
    raw.image("sub-01/anat/sub-01_T1w.nii.gz")
    (series,) = sessions(raw)[0].megre
    assert all("part-mag" in f.name for f in series.files)
    assert len(series.files) == 3
    assert series.entities == {"sub": "01", "run": "1"}


def test_only_phase_is_refused(raw: Any) -> None:
    for number in (1, 2):
        raw.image(
            f"sub-01/anat/sub-01_echo-{number}_part-phase_MEGRE.nii.gz", {"EchoTime": 0.01 * number}
        )
    raw.image("sub-01/anat/sub-01_T1w.nii.gz")
    refused(raw, BadDataError, r"no magnitude images.*part-phase_MEGRE\.nii\.gz.*part-mag")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "EchoTime is missing.*beside the image or above it"),
        (4.92, r"EchoTime 4\.92 is in milliseconds.*in seconds, as BIDS requires: 0\.00492"),
        ("9.84", "milliseconds.*0.00984"),
        ("soon", "EchoTime is not a number: 'soon'"),
        ([0.01], r"EchoTime is not a number: \[0\.01\]"),
        (0, "EchoTime 0 is not positive"),
        (-0.01, "EchoTime -0.01 is not positive"),
        (0.01, "two echoes have the same EchoTime 0.01"),
    ],
)
def test_echo_times_that_cannot_be_are_refused(raw: Any, value: Any, text: str) -> None:
    raw.session("01", echo_times_s=(0.01, value))
    error = refused(raw, BadDataError, text)
    assert error.status == 65
    ending = "nii.gz" if value in (None, 0.01) else "json"  # who says it, where somebody does
    assert error.file == str(raw.root / f"sub-01/anat/sub-01_echo-2_MEGRE.{ending}")


@pytest.mark.parametrize(
    ("times", "text"),
    [
        (
            (4.92, 9.84, 14.8),
            r"EchoTime 4\.92 is in milliseconds, here and in 2 more of the series"
            r".*echo-1_MEGRE\.json.*0\.00492; divide it by 1000 in the sidecars of all 3",
        ),
        ((None, None), r"EchoTime is missing, here and in 1 more of the series.*echo-1_MEGRE"),
        ((0.004, 9.84, 14.8), r"EchoTime 9\.84 .*here and in 1 more.*echo-2_MEGRE.*all 2"),
    ],
)
def test_the_same_fault_of_several_echoes_is_told_at_once(
    raw: Any, times: tuple[float | None, ...], text: str
) -> None:
    raw.session("01", echo_times_s=times)
    refused(raw, BadDataError, text)


def test_an_inherited_echo_time_is_told_of_the_image(raw: Any) -> None:
    raw.session("01", echo_times_s=(0.01, None))
    (raw.root / "echo-2_MEGRE.json").write_text('{"EchoTime": 20}')
    error = refused(raw, BadDataError, "EchoTime 20 is in milliseconds")
    assert error.file == str(raw.root / "sub-01/anat/sub-01_echo-2_MEGRE.nii.gz")


def test_one_echo_is_refused(raw: Any) -> None:
    raw.session("01", echo_times_s=(0.01,))
    refused(raw, BadDataError, r"at least two echoes, found one.*sub-01_echo-1_MEGRE\.nii\.gz")


def test_echoes_of_different_shapes_are_refused(raw: Any) -> None:
    raw.session("01")
    raw.image("sub-01/anat/sub-01_echo-2_MEGRE.nii.gz", {"EchoTime": 0.02}, shape=(4, 6, 5))
    text = r"different shapes: \(4, 5, 6\).*\(4, 6, 5\).*sub-01_echo-2_MEGRE\.nii\.gz"
    refused(raw, BadDataError, text)


def test_echoes_on_different_grids_are_refused(raw: Any) -> None:
    raw.session("01")
    moved = np.eye(4)
    moved[2, 3] = 0.5
    raw.image("sub-01/anat/sub-01_echo-2_MEGRE.nii.gz", {"EchoTime": 0.02}, affine=moved)
    refused(raw, BadDataError, r"different grids.*sub-01_echo-2_MEGRE\.nii\.gz")


def test_a_damaged_echo_is_refused(raw: Any) -> None:
    raw.session("01")
    (raw.root / "sub-01/anat/sub-01_echo-2_MEGRE.nii.gz").write_bytes(b"")
    refused(raw, BadDataError, r"the image is empty: 0 bytes.*sub-01_echo-2_MEGRE\.nii\.gz")


def test_real_and_imaginary_parts_are_refused_with_the_way_to_magnitudes(raw: Any) -> None:
    for part in ("real", "imag"):
        for echo in (1, 2):
            raw.image(
                f"sub-01/anat/sub-01_echo-{echo}_part-{part}_MEGRE.nii.gz", {"EchoTime": echo / 100}
            )
    error = refused(raw, BadDataError, "no magnitude images, only part-imag, part-real")
    assert "sqrt(real² + imag²)" in error.fix


def test_all_echoes_in_one_file_are_refused(raw: Any) -> None:
    raw.image("sub-01/anat/sub-01_T1w.nii.gz")
    raw.image("sub-01/anat/sub-01_MEGRE.nii.gz", {"EchoTime": 0.01}, shape=(4, 5, 6, 3))
    error = refused(raw, BadDataError, "all 3 echoes are in one 4-D file, which is not BIDS")
    assert "echo-<n>" in error.fix


def test_a_fourth_axis_of_one_volume_does_not_count(raw: Any) -> None:
    raw.session("01")
    raw.image("sub-01/anat/sub-01_echo-1_MEGRE.nii.gz", {"EchoTime": 0.01}, shape=(4, 5, 6, 1))
    (only,) = sessions(raw)
    assert len(only.megre[0].files) == 2


@pytest.mark.parametrize(
    ("sidecar", "text"),
    [
        ({"ImageType": ["DERIVED", "PRIMARY", "P", "PHASE"]}, "ImageType says phase"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "R", "FFE"]}, "ImageType says real"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "IMAGINARY"]}, "ImageType says imaginary"),
        ({"Units": "rad"}, "Units says phase"),
    ],
)
def test_phase_real_and_imaginary_without_part_are_refused(
    raw: Any, sidecar: dict[str, Any], text: str
) -> None:
    raw.session("01")
    for number in (1, 2):
        name = f"sub-01/anat/sub-01_rec-x_echo-{number}_MEGRE.nii.gz"
        raw.image(name, {"EchoTime": 0.01 * number, **sidecar})
    refused(raw, BadDataError, rf"no magnitude: {text}.*rec-x_echo-1_MEGRE.*part-")
    assert len(sessions(raw, megre={"reconstruction": None})[0].megre) == 1


def test_magnitudes_say_so_in_many_words(raw: Any) -> None:
    for number in (1, 2):
        kind = {"ImageType": ["ORIGINAL", "PRIMARY", "M", "R", "ND"], "Units": "arbitrary"}
        name = f"sub-01/anat/sub-01_echo-{number}_MEGRE.nii.gz"
        raw.image(name, {"EchoTime": 0.01 * number, **kind})
    raw.image("sub-01/anat/sub-01_T1w.nii.gz", {"ImageType": ["P"]})
    refused(raw, BadDataError, "no magnitude.*T1w")
    raw.json("sub-01/anat/sub-01_T1w.json", {"ImageType": "no list"})
    assert len(sessions(raw)[0].megre[0].files) == 2


@pytest.mark.parametrize("ending", ["nii.gz", "json"])
def test_a_link_to_nothing_is_to_be_fetched(raw: Any, ending: str) -> None:
    raw.session("01")
    file = raw.root / f"sub-01/anat/sub-01_echo-2_MEGRE.{ending}"
    file.unlink()
    file.symlink_to(raw.root / ".git/annex/objects/x")
    kind = NoInputError if ending == "nii.gz" else InvalidBidsError
    refused(raw, kind, rf"link to content.*echo-2_MEGRE\.{ending}.*datalad get sub-01")
