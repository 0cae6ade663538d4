"""What the name of a covariate says of it."""

from __future__ import annotations

import pytest

from bids_xai.core.spray.audit import PERSONAL, SUSPECT
from bids_xai.group.spray.covariate_kinds import (
    column_kind,
    numbers_are_names,
    quality_kind,
    spaced,
)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("site", SUSPECT),
        ("MRScanner_id", SUSPECT),
        ("sitecode", SUSPECT),
        ("magneticFieldStrength", SUSPECT),
        ("acq_date", SUSPECT),
        ("birth_date", PERSONAL),
        ("visualField", PERSONAL),
        ("age", PERSONAL),
        ("website_visits", PERSONAL),
        ("education", PERSONAL),
    ],
)
def test_technical_columns_are_told_from_traits(name: str, kind: str) -> None:
    assert column_kind(name) == kind


def test_figures_of_the_brain_are_traits_and_all_others_technical() -> None:
    assert quality_kind("LesionVolumeMl") == PERSONAL
    assert quality_kind("BrainVolumeMl") == SUSPECT


def test_numbers_of_sites_are_names() -> None:
    assert numbers_are_names("siteNumber")
    assert numbers_are_names("DeviceSerialNumber")
    assert not numbers_are_names("weight")


def test_words_of_a_sidecar_field() -> None:
    assert spaced("MagneticFieldStrength") == "magnetic field strength"
