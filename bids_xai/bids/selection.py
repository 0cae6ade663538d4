"""Which raw images belong together, and which of several is used."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bids_xai.bids.names import RAW_ENTITIES, parse_name
from bids_xai.errors import BadDataError

_WITHIN_A_SCAN = ("echo", "part")
_OF_CONTRAST = ("echo", "flip", "inv", "mt")


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
