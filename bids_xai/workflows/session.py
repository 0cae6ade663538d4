"""The nipype graph that preprocesses one session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nipype.interfaces.utility import Merge
from nipype.pipeline import engine as pe

from bids_xai.bids.dataset import bids_uri
from bids_xai.bids.images import header_notes
from bids_xai.bids.names import label_of
from bids_xai.bids.records import EchoSeries, PrecomputedMap, Session, SourceImage
from bids_xai.bids.stamps import StampRecord, fingerprint
from bids_xai.settings import RunSettings
from bids_xai.stages.maps import MapKind
from bids_xai.stages.products import Origin
from bids_xai.templates.lookup import atlas_files
from bids_xai.workflows import anatomy_nodes, map_nodes
from bids_xai.workflows.publishing import publish_all, stage_node

_ANTS_GB = 3.0
_R2STAR = MapKind("R2starmap", "1/s", "MEGRE")
_FLAIR = MapKind("FLAIR", "arbitrary", "FLAIR", desc="preproc")

Source = tuple[Any, str]  # a node and the name of its output


def session_workflow(
    name: str, session: Session, settings: RunSettings, *, record: StampRecord
) -> pe.Workflow:
    """Return the graph that makes all maps, masks and transforms of one session.

    ``fit``, ``coregister`` and ``map_*`` stand once an image, ``normalise`` once an output space.
    Without a T1w image there are only the maps on their native grids.
    """
    graph = _Graph(pe.Workflow(name=name), settings)
    series = [_fit(graph, each, index) for index, each in enumerate(session.megre)]
    if session.t1w is not None:
        anatomy = _anatomy(graph, session, session.t1w)
        for index, (each, fit) in enumerate(zip(session.megre, series, strict=True)):
            _series(graph, each, index, fit, anatomy)
        if session.flair is not None:
            _flair(graph, session.flair, anatomy)
        for precomputed in session.maps:
            _precomputed(graph, precomputed, anatomy)
    publish_all(graph.workflow, graph.manifests, settings.output_dir, record)
    return graph.workflow


class _Graph:
    """A workflow that grows, and the nodes whose products are to be published."""

    def __init__(self, workflow: pe.Workflow, settings: RunSettings) -> None:
        self.workflow, self.settings = workflow, settings
        self.manifests: list[pe.Node] = []

    def add(self, interface: Any, name: str, **inputs: Source) -> pe.Node:
        """Add a node of a stage, fed by the outputs of others."""
        node = stage_node(interface, name, _ANTS_GB)
        self.workflow.add_nodes([node])
        for target, (source, output) in inputs.items():
            self.workflow.connect(source, output, node, target)
        self.manifests.append(node)
        return node


@dataclass(frozen=True)
class _Anatomy:
    """The nodes on the T1w image that others take from; ``normalise`` by template.

    All resolutions of a template share one transform, estimated on the grid named first.
    """

    uri: str
    brain: pe.Node
    normalise: dict[str, pe.Node]

    @property
    def images(self) -> dict[str, Source]:
        return {"t1w": (self.brain, "preproc"), "mask": (self.brain, "mask")}


def _anatomy(graph: _Graph, session: Session, t1w: SourceImage) -> _Anatomy:
    """Add brain extraction, normalisation, atlases and lesions."""
    settings = graph.settings
    origin = _origin_of(t1w)
    seeds = {"seed": settings.random_seed, "sloppy": settings.sloppy}
    extract = anatomy_nodes.ExtractBrain(t1w=str(t1w.file), **_traits(origin), **seeds)
    if settings.brain_mask == "derivatives" and session.brain_mask is not None:
        extract.inputs.given_mask = str(session.brain_mask.file)
        extract.inputs.sources = [t1w.uri, session.brain_mask.uri]
    elif settings.brain_mask == "synthstrip":
        extract.inputs.model = str(settings.synthstrip_model)
    brain = graph.add(extract, "brain")
    anatomy = _Anatomy(t1w.uri, brain, {})
    for space in settings.output_spaces:
        if space.template not in anatomy.normalise:
            register = anatomy_nodes.Normalise(
                space=str(space),
                how=settings.registration,
                engine=settings.registration_engine,
                **_traits(origin),
                **seeds,
            )
            node = graph.add(register, f"normalise_{label_of(space.template)}", **anatomy.images)
            anatomy.normalise[space.template] = node
        forward = (anatomy.normalise[space.template], "forward")
        carry = anatomy_nodes.AnatomyToTemplate(space=str(space), **_traits(origin))
        graph.add(carry, f"anatomy_to_{label_of(str(space))}", **anatomy.images, forward=forward)
    _atlases(graph, anatomy, origin)
    if session.lesion_mask is not None:
        _lesions(graph, session.lesion_mask, anatomy, origin)
    return anatomy


def _atlases(graph: _Graph, anatomy: _Anatomy, origin: Origin) -> None:
    space = graph.settings.output_spaces[0]
    node = anatomy.normalise[space.template]
    for index, atlas in enumerate(graph.settings.atlas or ("",)):
        interface = anatomy_nodes.AtlasToT1w(
            space=str(space),
            atlas=atlas,
            spatial_reference=anatomy.uri,
            content=fingerprint(atlas_files([atlas]), {}),
            **_traits(origin),
        )
        source = (anatomy.brain, "preproc")
        graph.add(interface, f"atlas_{index}", t1w=source, inverse=(node, "inverse"))


def _lesions(graph: _Graph, mask: SourceImage, anatomy: _Anatomy, origin: Origin) -> None:
    spaces = graph.settings.output_spaces
    interface = anatomy_nodes.CarryLesions(
        lesion_mask=str(mask.file),
        spaces=[str(space) for space in spaces],
        spatial_reference=anatomy.uri,
        **_traits(replace(origin, sources=(*origin.sources, mask.uri))),
    )
    node = graph.add(interface, "lesions", **anatomy.images)
    gather = pe.Node(Merge(len(spaces)), "transforms", run_without_submitting=True)
    for index, space in enumerate(spaces):
        normalise = anatomy.normalise[space.template]
        graph.workflow.connect(normalise, "forward", gather, f"in{index + 1}")
    graph.workflow.connect(gather, "out", node, "forwards")


def _origin_of(image: SourceImage) -> Origin:
    return Origin(image.entities, (image.uri,), image.field_strength_t)


def _origin_of_series(graph: _Graph, series: EchoSeries) -> Origin:
    uris = tuple(bids_uri(file, graph.settings.bids_dir) for file in series.files)
    return Origin(series.entities, uris, series.field_strength_t)


def _traits(origin: Origin) -> dict[str, Any]:
    """The inputs of every stage that say where its products come from."""
    return {
        "entities": origin.entities,
        "sources": list(origin.sources),
        "field_strength_t": origin.field_strength_t or 0.0,
    }


def _fit(graph: _Graph, series: EchoSeries, index: int) -> pe.Node:
    interface = map_nodes.FitR2Star(
        magnitude_files=[str(file) for file in series.files],
        echo_times_s=list(series.echo_times_s),
        options=graph.settings.r2star_options,
        **_traits(_origin_of_series(graph, series)),
    )
    return graph.add(interface, f"fit_{index}")


def _series(graph: _Graph, series: EchoSeries, index: int, fit: pe.Node, anatomy: _Anatomy) -> None:
    """Add registration by the first echo, and R2* on the other grids."""
    origin = _origin_of_series(graph, series)
    interface = map_nodes.Coregister(
        image=str(series.files[0]),
        moving="MEGRE",
        seed=graph.settings.random_seed,
        kind=graph.settings.megre_transform.capitalize(),
        **_traits(origin),
    )
    moved = graph.add(interface, f"coregister_{index}", **anatomy.images)
    notes = header_notes(series.files[0])
    kind = replace(_R2STAR, notes=notes, echo_times_s=series.echo_times_s)
    s0 = {"s0": (fit, "s0")}
    _map(graph, f"r2star_{index}", kind, origin, (fit, "r2star"), moved, anatomy, s0)


def _flair(graph: _Graph, flair: SourceImage, anatomy: _Anatomy) -> None:
    origin = _origin_of(flair)
    inputs = {"seed": graph.settings.random_seed, **_traits(origin)}
    unbias = graph.add(map_nodes.Unbias(image=str(flair.file), **inputs), "unbias_flair")
    interface = map_nodes.Coregister(moving="FLAIR", kind="Rigid", **inputs)
    source = (unbias, "corrected")
    moved = graph.add(interface, "coregister_flair", image=source, **anatomy.images)
    kind = replace(_FLAIR, notes=header_notes(flair.file))
    _map(graph, "flair", kind, origin, source, moved, anatomy)


def _precomputed(graph: _Graph, precomputed: PrecomputedMap, anatomy: _Anatomy) -> None:
    """A map made elsewhere lies on the T1w image by its header: nothing is registered."""
    image, suffix = precomputed.image, precomputed.suffix
    kind = MapKind(suffix, precomputed.units, suffix, notes=header_notes(image.file))
    _map(graph, label_of(suffix), kind, _origin_of(image), image.file, None, anatomy)


def _map(
    graph: _Graph,
    name: str,
    kind: MapKind,
    origin: Origin,
    image: Source | Path,
    moved: pe.Node | None,
    anatomy: _Anatomy,
    fitted: Mapping[str, Source] = MappingProxyType({}),
) -> None:
    """Add a map on the T1w grid and on every template; fitted : what came with it, for its QC."""
    fixed = {"kind": asdict(kind), **_traits(origin)}
    file = {"image": str(image)} if isinstance(image, Path) else {}
    inputs = {} if isinstance(image, Path) else {"image": image}
    both = {} if moved is None else {name: (moved, name) for name in ("forward", "inverse")}
    to_t1w = map_nodes.MapToT1w(spatial_reference=anatomy.uri, **file, **fixed)
    graph.add(to_t1w, f"{name}_to_t1w", **inputs, **anatomy.images, **both, **fitted)
    to_anatomy = {} if moved is None else {"to_t1w": (moved, "forward")}
    for space in graph.settings.output_spaces:
        to_template = map_nodes.MapToTemplate(space=str(space), **file, **fixed)
        transforms = {"to_template": (anatomy.normalise[space.template], "forward"), **to_anatomy}
        graph.add(to_template, f"{name}_to_{label_of(str(space))}", **inputs, **transforms)
