"""Maps and masks that were made elsewhere: ``--derivatives NAME=PATH``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bids_xai.bids.dataset import bids_uri
from bids_xai.bids.layout import read_json
from bids_xai.bids.names import RAW_ENTITIES, parse_name
from bids_xai.bids.records import PrecomputedMap, SourceImage
from bids_xai.errors import BadDataError, NoInputError

_SCAN_ENTITIES = tuple(name for name in RAW_ENTITIES if name not in ("sub", "ses"))
_TAKEN_OVER = ("sub", "ses", *_SCAN_ENTITIES)
_UNITS = {
    "R1map": "1/s",
    "R2map": "1/s",
    "R2starmap": "1/s",
    "T1map": "s",
    "T2map": "s",
    "T2starmap": "s",
    "Chimap": "ppm",
    "MTVmap": "percent",
    "MTRmap": "percent",
}
_MASKS = {
    "brain": ({"desc": "brain"}, {"label": "brain"}),
    "lesion": ({"label": "lesion"}, {"desc": "lesion"}, {"label": "WMH"}),
}


@dataclass(frozen=True)
class DerivativeFolder:
    """A derivative dataset: the name that URIs use, and its folder."""

    name: str
    root: Path


def open_derivatives(items: Sequence[tuple[str, Path]]) -> list[DerivativeFolder]:
    """Return the folders of ``-d NAME=PATH``; :class:`NoInputError` where one is missing."""
    for name, root in items:
        if not root.is_dir():
            raise NoInputError("no such folder", file=root, fix=f"check --derivatives {name}=…")
    return [DerivativeFolder(name, root) for name, root in items]


def find_map(
    folders: Sequence[DerivativeFolder], participant: str, session: str, suffix: str
) -> PrecomputedMap | None:
    """Return the session's map of this suffix that lies in scanner or T1w space.

    Raises :class:`BadDataError` where several fit.
    """
    fitting = [
        (folder, file)
        for folder, file in _images(folders, participant, session, suffix)
        if parse_name(file.name)[0].get("space", "T1w") in ("T1w", "scanner", "orig")
    ]
    image = _only(fitting, f"{suffix} of sub-{participant}")
    if image is None:
        return None
    sidecar = sidecar_of(image.file)
    units = str(read_json(sidecar).get("Units", "")) if sidecar.is_file() else ""
    return PrecomputedMap(image, suffix, units or _UNITS.get(suffix, "arbitrary"))


def sidecar_of(image: Path) -> Path:
    """Return where the JSON beside an image lies, if there is one."""
    return image.with_name(image.name.partition(".")[0] + ".json")


def find_mask(
    folders: Sequence[DerivativeFolder],
    participant: str,
    session: str,
    kind: str,
    *,
    of: Mapping[str, str] | None = None,
    only_session: bool = False,
) -> SourceImage | None:
    """Return the session's ``brain`` or ``lesion`` mask in T1w space, where there is one.

    of : entities of the T1w image that is used; of several masks, those with the same acquisition,
        reconstruction and run are taken
    only_session : the participant has no other session, so a mask in ``sub-X/anat`` (as some
        pipelines write it) is one of this session. With several, such a mask lies in the space of
        their average
    Raises :class:`BadDataError` where several fit.
    """
    fitting = _masks(folders, participant, session, kind)
    if not fitting and session and only_session:
        fitting = _masks(folders, participant, "", kind)
    if len(fitting) > 1 and of is not None:
        fitting = [candidate for candidate in fitting if _same_scan(candidate[1], of)] or fitting
    return _only(fitting, f"{kind} mask of sub-{participant}")


def _masks(
    folders: Sequence[DerivativeFolder], participant: str, session: str, kind: str
) -> list[tuple[DerivativeFolder, Path]]:
    fitting = []
    for folder, file in _images(folders, participant, session, "mask"):
        entities = parse_name(file.name)[0]
        in_t1w = entities.get("space", "T1w") in ("T1w", "orig")
        if in_t1w and any(required.items() <= entities.items() for required in _MASKS[kind]):
            fitting.append((folder, file))
    return fitting


def _same_scan(file: Path, of: Mapping[str, str]) -> bool:
    """Whether acquisition, reconstruction and run (however padded) are those of ``of``."""
    entities = parse_name(file.name)[0]
    return all(
        entities.get(key, "").lstrip("0") == of.get(key, "").lstrip("0") for key in _SCAN_ENTITIES
    )


def _images(
    folders: Sequence[DerivativeFolder], participant: str, session: str, suffix: str
) -> Iterator[tuple[DerivativeFolder, Path]]:
    for folder in folders:
        participant_folder = folder.root / f"sub-{participant}"
        if session:
            participant_folder /= f"ses-{session}"
        for file in sorted(participant_folder.glob(f"anat/*_{suffix}.nii*")):
            yield folder, file


def _only(fitting: Sequence[tuple[DerivativeFolder, Path]], what: str) -> SourceImage | None:
    if not fitting:
        return None
    if len(fitting) > 1:
        names = ", ".join(file.name for _, file in fitting)
        raise BadDataError(
            f"{len(fitting)} files could be the {what}: {names}",
            file=fitting[0][1],
            fix="leave one of them in the folder given to --derivatives",
        )
    folder, file = fitting[0]
    entities = parse_name(file.name)[0]
    entities_of_source = {key: entities[key] for key in _TAKEN_OVER if key in entities}
    return SourceImage(file, bids_uri(file, folder.root, folder.name), entities_of_source)
