"""The stages as nipype interfaces: traits in, stage called, traits out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    InputMultiPath,
    SimpleInterface,
    Str,
    TraitedSpec,
    traits,
)

from bids_xai.bids.manifest import publish
from bids_xai.bids.stamps import write_stamp
from bids_xai.interfaces import stages
from bids_xai.interfaces.stages import Origin
from bids_xai.settings import OutputSpace


class _StageInput(BaseInterfaceInputSpec):
    entities = traits.Dict(mandatory=True, desc="entities of the products' names")
    sources = traits.List(Str, mandatory=True, desc="BIDS URIs of the sources")


class _ManifestOutput(TraitedSpec):
    manifest = File(exists=True, desc="list of products")


class _TransformOutput(_ManifestOutput):
    forward = File(exists=True)
    inverse = File(exists=True)


class _Stage(SimpleInterface):
    """Calls one function of ``stages`` with its inputs and hands on the files it names."""

    def _run_interface(self, runtime: Any) -> Any:
        origin = Origin(dict(self.inputs.entities), tuple(self.inputs.sources))
        made = self._make(Path(runtime.cwd), origin)
        self._results = {name: str(path) for name, path in made.items()}
        return runtime

    def _path(self, name: str) -> Path:
        return Path(getattr(self.inputs, name))

    def _paths(self, *names: str) -> list[Path]:
        return [self._path(name) for name in names]


class _FitInput(_StageInput):
    magnitude_files = InputMultiPath(File(exists=True), mandatory=True)
    echo_times_s = traits.List(traits.Float, mandatory=True)
    method = Str("nlls", usedefault=True)


class _FitOutput(_ManifestOutput):
    r2star = File(exists=True)


class FitR2Star(_Stage):
    """R2* and S0 on the native grid."""

    input_spec = _FitInput
    output_spec = _FitOutput

    def _make(self, folder: Path, origin: Origin) -> stages.Made:
        files = [Path(file) for file in self.inputs.magnitude_files]
        return stages.relaxometry(
            folder, origin, files, self.inputs.echo_times_s, self.inputs.method
        )


class _BrainInput(_StageInput):
    t1w = File(exists=True, mandatory=True)
    seed = traits.Int(0, usedefault=True)
    sloppy = traits.Bool(False, usedefault=True)


class _BrainOutput(_ManifestOutput):
    preproc = File(exists=True)
    mask = File(exists=True)


class ExtractBrain(_Stage):
    """Bias-corrected T1w image and brain mask."""

    input_spec = _BrainInput
    output_spec = _BrainOutput

    def _make(self, folder: Path, origin: Origin) -> stages.Made:
        i = self.inputs
        return stages.brain(folder, origin, self._path("t1w"), seed=i.seed, sloppy=i.sloppy)


class _CoregisterInput(_StageInput):
    magnitude = File(exists=True, mandatory=True)
    t1w = File(exists=True, mandatory=True)
    mask = File(exists=True, mandatory=True)
    seed = traits.Int(0, usedefault=True)


class Coregister(_Stage):
    """Rigid transform from the multi-echo GRE to the T1w image, and its inverse."""

    input_spec = _CoregisterInput
    output_spec = _TransformOutput

    def _make(self, folder: Path, origin: Origin) -> stages.Made:
        images = self._paths("magnitude", "t1w", "mask")
        return stages.coregister(folder, origin, *images, seed=self.inputs.seed)


class _NormaliseInput(_BrainInput):
    mask = File(exists=True, mandatory=True)
    space = Str(mandatory=True)


class Normalise(_Stage):
    """Transform from the T1w image to a template, and its inverse."""

    input_spec = _NormaliseInput
    output_spec = _TransformOutput

    def _make(self, folder: Path, origin: Origin) -> stages.Made:
        i = self.inputs
        return stages.normalise(
            folder, origin, self._path("t1w"), self._path("mask"), OutputSpace.parse(i.space),
            seed=i.seed, sloppy=i.sloppy,
        )  # fmt: skip


class _MapToT1wInput(_StageInput):
    r2star = File(exists=True, mandatory=True)
    t1w = File(exists=True, mandatory=True)
    mask = File(exists=True, mandatory=True)
    forward = File(exists=True, mandatory=True)
    inverse = File(exists=True, mandatory=True)
    spatial_reference = Str(mandatory=True)


class MapToT1w(_Stage):
    """R2* on the T1w grid, brain mask on the MEGRE grid."""

    input_spec = _MapToT1wInput
    output_spec = _FitOutput

    def _make(self, folder: Path, origin: Origin) -> stages.Made:
        return stages.resample_t1w(
            folder, origin, self._path("r2star"), self._path("t1w"), self._path("mask"),
            self._path("forward"), self._path("inverse"), self.inputs.spatial_reference,
        )  # fmt: skip


class _AnatomyToTemplateInput(_StageInput):
    t1w = File(exists=True, mandatory=True)
    mask = File(exists=True, mandatory=True)
    forward = File(exists=True, mandatory=True)
    inverse = File(exists=True, mandatory=True)
    space = Str(mandatory=True)
    spatial_reference = Str(mandatory=True)
    with_atlas = traits.Bool(True, usedefault=True)


class AnatomyToTemplate(_Stage):
    """T1w and mask on the template grid, the atlas on the T1w grid."""

    input_spec = _AnatomyToTemplateInput
    output_spec = _ManifestOutput

    def _make(self, folder: Path, origin: Origin) -> stages.Made:
        i = self.inputs
        return stages.resample_template(
            folder, origin, self._path("t1w"), self._path("mask"), OutputSpace.parse(i.space),
            self._path("forward"), self._path("inverse"), i.spatial_reference, i.with_atlas,
        )  # fmt: skip


class _MapToTemplateInput(_StageInput):
    r2star = File(exists=True, mandatory=True)
    to_t1w = File(exists=True, mandatory=True)
    to_template = File(exists=True, mandatory=True)
    space = Str(mandatory=True)


class MapToTemplate(_Stage):
    """R2* on the template grid, in one interpolation from native."""

    input_spec = _MapToTemplateInput
    output_spec = _ManifestOutput

    def _make(self, folder: Path, origin: Origin) -> stages.Made:
        return stages.resample_map_to_template(
            folder, origin, self._path("r2star"), OutputSpace.parse(self.inputs.space),
            *self._paths("to_t1w", "to_template"),
        )  # fmt: skip


class _ExplainInput(_StageInput):
    map_file = File(exists=True, mandatory=True)
    mask = File(exists=True, mandatory=True)
    to_template = File(exists=True, mandatory=True)
    model = traits.Str(mandatory=True)
    template = Str(mandatory=True)
    methods = traits.List(Str, mandatory=True)
    target = Str("", usedefault=True)
    device = Str("cpu", usedefault=True)
    use_gpu = traits.Bool(False, usedefault=True, nohash=True, desc="for the scheduler")


class ExplainScan(_Stage):
    """Prediction and relevance by a trained model."""

    input_spec = _ExplainInput
    output_spec = _ManifestOutput

    def _make(self, folder: Path, origin: Origin) -> stages.Made:
        from bids_xai.interfaces.model_stage import model_products

        i = self.inputs
        return model_products(
            folder, origin, *self._paths("map_file", "mask", "to_template"),
            model_path=Path(i.model), template=i.template, methods=tuple(i.methods),
            target=i.target or None, device=i.device,
        )  # fmt: skip


class _PublishInput(BaseInterfaceInputSpec):
    manifests = InputMultiPath(File(exists=True), mandatory=True)
    output_dir = traits.Str(mandatory=True)
    stamp = traits.Str(mandatory=True)
    digest = traits.Str(mandatory=True)


class _PublishOutput(TraitedSpec):
    stamp = File(exists=True)


class Publish(SimpleInterface):
    """Gives every product of a session its final name, then writes the stamp."""

    input_spec = _PublishInput
    output_spec = _PublishOutput
    _always_run = True

    def _run_interface(self, runtime: Any) -> Any:
        root = Path(self.inputs.output_dir)
        written = [p for m in self.inputs.manifests for p in publish(Path(m), root)]
        stamp = write_stamp(Path(self.inputs.stamp), self.inputs.digest, root, written)
        self._results = {"stamp": str(stamp)}
        return runtime
