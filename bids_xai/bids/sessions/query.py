"""From a BIDS dataset to records of what is to be worked on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bids_xai.bids.dataset import bids_uri
from bids_xai.bids.derivatives import DerivativeFolder, find_map, find_mask, sidecar_of
from bids_xai.bids.names import RAW_ENTITIES
from bids_xai.bids.records import PrecomputedMap, Session, SourceImage
from bids_xai.bids.sessions.echoes import echo_series, field_strength_t
from bids_xai.bids.sessions.raw_images import check_magnitude, check_present, with_header_notes
from bids_xai.bids.sessions.selection import (
    as_names_say,
    entity,
    first_choice,
    near_miss,
    scan_entities,
)
from bids_xai.errors import BadDataError, NothingMatchedError, UserError

RAW_INPUTS = ("megre", "T1w", "FLAIR")
OFFER = "no T1w image, but "
"""How a note on an image that may be meant for the T1w image begins."""

_IMAGE = (".nii.gz", ".nii")


def collect_sessions(
    layout: Any,
    participant: str,
    sessions: Iterable[str] = (),
    filters: Mapping[str, Any] | None = None,
    inputs: Sequence[str] = ("megre",),
    derivatives: Sequence[DerivativeFolder] = (),
    brain_masks: bool = False,
    assume_orientation: bool = False,
) -> list[Session]:
    """Return the sessions of one participant that hold at least one of the inputs.

    filters : the content of ``--bids-filter-file``: pybids entities under ``megre``, ``t1w``,
        ``flair``
    inputs : ``megre``, ``T1w``, ``FLAIR``, or the suffix of a map in one of ``derivatives``
    brain_masks : look for brain masks among ``derivatives``
    assume_orientation : accept images whose header does not say how they lie
    Of several T1w (or FLAIR) images of a session magnitudes count, and of these the ones without
    ``echo``, ``flip``, ``inv`` and ``mt``; then those without contrast agent come first, then the
    lowest run, then the first by name; a filter overrules this.
    Raises a :class:`UserError` naming the file for anything that cannot be worked with.
    """
    filters = filters or {}
    images = _RawImages(
        **{
            name: _images(layout, participant, suffix, filters.get(name, {}))
            for name, suffix in (("megre", "MEGRE"), ("t1w", "T1w"), ("flair", "FLAIR"))
        }
    )
    requested = {label.removeprefix("ses-") for label in sessions}
    labels = [label for label in images.sessions if not requested or label in requested]
    records = [
        _session(
            Path(layout.root),
            participant,
            label,
            images.of_session(label),
            inputs,
            derivatives,
            brain_masks,
            only_session=len(images.sessions) == 1,
        )
        for label in labels
    ]
    usable = [session for session in records if session is not None]
    if not usable:
        if requested and not labels:
            raise _no_session(Path(layout.root), participant, requested, images.sessions)
        raise _nothing(layout, participant, inputs, images, derivatives)
    return [
        with_header_notes(_with_offer(layout, session), assume_orientation) for session in usable
    ]


def _with_offer(layout: Any, session: Session) -> Session:
    """The session; where it has no T1w image, with a note on one of another name."""
    near = None
    if session.t1w is None:
        near = near_miss(layout, session.participant, ("T1w",), session.session)
    offer = [f"{OFFER}{near.file}: {near.fix}"] if near else []
    return replace(session, notes=(*session.notes, *offer))


@dataclass(frozen=True)
class _RawImages:
    """Raw images of a participant or a session, as pybids describes them, by path."""

    megre: Sequence[Any]
    t1w: Sequence[Any]
    flair: Sequence[Any]

    @property
    def sessions(self) -> list[str]:
        """The labels of all sessions, sorted; an empty one for images without session."""
        return sorted({entity(f, "session") for f in (*self.megre, *self.t1w, *self.flair)})

    def of_session(self, label: str) -> _RawImages:
        """Return those of one session."""

        def select(files: Sequence[Any]) -> list[Any]:
            return [f for f in files if entity(f, "session") == label]

        return _RawImages(select(self.megre), select(self.t1w), select(self.flair))


def _no_session(
    root: Path, participant: str, requested: set[str], every: Sequence[str]
) -> NothingMatchedError:
    labels = [label for label in every if label]
    there = f"choose from {', '.join(labels)}" if labels else "leave out --session-label"
    return NothingMatchedError(
        f"sub-{participant} has no session {', '.join(sorted(requested))} with images",
        file=root / f"sub-{participant}",
        fix=there,
    )


def _nothing(
    layout: Any,
    participant: str,
    inputs: Sequence[str],
    images: _RawImages,
    derivatives: Sequence[DerivativeFolder],
) -> UserError:
    root = Path(layout.root)
    folders = [p for d in derivatives for p in (d.root / f"sub-{participant}").glob("ses-*")]
    labels = ("", *sorted({folder.name.removeprefix("ses-") for folder in folders}))
    maps = [each for label in labels for each in _maps(derivatives, participant, label, inputs)]
    if maps and not images.t1w:
        return _no_t1w(root / f"sub-{participant}" / "anat", maps)
    names = {"megre": "multi-echo GRE (…_echo-<n>_MEGRE.nii.gz)"}
    fix = "check the file names and --bids-filter-file"
    if "megre" in inputs and images.t1w and not images.megre:
        fix = "for T1w images alone give --inputs T1w; else " + fix
    near = near_miss(layout, participant, inputs)
    return NothingMatchedError(
        f"sub-{participant} has no {' and no '.join(names.get(i, i) for i in inputs)}"
        + (f", but {near.file}" if near else ""),
        file=root / f"sub-{participant}",
        fix=near.fix if near else fix,
    )


def _no_t1w(folder: Path, maps: Sequence[PrecomputedMap]) -> BadDataError:
    names = ", ".join(precomputed.image.file.name for precomputed in maps)
    there = f" ({names} is there)" if names else ""
    return BadDataError(
        f"no T1w image to register the other images to{there}",
        file=folder,
        fix="add a T1w image of the same session",
    )


def _maps(
    derivatives: Sequence[DerivativeFolder], participant: str, label: str, inputs: Sequence[str]
) -> list[PrecomputedMap]:
    """The maps made elsewhere that are asked for and there."""
    candidates = [
        find_map(derivatives, participant, label, suffix)
        for suffix in inputs
        if suffix not in RAW_INPUTS
    ]
    return [precomputed for precomputed in candidates if precomputed is not None]


def _images(layout: Any, participant: str, suffix: str, filters: Mapping[str, Any]) -> list[Any]:
    query = {"subject": participant, "suffix": suffix, "extension": list(_IMAGE)}
    try:
        files = layout.get(**query | as_names_say(layout, participant, filters))
    except (ValueError, TypeError) as error:
        raise BadDataError(
            f"--bids-filter-file cannot be used: {error}",
            fix='give pybids entities, for example {"t1w": {"acquisition": "mprage"}}',
        ) from error
    return sorted(files, key=lambda file: str(file.path))


def _session(
    root: Path,
    participant: str,
    label: str,
    images: _RawImages,
    inputs: Sequence[str],
    derivatives: Sequence[DerivativeFolder],
    brain_masks: bool,
    *,
    only_session: bool,
) -> Session | None:
    """The session's record, ``None`` where it holds none of the inputs."""
    t1w, flair = first_choice(images.t1w), first_choice(images.flair)
    megre = images.megre if "megre" in inputs else []
    maps = _maps(derivatives, participant, label, inputs)
    flair = flair if "FLAIR" in inputs else None
    if not (megre or maps or flair or (t1w is not None and "T1w" in inputs)):
        return None
    if t1w is None and not megre:
        where = f"sub-{participant}" + (f"/ses-{label}" if label else "")
        raise _no_t1w(root / where / "anat", maps)
    for image in (t1w, flair):
        if image is not None:
            check_present(image)
            check_magnitude(image)

    def mask(kind: str) -> SourceImage | None:
        of = scan_entities(t1w) if t1w is not None else None
        return find_mask(derivatives, participant, label, kind, of=of, only_session=only_session)

    brain_mask = mask("brain") if brain_masks else None
    lacking = brain_masks and t1w is not None and brain_mask is None
    no_mask = ["no brain mask in the derivatives: the mask is computed by registration"] * lacking
    used = [file for file in (*megre, t1w, flair) if file is not None]
    return Session(
        participant=participant,
        session=label or None,
        t1w=_source(t1w, root),
        megre=_series(megre),
        flair=_source(flair, root),
        maps=tuple(maps),
        brain_mask=brain_mask,
        lesion_mask=mask("lesion"),
        sidecars=tuple(
            sorted({*(Path(s) for file in used for s in _sidecars(file)), *_map_sidecars(maps)})
        ),
        notes=(*_notes(images, inputs, maps), *no_mask),
    )


def _notes(
    images: _RawImages, inputs: Sequence[str], maps: Sequence[PrecomputedMap]
) -> tuple[str, ...]:
    """What was asked for and is not there, and which of several images was taken."""
    notes = [
        f"no {suffix} image in this session"
        for files, suffix in ((images.megre, "megre"), (images.t1w, "T1w"), (images.flair, "FLAIR"))
        if suffix in inputs and not files
    ]
    there = {precomputed.suffix for precomputed in maps}
    notes += [
        f"no {suffix} in the derivatives for this session"
        for suffix in inputs
        if suffix not in RAW_INPUTS and suffix not in there
    ]
    for name, files in (("t1w", images.t1w), ("flair", images.flair)):
        used = name == "t1w" or "FLAIR" in inputs
        first = first_choice(files)
        if used and first is not None and len(files) > 1:
            taken = Path(first.path).name
            notes.append(f"{len(files)} {name} images, {taken} is used")
    return tuple(notes)


def _map_sidecars(maps: Sequence[PrecomputedMap]) -> list[Path]:
    sidecars = [sidecar_of(precomputed.image.file) for precomputed in maps]
    return [sidecar for sidecar in sidecars if sidecar.is_file()]


def _series(files: Sequence[Any]) -> tuple[Any, ...]:
    groups: dict[tuple[str, ...], list[Any]] = {}
    for file in files:
        key = tuple(scan_entities(file).get(name, "") for name in RAW_ENTITIES)
        groups.setdefault(key, []).append(file)
    return tuple(echo_series(group, scan_entities(group[0])) for _, group in sorted(groups.items()))


def _source(file: Any | None, root: Path) -> SourceImage | None:
    if file is None:
        return None
    path = Path(file.path)
    return SourceImage(path, bids_uri(path, root), scan_entities(file), field_strength_t(file))


def _sidecars(file: Any) -> list[str]:
    return [str(a.path) for a in file.get_associations(kind="Metadata", include_parents=True)]
