"""Which images are one scan, and which of several is used."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asking import refused, sessions

from bids_xai.bids.sessions.selection import first_choice
from bids_xai.errors import BadDataError


@pytest.mark.parametrize(
    ("entity", "labels"),
    [
        ("task", ("nodding", "still")),
        ("chunk", ("1", "2")),
        ("dir", ("AP", "PA")),
        ("mt", ("off", "on")),
        ("flip", ("1", "2")),
        ("inv", ("1", "2")),
    ],
)
def test_echoes_of_scans_that_differ_in_any_entity_are_not_one_decay(
    raw: Any, entity: str, labels: tuple[str, str]
) -> None:
    """Each label is a series of its own, and its products keep it in their names."""
    for offset, label in enumerate(labels):
        times = tuple(0.01 * number + 0.001 * offset for number in (1, 2, 3))
        start = raw.session("01", echo_times_s=())
        for number, time in enumerate(times, start=1):
            names = {entity: label, "echo": str(number)}
            order = ("task", "dir", "echo", "flip", "inv", "mt", "chunk")
            middle = "".join(f"_{key}-{names[key]}" for key in order if key in names)
            raw.image(f"{start}{middle}_MEGRE.nii.gz", {"EchoTime": time})
    series = sessions(raw)[0].megre
    assert [one.entities for one in series] == [{"sub": "01", entity: label} for label in labels]
    assert [one.echo_times_s for one in series] == [(0.01, 0.02, 0.03), (0.011, 0.021, 0.031)]


def test_an_entity_that_bids_does_not_know_is_refused(raw: Any) -> None:
    raw.session("01", middle="_foo-1")
    refused(raw, BadDataError, "BIDS knows no foo- in names of raw images")


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (("_echo-1", "_echo-2", ""), ""),
        (("_inv-1", "_inv-2", "_acq-x"), "_acq-x"),
        (("_part-phase", "_part-mag"), "_part-mag"),
        (("_ce-gd", "_run-2", "_run-10"), "_run-2"),
        (("_inv-2_run-2", "_inv-2_run-1"), "_inv-2_run-1"),
        (("_task-nodding", "_task-still"), "_task-nodding"),
    ],
)
def test_the_t1w_image_that_is_used(raw: Any, names: tuple[str, ...], taken: str) -> None:
    raw.session("01", t1w=False)
    for name in names:
        ordered = "_run-2_inv-2" if name == "_inv-2_run-2" else name
        ordered = "_run-1_inv-2" if name == "_inv-2_run-1" else ordered
        raw.image(f"sub-01/anat/sub-01{ordered}_T1w.nii.gz")
    expected = {"_inv-2_run-1": "_run-1_inv-2"}.get(taken, taken)
    t1w = sessions(raw)[0].t1w
    assert t1w.file.name == f"sub-01{expected}_T1w.nii.gz"
    assert "part" not in t1w.entities


@pytest.mark.parametrize("entity", ["echo", "inv", "flip"])
def test_t1w_images_that_differ_in_contrast_are_refused_and_the_advice_works(
    raw: Any, entity: str
) -> None:
    raw.session("01", t1w=False)
    for label in ("1", "2"):
        raw.image(f"sub-01/anat/sub-01_{entity}-{label}_T1w.nii.gz")
    error = refused(raw, BadDataError, f"2 T1w images differ in {entity}")
    assert error.fix is not None
    advice = json.loads(error.fix[error.fix.index("{") :])
    t1w = sessions(raw, **advice)[0].t1w
    assert t1w.file.name == f"sub-01_{entity}-2_T1w.nii.gz"


def test_the_first_of_none_is_none() -> None:
    assert first_choice([]) is None
