"""How the sessions of a participant were made: each from its own stamps and sidecars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bids_xai.bids.images import read_header
from bids_xai.bids.stamps import read_stamp, session_stamp
from bids_xai.errors import UserError
from bids_xai.reports.blocks import Block, Folded, Items, Section, Subheading, TableBlock, Text
from bids_xai.reports.citation import Methods, software
from bids_xai.reports.participant.model import UsedModel, model_table
from bids_xai.reports.participant.session_files import quantitative_maps, sidecar_of
from bids_xai.reports.volumes import Folder, ImageFile
from bids_xai.tables.numbers import MISSING, number, read_object
from bids_xai.tables.qc import kind_of

_PREPROCESSING = "preprocessing"
_STEPS = {"": _PREPROCESSING, "_explanation": "prediction and explanation"}
_UNKNOWN = (
    "How the images of this session were made was not recorded: an earlier version of bids_xai "
    "made them, or the run did not finish. logs/CITATION.md describes the methods of the last run, "
    "which may have had other options."
)


@dataclass(frozen=True)
class SessionMethods:
    """How a session was made: step → methods, and step → settings, where that is recorded.

    notes : what was to be said of the choice of images and of their headers
    """

    methods: Mapping[str, Methods]
    settings: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def of(cls, output_dir: Path, participant: str, session: str) -> SessionMethods:
        """Read the stamps of a session; session : label, empty where there is none."""
        name = f"sub-{participant}" + (f"_ses-{session}" if session else "")
        stamps = {
            step: read_stamp(session_stamp(output_dir, name, tail)) for tail, step in _STEPS.items()
        }
        methods = {step: Methods.of_stamp(stamp) for step, stamp in stamps.items()}
        settings = {step: stamp.get("settings") for step, stamp in stamps.items()}
        return cls(
            {step: recorded for step, recorded in methods.items() if recorded},
            {step: values for step, values in settings.items() if values is not None},
            tuple(map(str, stamps[_PREPROCESSING].get("notes", ()))),
        )

    @property
    def sloppy(self) -> bool:
        """Whether its registrations were only for a test."""
        return any(bool(values.get("sloppy")) for values in self.settings.values())

    def blocks(self) -> list[Block]:
        """Text, versions and settings."""
        versions: dict[str, str] = {}
        for step in self.methods.values():
            versions |= step.versions
        recorded = _PREPROCESSING in self.methods
        blocks: list[Block] = [] if recorded else [Text(_UNKNOWN, "note")]
        blocks += [Text(text) for step in self.methods.values() for text in step.paragraphs]
        blocks += [Text(software(versions))] if versions else []
        return blocks + [_settings(step, values) for step, values in self.settings.items()]


def how_made(
    sessions: Sequence[tuple[str, Folder, SessionMethods]], models: Iterable[UsedModel]
) -> Section:
    """Return the last section: methods, settings, versions, images, models, references.

    sessions : title (empty without labels), images and stamps of each; those made in the same way
        are told together
    models : those that were used
    """
    blocks: list[Block] = []
    distinct: list[SessionMethods] = []
    for _, _, methods in sessions:
        if methods not in distinct:
            distinct.append(methods)
            titles = [title for title, _, other in sessions if title and other == methods]
            blocks += [Subheading(_joined(titles))] if titles else []
            blocks += methods.blocks()
    for title, folder, methods in sessions:
        blocks += _images(folder, f"{title}: images" if title else "Images", methods.notes)
    blocks += [model_table(model) for model in dict.fromkeys(models)]
    references = dict.fromkeys(
        text
        for methods in distinct
        for step in methods.methods.values()
        for text in step.references
    )
    if references:
        blocks += [Subheading("References"), Items(tuple(references))]
    return Section("How this was made", tuple(blocks))


def _joined(titles: Sequence[str]) -> str:
    return titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} and {titles[-1]}"


def _settings(step: str, values: Mapping[str, Any]) -> Folded:
    rows = tuple((name.replace("_", " "), settings_text(value)) for name, value in values.items())
    summary = f"Settings of the {step}"
    return Folded(summary, TableBlock(summary, ("Setting", "Value"), rows))


def settings_text(value: Any) -> str:
    """Return a value of a setting in words: lists with commas, tables as ``name value``."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {number(each)}" for name, each in value.items()) or MISSING
    return number(value) if value not in ([], "") else "none"


def _images(folder: Folder, caption: str, notes: Sequence[str]) -> list[Block]:
    """A table of a session's images, after what was to be said of them."""
    shown = folder.find("T1w", space=None, desc="preproc")
    shown += [*quantitative_maps(folder), *folder.find("FLAIR", space="T1w", desc="preproc")]
    shown += folder.find("mask", space="T1w", label="lesion")
    rows = tuple(_image_row(image) for image in shown)
    header = ("Image", "Voxels", "Voxel size (mm)", "Echo times (ms)", "Estimation")
    texts = dict.fromkeys([*notes, *(note for image in shown for note in _input_notes(image))])
    blocks: list[Block] = [Text(f"{note}.", "note") for note in texts]
    return [*blocks, TableBlock(caption, header, rows)] if rows else blocks


def _input_notes(image: ImageFile) -> list[str]:
    """What was done about the header or the values of the raw image."""
    notes = read_object(sidecar_of(image.path)).get("InputNotes")
    return [*map(str, notes)] if isinstance(notes, list) else []


def _image_row(image: ImageFile) -> tuple[str, ...]:
    sidecar = read_object(sidecar_of(image.path))
    try:
        shape, affine = read_header(image.path)
        size = " × ".join(f"{float((affine[:3, i] ** 2).sum() ** 0.5):.2f}" for i in range(3))
        grid = " × ".join(str(n) for n in shape[:3])
    except UserError as error:
        grid, size = f"unreadable: {error.problem}", MISSING
    times = sidecar.get("EchoTime")
    if isinstance(times, (list, int, float)):
        values = times if isinstance(times, list) else [times]
        times = ", ".join(f"{1000 * float(t):.4g}" for t in values)
    name = kind_of(image.path.name.removesuffix(".nii.gz"))
    return name, grid, size, number(times), number(sidecar.get("EstimationAlgorithm"))
