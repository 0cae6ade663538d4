"""Which raw images belong together, which of several is used, and which may have been meant."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids_xai.bids.names import RAW_ENTITIES, parse_name
from bids_xai.errors import BadDataError

_WITHIN_A_SCAN = ("echo", "part")
_OF_CONTRAST = ("echo", "flip", "inv", "mt")
_RELATED = {
    "megre": ("MEGRE", "GRE", "T2starw", "MPM", "MEGE", "MGRE", "GRE3D"),
    "T1w": ("T1w", "UNIT1", "MP2RAGE", "MPRAGE", "T1"),
    "FLAIR": ("FLAIR", "T2FLAIR", "FLAIRw"),
}
_ENDINGS = (".nii.gz", ".nii")


def entity(file: Any, name: str) -> str:
    """Value of an entity, by pybids' name for it; empty where the file has none."""
    value = file.entities.get(name)
    return "" if value is None else str(value)


def scan_entities(file: Any) -> dict[str, str]:
    """Entities of the scan as written in the name (pybids would drop leading zeros of run).

    Raises :class:`BadDataError` for one that BIDS does not know of raw images.
    """
    entities, _, _ = parse_name(Path(file.path).name)
    unknown = entities.keys() - {*RAW_ENTITIES, *_WITHIN_A_SCAN}
    if unknown:
        raise BadDataError(
            f"BIDS knows no {', '.join(sorted(unknown))}- in names of raw images",
            file=file.path,
            fix="rename the file; acq-<label> may tell any two acquisitions apart",
        )
    return {name: value for name, value in entities.items() if name not in _WITHIN_A_SCAN}


def first_choice(files: Sequence[Any]) -> Any | None:
    """The image to use of several T1w or FLAIR images of a session, None of none.

    Magnitudes count, and of these the ones without ``echo``, ``flip``, ``inv`` and ``mt``; then
    those without contrast agent come first, then the lowest run, then the first by name.
    Raises :class:`BadDataError` where they differ in one of these four.
    """

    def order(file: Any) -> tuple[Any, ...]:
        run = entity(file, "run")
        return (bool(entity(file, "ceagent")), len(run), run, str(file.path))

    magnitudes = [file for file in files if entity(file, "part") in ("", "mag")]
    plain = [file for file in magnitudes if not any(_contrast(file))]
    candidates = plain or magnitudes or files
    if len({_contrast(file) for file in candidates}) > 1:
        raise _several_contrasts(candidates)
    return min(candidates, key=order, default=None)


def _contrast(file: Any) -> tuple[str, ...]:
    """Values of the entities that change what an image shows."""
    return tuple(entity(file, name) for name in _OF_CONTRAST)


def _several_contrasts(files: Sequence[Any]) -> BadDataError:
    values = {name: sorted({entity(file, name) for file in files}) for name in _OF_CONTRAST}
    differ = {name: labels for name, labels in values.items() if len(labels) > 1}
    suffix = str(files[0].entities["suffix"])
    example = {suffix.lower(): {name: labels[-1] for name, labels in differ.items()}}
    return BadDataError(
        f"{len(files)} {suffix} images differ in {', '.join(differ)}, and with it in contrast: "
        "which of them to use is not clear",
        file=str(files[0].path),
        fix=f"choose by --bids-filter-file, for example {json.dumps(example)}",
    )


@dataclass(frozen=True)
class NearMiss:
    """The first image that may be meant, and what to do to use it."""

    file: str
    fix: str


def near_miss(
    layout: Any, participant: str, inputs: Sequence[str], session: str | None = None
) -> NearMiss | None:
    """Return an image of the participant that may be meant by one of the inputs.

    session : the label of the only session to look at
    """
    files = layout.get(subject=participant, extension=list(_ENDINGS))
    files = [f for f in files if session is None or entity(f, "session") == session]
    for name in inputs:
        for suffix in _RELATED.get(name, ())[1:]:
            meant = sorted(
                (f for f in files if f.entities.get("suffix") == suffix), key=lambda f: str(f.path)
            )
            if meant:
                return _miss(name, suffix, Path(meant[0].path).name)
    for file in sorted(Path(layout.root).glob(f"sub-{participant}/**/*_MEGRE_*.nii*")):
        if "megre" in inputs:  # a tail after the suffix, as some converters leave it
            return NearMiss(
                f"{file.name}, whose name does not end with the suffix",
                "rename the files: …_echo-<n>_MEGRE.nii.gz; no filter takes a name that is no BIDS",
            )
    return None


def _miss(name: str, suffix: str, file: str) -> NearMiss:
    filters = json.dumps({name.lower(): {"suffix": suffix}})
    return NearMiss(file, f"if these are the images, give --bids-filter-file with {filters}")


def as_names_say(layout: Any, participant: str, filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return filters in which a number of ``echo`` is written as in the names of the files.

    pybids compares it as text, so that 1 would not take ``echo-01``.
    """
    values = filters.get("echo") if isinstance(filters, Mapping) else None
    if values is None:
        return dict(filters)
    asked = values if isinstance(values, list) else [values]
    numbers = {str(value).lstrip("0") for value in asked}
    every = {str(echo) for echo in layout.get(subject=participant, target="echo", return_type="id")}
    written = sorted(echo for echo in every if echo.lstrip("0") in numbers)
    return {**filters, "echo": written or asked}
