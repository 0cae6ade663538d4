"""The two jobs of a session: its stamp says what went into each, its graph does the work."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import bids_xai
from bids_xai.bids.records import Session
from bids_xai.bids.stamps import StampRecord, fingerprint, session_stamp
from bids_xai.reports.citation import explanation_methods, preprocessing_methods
from bids_xai.settings import RunSettings
from bids_xai.templates.lookup import atlas_files, parse_atlas
from bids_xai.workflows.jobs import SessionJob
from bids_xai.workflows.readiness import ReadyModel


def preprocessing_job(session: Session, settings: RunSettings) -> SessionJob:
    """The job that makes the maps, masks and transforms of a session."""
    options = {
        "version": bids_xai.__version__,
        "inputs": list(settings.inputs),
        "derivatives": [(name, str(root.resolve())) for name, root in settings.derivatives],
        "r2star": settings.r2star_options,
        "megre_transform": settings.megre_transform,
        "brain_mask": settings.brain_mask,
        "registration": [settings.registration, settings.registration_engine],
        "atlases": list(settings.atlas),
        "output_spaces": [str(space) for space in settings.output_spaces],
        "random_seed": settings.random_seed,
        "sloppy": settings.sloppy,
    }
    inputs = [*session.inputs, *atlas_files(settings.atlas)]
    if settings.brain_mask == "synthstrip" and settings.synthstrip_model is not None:
        inputs.append(settings.synthstrip_model)
    derivatives = [name for name, _ in settings.derivatives]
    provenance = {
        "methods": preprocessing_methods(settings).plain,
        "settings": _without_paths(options, settings, derivatives=derivatives),
        "notes": list(session.notes),
    }
    record = StampRecord(_stamp(session, settings), fingerprint(inputs, options), provenance)
    build = partial(_session_graph, session=session, settings=settings, record=record)
    return SessionJob(session.label, session.participant, record.stamp, record.digest, build)


def _without_paths(
    options: dict[str, Any], settings: RunSettings, **replaced: Any
) -> dict[str, Any]:
    """The options for a page that is passed on: names in place of paths."""
    return options | {"atlases": [parse_atlas(text).label for text in settings.atlas]} | replaced


def _session_graph(name: str, **parts: Any) -> Any:
    from bids_xai.workflows.session import session_workflow

    return session_workflow(name, **parts)


def explanation_job(
    session: Session, settings: RunSettings, model: ReadyModel
) -> SessionJob | None:
    """The job that explains a session's maps, ``None`` where it has none of the model's kind."""
    from bids_xai.models.card import model_files
    from bids_xai.stages.explain import model_label
    from bids_xai.workflows.explanation import TORCH_GB, scan_files

    scans = scan_files(session, model.card, settings)
    if not scans:
        return None
    options = {
        "version": bids_xai.__version__,
        "model": str(model.path.resolve()),
        "attribution": list(settings.attribution),
        "target": settings.target,
        "renormalise": settings.renormalise,
        "template": settings.output_spaces[0].template,
        "atlases": list(settings.atlas),
    }
    inputs = [file for scan in scans for file in scan.files] + atlas_files(settings.atlas)
    digest = fingerprint([*inputs, *model_files(model.path)], options)
    provenance = {
        "methods": explanation_methods(settings, model.card).plain,
        "settings": _without_paths(options, settings, model=model_label(model.card)),
    }
    record = StampRecord(_stamp(session, settings, "_explanation"), digest, provenance)
    build = partial(
        _explanation_graph,
        session=session,
        scans=scans,
        settings=settings,
        record=record,
        device=model.device,
    )
    return SessionJob(
        session.label, session.participant, record.stamp, digest, build, memory_gb=TORCH_GB
    )


def _explanation_graph(name: str, **parts: Any) -> Any:
    from bids_xai.workflows.explanation import explanation_workflow

    return explanation_workflow(name, **parts)


def _stamp(session: Session, settings: RunSettings, ending: str = "") -> Path:
    return session_stamp(settings.output_dir.resolve(), session.label, ending)
