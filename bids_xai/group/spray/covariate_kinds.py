"""What the name of a covariate says of it: technical, or a trait of the person; number or name."""

from __future__ import annotations

import re

from bids_xai.core.spray.audit_words import PERSONAL, SUSPECT

_TECHNICAL = {
    "site",
    "center",
    "centre",
    "scanner",
    "manufacturer",
    "manufacturers",
    "vendor",
    "coil",
    "station",
    "software",
    "field",
    "protocol",
    "device",
    "serial",
    "batch",
    "date",
    "institution",
    "voxel",
    "resolution",
    "sequence",
    "snr",
    "motion",
    "run",
    "acq",
    "acquisition",
    "model",
    "magnet",
    "tesla",
    "tr",
    "te",
    "bandwidth",
    "channel",
    "channels",
    "slice",
    "slices",
    "dataset",
    "cohort",
    "study",
    "hospital",
    "clinic",
    "location",
    "machine",
    "mri",
    "mr",
}
_BEGIN, _END = ("site", "scanner", "hospital", "vendor"), ("scanner", "fieldstrength")
_OF_A_PERSON_STILL = {"birth", "visual"}  # birth date, visual field
_NAMES = {"site", "center", "centre", "scanner", "serial", "device", "station", "batch", "id"}
_QUALITY_OF_THE_PERSON = {
    *("BrainMedian", "BrainMedianR2star", "LesionVolumeMl", "LesionVoxelsFilled")
}


def column_kind(name: str) -> str:
    """Return ``SUSPECT`` for the name of a technical column, else ``PERSONAL``."""
    words = _words(name)
    if words & _OF_A_PERSON_STILL:
        return PERSONAL
    joined = any(word.startswith(_BEGIN) or word.endswith(_END) for word in words)
    return SUSPECT if joined or _TECHNICAL & words else PERSONAL


def quality_kind(metric: str) -> str:
    """Return ``PERSONAL`` for a quality figure that says something of the brain itself."""
    return PERSONAL if metric in _QUALITY_OF_THE_PERSON else SUSPECT


def numbers_are_names(name: str) -> bool:
    """Tell whether the numbers of a column name groups, such as those of sites."""
    return bool(_words(name) & _NAMES)


def spaced(name: str) -> str:
    """``MagneticFieldStrength`` → magnetic field strength."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def _words(name: str) -> set[str]:
    """``MRScanner_id`` → mr, scanner, id."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return set(re.findall(r"[a-z]+", parted.lower()))
