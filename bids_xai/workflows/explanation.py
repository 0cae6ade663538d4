"""The nipype graph that predicts and explains the scans of one preprocessed session."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nipype.pipeline import engine as pe

from bids_xai.bids.dataset import bids_uri
from bids_xai.bids.names import anat_path
from bids_xai.bids.records import EchoSeries, Session
from bids_xai.bids.stamps import fingerprint
from bids_xai.interfaces import nodes
from bids_xai.models.card import model_files
from bids_xai.settings import RunSettings
from bids_xai.workflows.session import publish_all, stage_node

_TORCH_GB = 4.0


@dataclass(frozen=True)
class ScanFiles:
    """What preprocessing left of one series: the map on the T1w grid and what belongs to it."""

    map_file: Path
    mask: Path
    to_template: Path


def scan_files(session: Session, series: EchoSeries, settings: RunSettings) -> ScanFiles:
    """Return the published files of a series, whether they are there or not."""
    root, template = settings.output_dir.resolve(), settings.output_spaces[0].template
    anatomy = session.t1w.entities if session.t1w else {}
    transform = {**anatomy, "from": "T1w", "to": template, "mode": "image"}
    return ScanFiles(
        map_file=root / anat_path({**series.entities, "space": "T1w"}, "R2starmap", ".nii.gz"),
        mask=root / anat_path({**anatomy, "desc": "brain"}, "mask", ".nii.gz"),
        to_template=root / anat_path(transform, "xfm", ".h5"),
    )


def explanation_workflow(
    name: str, session: Session, settings: RunSettings, *, stamp: Path, digest: str, device: str
) -> pe.Workflow:
    """Return the graph that gives every series of a session its prediction and relevance."""
    workflow = pe.Workflow(name=name)
    found = [
        _explain(session, series, index, settings, device)
        for index, series in enumerate(session.megre)
    ]
    publish_all(workflow, found, settings.output_dir, stamp, digest)
    return workflow


def _explain(
    session: Session, series: EchoSeries, index: int, settings: RunSettings, device: str
) -> pe.Node:
    files = scan_files(session, series, settings)
    interface = nodes.ExplainScan(
        entities=series.entities,
        sources=[bids_uri(file, settings.bids_dir) for file in series.files],
        map_file=str(files.map_file),
        mask=str(files.mask),
        to_template=str(files.to_template),
        model=str(settings.model),
        content=fingerprint(model_files(settings.model), {}) if settings.model else "",
        template=settings.output_spaces[0].template,
        methods=list(settings.attribution),
        target=settings.target or "",
        device=device,
        use_gpu=device != "cpu",
    )
    return stage_node(interface, f"explain_{index}", _TORCH_GB)
