"""The nipype graph that predicts and explains the maps of one preprocessed session."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nipype.pipeline import engine as pe

from bids_xai.bids.dataset import bids_uri
from bids_xai.bids.names import anat_path
from bids_xai.bids.records import Session
from bids_xai.bids.stamps import StampRecord, fingerprint
from bids_xai.errors import UsageError
from bids_xai.models.card import ModelCard, model_files
from bids_xai.settings import OutputSpace, RunSettings
from bids_xai.templates.lookup import atlas_files
from bids_xai.workflows.model_node import ExplainScan
from bids_xai.workflows.publishing import publish_all, stage_node

TORCH_GB = 4.0


@dataclass(frozen=True)
class ExplanationFiles:
    """What preprocessing left of one map: the file a model reads, and what belongs to it.

    entities : of the source images; sources : those images
    to_template : ``None`` for a map on the template's grid
    template : where relevance is brought to
    """

    entities: dict[str, str]
    sources: tuple[Path, ...]
    map_file: Path
    mask: Path
    to_template: Path | None
    template: str

    @property
    def files(self) -> list[Path]:
        """Every file, whether it is there or not."""
        return [f for f in (self.map_file, self.mask, self.to_template) if f is not None]


def model_space(card: ModelCard, settings: RunSettings) -> OutputSpace | None:
    """Return the output space whose maps a model reads, ``None`` for the T1w grid.

    Raises :class:`UsageError` where this run does not make that space.
    """
    if card.space == "T1w":
        return None
    for space in settings.output_spaces:
        if space.template == card.space:
            return space
    raise UsageError(
        f"the model reads maps in the space {card.space}, which this run does not produce",
        fix=f"add {card.space} with the resolution of its training to --output-spaces",
    )


def scan_files(session: Session, card: ModelCard, settings: RunSettings) -> list[ExplanationFiles]:
    """Return the published files of every map of a session that a model reads."""
    if session.t1w is None:
        return []
    root, anatomy = settings.output_dir.resolve(), session.t1w.entities
    space = model_space(card, settings)
    grid = {"space": "T1w"} if space is None else space.entities
    transform = {
        **anatomy,
        "from": "T1w",
        "to": settings.output_spaces[0].template,
        "mode": "image",
    }
    mask = anat_path({**anatomy, **(grid if space else {}), "desc": "brain"}, "mask", ".nii.gz")
    return [
        ExplanationFiles(
            entities=entities,
            sources=sources,
            map_file=root / anat_path({**entities, **added}, card.suffix, ".nii.gz"),
            mask=root / mask,
            to_template=None if space else root / anat_path(transform, "xfm", ".h5"),
            template=space.template if space else settings.output_spaces[0].template,
        )
        for entities, sources, added in _images(session, card.suffix, grid, on_t1w=space is None)
    ]


def _images(
    session: Session, suffix: str, grid: dict[str, str], *, on_t1w: bool
) -> Iterator[tuple[dict[str, str], tuple[Path, ...], dict[str, str]]]:
    """Source entities and files of each image of a kind, and what its product's name adds."""
    if suffix == "R2starmap" and session.megre:
        for series in session.megre:
            yield series.entities, series.files, grid
    elif suffix == "T1w" and session.t1w is not None:
        space = {} if on_t1w else grid  # its own grid needs no name
        yield session.t1w.entities, (session.t1w.file,), {**space, "desc": "preproc"}
    elif suffix == "FLAIR" and session.flair is not None:
        yield session.flair.entities, (session.flair.file,), {**grid, "desc": "preproc"}
    for precomputed in session.maps:
        if precomputed.suffix == suffix:
            yield precomputed.image.entities, (precomputed.image.file,), grid


def explanation_workflow(
    name: str,
    session: Session,
    scans: Sequence[ExplanationFiles],
    settings: RunSettings,
    *,
    record: StampRecord,
    device: str,
) -> pe.Workflow:
    """Return the graph that gives every map of a session its prediction and relevance."""
    workflow = pe.Workflow(name=name)
    explained = [_explain(scan, index, settings, device) for index, scan in enumerate(scans)]
    publish_all(workflow, explained, settings.output_dir, record)
    return workflow


def _content(settings: RunSettings) -> str:
    """What is in the files of the model and of the user's atlases, beside their names."""
    model = model_files(settings.model) if settings.model else []
    return fingerprint([*model, *atlas_files(settings.atlas)], {})


def _explain(files: ExplanationFiles, index: int, settings: RunSettings, device: str) -> pe.Node:
    interface = ExplainScan(
        entities=files.entities,
        sources=[bids_uri(file, settings.bids_dir) for file in files.sources],
        map_file=str(files.map_file),
        mask=str(files.mask),
        model=str(settings.model),
        content=_content(settings),
        template=files.template,
        atlases=list(settings.atlas),
        methods=list(settings.attribution),
        target=settings.target or "",
        renormalise=settings.renormalise,
        device=device,
        use_gpu=device != "cpu",
    )
    if files.to_template is not None:
        interface.inputs.to_template = str(files.to_template)
    return stage_node(interface, f"explain_{index}", TORCH_GB)
