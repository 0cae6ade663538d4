"""The nipype graph that preprocesses one session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nipype.interfaces.utility import Merge
from nipype.pipeline import engine as pe

from bids_xai.bids.dataset import bids_uri
from bids_xai.bids.names import label_of
from bids_xai.bids.records import EchoSeries, Session
from bids_xai.interfaces import nodes
from bids_xai.settings import RunSettings

_ANTS_GB = 3.0


def session_workflow(
    name: str, session: Session, settings: RunSettings, *, stamp: Path, digest: str
) -> pe.Workflow:
    """Return the graph that makes all maps, masks and transforms of one session.

    ``coregister`` and ``map_*`` stand once a series, ``normalise`` once an output space.
    """
    workflow = pe.Workflow(name=name)
    manifests: list[pe.Node] = []
    anatomy = _anatomy(workflow, session, settings, manifests)
    for index, series in enumerate(session.megre):
        _series(workflow, session, series, index, settings, anatomy, manifests)
    publish_all(workflow, manifests, settings.output_dir, stamp, digest)
    return workflow


def publish_all(
    workflow: pe.Workflow, manifests: list[pe.Node], output_dir: Path, stamp: Path, digest: str
) -> None:
    """Add the last node: products of all ``manifests`` get their final names, then the stamp."""
    root = str(output_dir.resolve())
    publish = stage_node(nodes.Publish(output_dir=root, stamp=str(stamp), digest=digest), "publish")
    gather = pe.Node(Merge(len(manifests)), "gather", run_without_submitting=True)
    for index, node in enumerate(manifests):
        workflow.connect(node, "manifest", gather, f"in{index + 1}")
    workflow.connect(gather, "out", publish, "manifests")


def stage_node(interface: Any, name: str, mem_gb: float = 1.0) -> pe.Node:
    """Return a node of one thread."""
    return pe.Node(interface, name=name, mem_gb=mem_gb, n_procs=1)


def _anatomy(
    workflow: pe.Workflow, session: Session, settings: RunSettings, manifests: list[pe.Node]
) -> dict[str, pe.Node]:
    """Add the nodes on the T1w image; return ``brain`` and one ``normalise`` a space by name."""
    t1w_uri = bids_uri(session.t1w, settings.bids_dir)
    about = {"entities": session.t1w_entities, "sources": [t1w_uri]}
    seeds = {"seed": settings.random_seed, "sloppy": settings.sloppy}
    brain = stage_node(
        nodes.ExtractBrain(t1w=str(session.t1w), **about, **seeds), "brain", _ANTS_GB
    )
    found = {"brain": brain}
    manifests.append(brain)
    for index, space in enumerate(settings.output_spaces):
        name = label_of(str(space))
        normalise = stage_node(
            nodes.Normalise(space=str(space), **about, **seeds), f"normalise_{name}", _ANTS_GB
        )
        to_template = stage_node(
            nodes.AnatomyToTemplate(
                space=str(space), spatial_reference=t1w_uri, with_atlas=index == 0, **about
            ),
            f"anatomy_to_{name}",
            _ANTS_GB,
        )
        workflow.connect(brain, "preproc", normalise, "t1w")
        workflow.connect(brain, "mask", normalise, "mask")
        workflow.connect(brain, "preproc", to_template, "t1w")
        workflow.connect(brain, "mask", to_template, "mask")
        workflow.connect(normalise, "forward", to_template, "forward")
        workflow.connect(normalise, "inverse", to_template, "inverse")
        manifests += [normalise, to_template]
        found[str(space)] = normalise
    return found


def _series(
    workflow: pe.Workflow, session: Session, series: EchoSeries, index: int,
    settings: RunSettings, anatomy: dict[str, pe.Node], manifests: list[pe.Node],
) -> None:  # fmt: skip
    """Add the nodes of one multi-echo series: fit, registration, maps on both grids."""
    brain = anatomy["brain"]
    t1w_uri = bids_uri(session.t1w, settings.bids_dir)
    about = {
        "entities": series.entities,
        "sources": [bids_uri(file, settings.bids_dir) for file in series.files],
    }
    fit = stage_node(
        nodes.FitR2Star(
            magnitude_files=[str(f) for f in series.files], method=settings.r2star_method,
            echo_times_s=list(series.echo_times_s), **about,
        ), f"fit_{index}", _ANTS_GB,
    )  # fmt: skip
    coregister = stage_node(
        nodes.Coregister(magnitude=str(series.files[0]), seed=settings.random_seed, **about),
        f"coregister_{index}", _ANTS_GB,
    )  # fmt: skip
    to_t1w = stage_node(
        nodes.MapToT1w(spatial_reference=t1w_uri, **about), f"map_to_t1w_{index}", _ANTS_GB
    )
    for node in (coregister, to_t1w):
        workflow.connect(brain, "preproc", node, "t1w")
        workflow.connect(brain, "mask", node, "mask")
    workflow.connect(fit, "r2star", to_t1w, "r2star")
    workflow.connect(coregister, "forward", to_t1w, "forward")
    workflow.connect(coregister, "inverse", to_t1w, "inverse")
    manifests += [fit, coregister, to_t1w]
    for space in settings.output_spaces:
        to_template = stage_node(
            nodes.MapToTemplate(space=str(space), **about),
            f"map_to_{label_of(str(space))}_{index}", _ANTS_GB,
        )  # fmt: skip
        workflow.connect(fit, "r2star", to_template, "r2star")
        workflow.connect(coregister, "forward", to_template, "to_t1w")
        workflow.connect(anatomy[str(space)], "forward", to_template, "to_template")
        manifests.append(to_template)
