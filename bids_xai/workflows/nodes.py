"""The stages as nipype interfaces: traits in, stage called, traits out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    InputMultiPath,
    SimpleInterface,
    Str,
    TraitedSpec,
    isdefined,
    traits,
)

import bids_xai
from bids_xai.bids import run_log
from bids_xai.bids.manifest import publish
from bids_xai.bids.stamps import remove_leftovers, stamped_outputs, write_stamp
from bids_xai.errors import naming
from bids_xai.settings import OutputSpace
from bids_xai.stages import anatomy as anatomy_stages
from bids_xai.stages import maps as map_stages
from bids_xai.stages.maps import FitOptions, MapKind
from bids_xai.stages.products import Made, Origin
from bids_xai.tables.qc import write_session_qc

LOG = logging.getLogger("bids_xai")


class _StageInput(BaseInterfaceInputSpec):
    entities = traits.Dict(mandatory=True, desc="entities of the products' names")
    sources = traits.List(Str, mandatory=True, desc="BIDS URIs of the sources")
    version = Str(bids_xai.__version__, usedefault=True, desc="a new version works anew")
    content = Str("", usedefault=True, desc="fingerprint of files that are named in other inputs")


class _ManifestOutput(TraitedSpec):
    manifest = File(exists=True, desc="list of products")


class _TransformOutput(_ManifestOutput):
    forward = File(exists=True)
    inverse = File(exists=True)


class _Stage(SimpleInterface):
    """Calls one stage with its inputs and hands on the files it names."""

    def _run_interface(self, runtime: Any) -> Any:
        origin = Origin(dict(self.inputs.entities), tuple(self.inputs.sources))
        run_log.join()  # nipype's own processes have not yet
        LOG.debug("step %s of %s", type(self).__name__, origin.sources[0])
        with naming(origin.sources[0]):
            made = self._make(Path(runtime.cwd), origin)
        self._results = {name: str(path) for name, path in made.items()}
        return runtime

    def _path(self, name: str) -> Path:
        return Path(getattr(self.inputs, name))

    def _paths(self, *names: str) -> list[Path]:
        return [self._path(name) for name in names]

    def _maybe(self, name: str) -> Path | None:
        value = getattr(self.inputs, name)
        return Path(value) if isdefined(value) else None

    def _kind(self) -> MapKind:
        return MapKind(**self.inputs.kind)


class _FitInput(_StageInput):
    magnitude_files = InputMultiPath(File(exists=True), mandatory=True)
    echo_times_s = traits.List(traits.Float, mandatory=True)
    options = traits.Dict(mandatory=True, desc="fields of FitOptions")


class _FitOutput(_ManifestOutput):
    r2star = File(exists=True)


class FitR2Star(_Stage):
    """R2* and S0 on the native grid."""

    input_spec = _FitInput
    output_spec = _FitOutput

    def _make(self, folder: Path, origin: Origin) -> Made:
        files = [Path(file) for file in self.inputs.magnitude_files]
        times, options = self.inputs.echo_times_s, FitOptions(**self.inputs.options)
        return map_stages.relaxometry(folder, origin, files, times, options)


class _UnbiasInput(_StageInput):
    image = File(exists=True, mandatory=True)
    seed = traits.Int(0, usedefault=True)


class _UnbiasOutput(_ManifestOutput):
    corrected = File(exists=True)


class Unbias(_Stage):
    """N4 on a weighted image's own grid."""

    input_spec = _UnbiasInput
    output_spec = _UnbiasOutput

    def _make(self, folder: Path, origin: Origin) -> Made:
        return map_stages.unbias(folder, origin, self._path("image"), seed=self.inputs.seed)


class _BrainInput(_StageInput):
    t1w = File(exists=True, mandatory=True)
    given_mask = File(exists=True)
    model = File(exists=True, desc="of SynthStrip")
    seed = traits.Int(0, usedefault=True)
    sloppy = traits.Bool(False, usedefault=True)


class _BrainOutput(_ManifestOutput):
    preproc = File(exists=True)
    mask = File(exists=True)


class ExtractBrain(_Stage):
    """Bias-corrected T1w and brain mask."""

    input_spec = _BrainInput
    output_spec = _BrainOutput

    def _make(self, folder: Path, origin: Origin) -> Made:
        i = self.inputs
        return anatomy_stages.brain(
            folder,
            origin,
            self._path("t1w"),
            self._maybe("given_mask"),
            synthstrip=self._maybe("model"),
            seed=i.seed,
            sloppy=i.sloppy,
        )


class _CoregisterInput(_StageInput):
    image = File(exists=True, mandatory=True)
    t1w = File(exists=True, mandatory=True)
    mask = File(exists=True, mandatory=True)
    moving = Str(mandatory=True)
    kind = traits.Enum("Rigid", "Affine", usedefault=True)
    seed = traits.Int(0, usedefault=True)


class Coregister(_Stage):
    """Transform of an image to T1w."""

    input_spec = _CoregisterInput
    output_spec = _TransformOutput

    def _make(self, folder: Path, origin: Origin) -> Made:
        i = self.inputs
        image, t1w, mask = self._paths("image", "t1w", "mask")
        return map_stages.coregister(
            folder, origin, image, t1w, mask, moving=i.moving, kind=i.kind, seed=i.seed
        )


class _NormaliseInput(_StageInput):
    t1w = File(exists=True, mandatory=True)
    mask = File(exists=True, mandatory=True)
    space = Str(mandatory=True)
    how = traits.Enum("nonlinear", "linear", "none", usedefault=True)
    engine = traits.Enum("ants", "greedy", usedefault=True)
    seed = traits.Int(0, usedefault=True)
    sloppy = traits.Bool(False, usedefault=True)


class Normalise(_Stage):
    """Transform from T1w to the template."""

    input_spec = _NormaliseInput
    output_spec = _TransformOutput

    def _make(self, folder: Path, origin: Origin) -> Made:
        i = self.inputs
        t1w, mask = self._paths("t1w", "mask")
        return anatomy_stages.normalise(
            folder,
            origin,
            t1w,
            mask,
            OutputSpace.parse(i.space),
            how=i.how,
            engine=i.engine,
            seed=i.seed,
            sloppy=i.sloppy,
        )


class _MapToT1wInput(_StageInput):
    image = File(exists=True, mandatory=True)
    kind = traits.Dict(mandatory=True, desc="fields of MapKind")
    t1w = File(exists=True, mandatory=True)
    mask = File(exists=True, mandatory=True)
    forward = File(exists=True)
    inverse = File(exists=True)
    spatial_reference = Str(mandatory=True)


class MapToT1w(_Stage):
    """A map on the T1w grid, the mask on the map's own."""

    input_spec = _MapToT1wInput
    output_spec = _ManifestOutput

    def _make(self, folder: Path, origin: Origin) -> Made:
        image, t1w, mask = self._paths("image", "t1w", "mask")
        return map_stages.map_to_t1w(
            folder,
            origin,
            image,
            self._kind(),
            t1w,
            mask,
            self._maybe("forward"),
            self._maybe("inverse"),
            self.inputs.spatial_reference,
        )


class _MapToTemplateInput(_StageInput):
    image = File(exists=True, mandatory=True)
    kind = traits.Dict(mandatory=True, desc="fields of MapKind")
    to_t1w = File(exists=True)
    to_template = File(exists=True, mandatory=True)
    space = Str(mandatory=True)


class MapToTemplate(_Stage):
    """A map on the template grid, in one interpolation from native."""

    input_spec = _MapToTemplateInput
    output_spec = _ManifestOutput

    def _make(self, folder: Path, origin: Origin) -> Made:
        return map_stages.map_to_template(
            folder,
            origin,
            self._path("image"),
            self._kind(),
            OutputSpace.parse(self.inputs.space),
            self._maybe("to_t1w"),
            self._path("to_template"),
        )


class _AnatomyToTemplateInput(_StageInput):
    t1w = File(exists=True, mandatory=True)
    mask = File(exists=True, mandatory=True)
    forward = File(exists=True, mandatory=True)
    space = Str(mandatory=True)


class AnatomyToTemplate(_Stage):
    """T1w and mask on the template, and how well they fit."""

    input_spec = _AnatomyToTemplateInput
    output_spec = _ManifestOutput

    def _make(self, folder: Path, origin: Origin) -> Made:
        t1w, mask, forward = self._paths("t1w", "mask", "forward")
        space = OutputSpace.parse(self.inputs.space)
        return anatomy_stages.to_template(folder, origin, t1w, mask, space, forward)


class _AtlasInput(_StageInput):
    t1w = File(exists=True, mandatory=True)
    inverse = File(exists=True, mandatory=True)
    space = Str(mandatory=True)
    atlas = Str(mandatory=True, desc="NAME or NAME=dseg.nii.gz,labels.tsv")
    spatial_reference = Str(mandatory=True)


class AtlasToT1w(_Stage):
    """An atlas of the template on the T1w grid."""

    input_spec = _AtlasInput
    output_spec = _ManifestOutput

    def _make(self, folder: Path, origin: Origin) -> Made:
        i = self.inputs
        t1w, inverse = self._paths("t1w", "inverse")
        return anatomy_stages.atlas_to_t1w(
            folder, origin, t1w, inverse, OutputSpace.parse(i.space), i.atlas, i.spatial_reference
        )


class _LesionsInput(_StageInput):
    lesion_mask = File(exists=True, mandatory=True)
    t1w = File(exists=True, mandatory=True)
    mask = File(exists=True, mandatory=True)
    spaces = traits.List(Str, mandatory=True)
    forwards = InputMultiPath(File(exists=True), mandatory=True)
    spatial_reference = Str(mandatory=True)


class Lesions(_Stage):
    """A lesion mask on all grids, and T1w with its lesions filled."""

    input_spec = _LesionsInput
    output_spec = _ManifestOutput

    def _make(self, folder: Path, origin: Origin) -> Made:
        i = self.inputs
        spaces = [OutputSpace.parse(space) for space in i.spaces]
        forwards = [Path(path) for path in i.forwards]
        lesion_mask, t1w, mask = self._paths("lesion_mask", "t1w", "mask")
        return anatomy_stages.lesions(
            folder, origin, lesion_mask, t1w, mask, spaces, forwards, i.spatial_reference
        )


class _ExplainInput(_StageInput):
    map_file = File(exists=True, mandatory=True)
    mask = File(exists=True, mandatory=True)
    to_template = File(exists=True, desc="none for maps on the template's grid")
    model = traits.Str(mandatory=True)
    template = Str(mandatory=True)
    atlases = traits.List(Str, desc="as on the command line")
    methods = traits.List(Str, mandatory=True)
    target = Str("", usedefault=True)
    renormalise = traits.Bool(False, usedefault=True)
    device = Str("cpu", usedefault=True)
    use_gpu = traits.Bool(False, usedefault=True, nohash=True, desc="for the scheduler")


class ExplainScan(_Stage):
    """Prediction and relevance by a trained model."""

    input_spec = _ExplainInput
    output_spec = _ManifestOutput

    def _make(self, folder: Path, origin: Origin) -> Made:
        from bids_xai.stages.model import model_products

        i = self.inputs
        return model_products(
            folder,
            origin,
            *self._paths("map_file", "mask"),
            to_template=Path(i.to_template) if isdefined(i.to_template) else None,
            model_path=Path(i.model),
            template=i.template,
            methods=tuple(i.methods),
            target=i.target or None,
            device=i.device,
            renormalise=i.renormalise,
            atlases=tuple(i.atlases),
        )


class _PublishInput(BaseInterfaceInputSpec):
    manifests = InputMultiPath(File(exists=True), mandatory=True)
    output_dir = traits.Str(mandatory=True)
    stamp = traits.Str(mandatory=True)
    digest = traits.Str(mandatory=True)
    about = traits.Dict(mandatory=True, desc="what the stamp tells of methods and settings")


class _PublishOutput(TraitedSpec):
    stamp = File(exists=True)


class Publish(SimpleInterface):
    """Gives every product of a session its final name, then writes the stamp."""

    input_spec = _PublishInput
    output_spec = _PublishOutput
    _always_run = True

    def _run_interface(self, runtime: Any) -> Any:
        root = Path(self.inputs.output_dir)
        manifests = [Path(manifest) for manifest in self.inputs.manifests]
        stamp = Path(self.inputs.stamp)
        before = stamped_outputs(stamp, root)
        stamp.unlink(missing_ok=True)  # until all is in place, the session counts as undone
        written = [path for manifest in manifests for path in publish(manifest, root)]
        written += write_session_qc(manifests, root)
        remove_leftovers(before - set(written), {path.parent for path in written})
        write_stamp(stamp, self.inputs.digest, root, written, **self.inputs.about)
        self._results = {"stamp": str(stamp)}
        return runtime
