"""From a BIDS dataset to records. The only module that asks pybids."""

from __future__ import annotations

import itertools
import json
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from bids_xai.bids.images import read_header
from bids_xai.bids.records import EchoSeries, Session
from bids_xai.errors import (
    BadDataError,
    InvalidBidsError,
    NoInputError,
    NothingMatchedError,
    UserError,
)

_IMAGE = (".nii.gz", ".nii")
_SERIES_ENTITIES = {
    "subject": "sub",
    "session": "ses",
    "acquisition": "acq",
    "ceagent": "ce",
    "reconstruction": "rec",
    "run": "run",
}
_LONGEST_PLAUSIBLE_ECHO_S = 1.0


def check_dataset(root: Path, skip_validation: bool = False) -> dict[str, Any]:
    """Return the dataset description, an empty one where validation is skipped.

    Raises :class:`NoInputError` where the folder is missing and :class:`InvalidBidsError` where
    it is no BIDS dataset.
    """
    if not root.is_dir():
        raise NoInputError("no such BIDS folder", file=root, fix="check the first argument")
    if skip_validation:
        return {}
    path = root / "dataset_description.json"
    if not path.is_file():
        raise InvalidBidsError(
            "not a BIDS dataset: dataset_description.json is missing",
            file=root,
            fix='add it with at least {"Name": "…", "BIDSVersion": "1.11.0"}',
        )
    description = read_json(path, InvalidBidsError)
    if "BIDSVersion" not in description:
        raise InvalidBidsError("BIDSVersion is missing", file=path, fix="add the key BIDSVersion")
    return description


def read_json(path: Path, error_class: type[UserError] = BadDataError) -> dict[str, Any]:
    """Read a JSON object; anything else is one error of the given class naming the file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise error_class(
            f"cannot read the JSON file ({error})", file=path, fix="correct it"
        ) from error
    if not isinstance(content, dict):
        raise error_class("the JSON file is not an object", file=path, fix="correct it")
    return content


def open_layout(root: Path) -> Any:
    """Index the raw dataset (derivatives, source data and hidden folders left out)."""
    from bids import BIDSLayout, BIDSLayoutIndexer

    ignore = [re.compile(r"/\."), *_folders_of_no_participant(root)]
    indexer = BIDSLayoutIndexer(validate=False, ignore=ignore, index_metadata=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pybids announces its own future changes
        try:
            return BIDSLayout(root, validate=False, derivatives=False, indexer=indexer)
        except (OSError, ValueError, TypeError) as error:
            raise InvalidBidsError(
                f"the dataset cannot be indexed: {error}",
                file=_broken_sidecar(root) or root,
                fix="correct the file named",
            ) from error


def _folders_of_no_participant(root: Path) -> list[re.Pattern[str]]:
    """Everything beside ``sub-*`` is left out: derivatives, outputs inside the dataset."""
    others = [p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("sub-")]
    return [re.compile(rf"^/?{re.escape(name)}(/|$)") for name in sorted(others)]


def _broken_sidecar(root: Path) -> Path | None:
    """Return the first sidecar that is not a JSON object."""
    for path in sorted([*root.glob("*.json"), *root.glob("sub-*/**/*.json")]):
        try:
            read_json(path)
        except BadDataError:
            return path
    return None


def select_participants(layout: Any, wanted: Iterable[str]) -> list[str]:
    """Return the labels to work on, sorted; all of the dataset where none are named.

    Raises :class:`NothingMatchedError` naming the labels that do not exist.
    """
    present = sorted(layout.get_subjects())
    wanted = [label.removeprefix("sub-") for label in wanted]
    missing = sorted(set(wanted) - set(present))
    if missing:
        raise NothingMatchedError(
            f"no such participant: {', '.join(missing)}",
            file=layout.root,
            fix=f"choose from {', '.join(present[:8])}{' …' if len(present) > 8 else ''}",
        )
    if not present:
        raise NothingMatchedError(
            "the dataset has no sub-* folder with images",
            file=layout.root,
            fix="check the first argument",
        )
    return sorted(set(wanted)) if wanted else present


def collect_sessions(
    layout: Any, participant: str, sessions: tuple[str, ...], filters: dict[str, Any]
) -> list[Session]:
    """Return the sessions of one participant.

    filters : the content of ``--bids-filter-file``: pybids entities under ``megre`` and ``t1w``.
    Raises a :class:`UserError` naming the file for anything that cannot be worked with.
    """
    series = _images(layout, participant, "MEGRE", filters.get("megre", {}))
    t1w = _images(layout, participant, "T1w", filters.get("t1w", {}))
    wanted = {label.removeprefix("ses-") for label in sessions}
    labels = sorted({_entity(f, "session") for f in series if _entity(f, "session") or not wanted})
    if wanted:
        labels = [label for label in labels if label in wanted]
    if not labels:
        raise NothingMatchedError(
            f"sub-{participant} has no multi-echo GRE (…_echo-<n>_MEGRE.nii.gz)"
            + (f" in session {', '.join(sorted(wanted))}" if wanted else ""),
            file=Path(layout.root) / f"sub-{participant}",
            fix="check the file names, --session-label and --bids-filter-file",
        )
    return [_session(layout, participant, label, series, t1w) for label in labels]


def _images(layout: Any, participant: str, suffix: str, filters: dict[str, Any]) -> list[Any]:
    query = {"subject": participant, "suffix": suffix, "extension": list(_IMAGE), **filters}
    try:
        files = layout.get(**query)
    except (ValueError, TypeError) as error:
        raise BadDataError(
            f"--bids-filter-file cannot be used: {error}",
            fix='give pybids entities, for example {"t1w": {"acquisition": "mprage"}}',
        ) from error
    return sorted(files, key=lambda file: str(file.path))


def _entity(file: Any, name: str) -> str:
    value = file.entities.get(name)
    return "" if value is None else str(value)


def _session(
    layout: Any, participant: str, label: str, series: list[Any], t1w: list[Any]
) -> Session:
    mine = [f for f in series if _entity(f, "session") == label]
    anatomy = [f for f in t1w if _entity(f, "session") == label]
    if not anatomy:
        where = f"sub-{participant}" + (f"/ses-{label}" if label else "")
        raise BadDataError(
            "no T1w image to register the multi-echo GRE to",
            file=Path(layout.root) / where / "anat",
            fix="add a T1w image of the same session",
        )
    chosen = min(anatomy, key=lambda f: (len(_entity(f, "run")), _entity(f, "run"), str(f.path)))
    groups: dict[tuple[str, ...], list[Any]] = {}
    for file in mine:
        key = tuple(_entity(file, name) for name in _SERIES_ENTITIES)
        groups.setdefault(key, []).append(file)
    found = tuple(_echo_series(files) for _, files in sorted(groups.items()))
    sidecars = {Path(s) for f in [*mine, chosen] for s in _sidecars(f)}
    return Session(
        participant,
        label or None,
        Path(chosen.path),
        _source_entities(chosen),
        found,
        tuple(sorted(sidecars)),
    )


def _source_entities(file: Any) -> dict[str, str]:
    """Entities as written in the name (pybids would drop leading zeros of run)."""
    pairs = {short: _entity(file, name) for name, short in _SERIES_ENTITIES.items()}
    return {short: value for short, value in pairs.items() if value}


def _sidecars(file: Any) -> list[str]:
    return [str(a.path) for a in file.get_associations(kind="Metadata", include_parents=True)]


def _echo_series(files: list[Any]) -> EchoSeries:
    magnitude = [f for f in files if _entity(f, "part") in ("", "mag")]
    if not magnitude:
        raise BadDataError(
            "the multi-echo GRE has no magnitude images",
            file=files[0].path,
            fix="add the part-mag images; R2* is fitted to magnitudes",
        )
    timed = sorted((_echo_time_s(f), str(f.path)) for f in magnitude)
    if len(timed) < 2:
        raise BadDataError(
            "R2* needs at least two echoes, found one",
            file=timed[0][1],
            fix="add the other echoes as …_echo-<n>_MEGRE.nii.gz",
        )
    for (early, first), (late, second) in itertools.pairwise(timed):
        if early == late:
            raise BadDataError(
                f"two echoes have the same EchoTime {early:g} s ({Path(first).name})",
                file=second,
                fix="correct EchoTime in the sidecars, or tell the runs apart by run-<n>",
            )
    paths = tuple(Path(path) for _, path in timed)
    _check_same_grid(paths)
    field = magnitude[0].get_metadata().get("MagneticFieldStrength")
    return EchoSeries(
        _source_entities(magnitude[0]),
        paths,
        tuple(time for time, _ in timed),
        float(field) if isinstance(field, (int, float)) else None,
    )


def _echo_time_s(file: Any) -> float:
    value = file.get_metadata().get("EchoTime")
    if value is None:
        raise BadDataError(
            "EchoTime is missing",
            file=file.path,
            fix="add EchoTime in seconds to the JSON sidecar beside the image or above it",
        )
    try:
        seconds = float(value)
    except (TypeError, ValueError) as error:
        raise BadDataError(
            f"EchoTime is not a number: {value!r}", file=file.path, fix="write it in seconds"
        ) from error
    if seconds > _LONGEST_PLAUSIBLE_ECHO_S:
        raise BadDataError(
            f"EchoTime {seconds:g} is in milliseconds",
            file=file.path,
            fix=f"write it in seconds, as BIDS asks: {seconds / 1000:g}",
        )
    if not seconds > 0:
        raise BadDataError(
            f"EchoTime {seconds:g} is not positive", file=file.path, fix="write it in seconds"
        )
    return seconds


def _check_same_grid(paths: tuple[Path, ...]) -> None:
    shape, affine = read_header(paths[0])
    if len(shape) != 3:
        raise BadDataError(
            f"an echo has shape {shape}, not three dimensions",
            file=paths[0],
            fix="split the series into one 3-D file an echo, named echo-<n>, as BIDS asks",
        )
    for path in paths[1:]:
        other_shape, other_affine = read_header(path)
        if other_shape != shape:
            raise BadDataError(
                f"echoes have different shapes: {shape} ({paths[0].name}) and {other_shape}",
                file=path,
                fix="convert the series again; all echoes must share one grid",
            )
        if not np.allclose(other_affine, affine, atol=1e-3):
            raise BadDataError(
                f"echoes lie on different grids (affine differs from {paths[0].name})",
                file=path,
                fix="convert the series again; all echoes must share one grid",
            )


def read_filters(path: Path | None) -> dict[str, Any]:
    """Read ``--bids-filter-file``: ``{"megre": {...}, "t1w": {...}}`` of pybids entities."""
    if path is None:
        return {}
    if not path.is_file():
        raise NoInputError("no such filter file", file=path, fix="check --bids-filter-file")
    content = read_json(path)
    if not all(isinstance(value, dict) for value in content.values()):
        raise BadDataError(
            "each filter must be an object", file=path, fix='write {"t1w": {"run": 1}}'
        )
    unknown = set(content) - {"megre", "t1w"}
    if unknown:
        raise BadDataError(
            f"unknown key {', '.join(sorted(unknown))}", file=path, fix='use "megre" and "t1w"'
        )
    return content
