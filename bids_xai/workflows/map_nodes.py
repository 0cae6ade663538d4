"""The stages on the images that networks see as nipype interfaces."""

from __future__ import annotations

from pathlib import Path

from nipype.interfaces.base import File, InputMultiPath, Str, traits

from bids_xai.settings import OutputSpace
from bids_xai.stages import maps as map_stages
from bids_xai.stages.maps import MapKind, UnbiasedFiles
from bids_xai.stages.products import Origin, StageFiles, TransformFiles
from bids_xai.stages.relaxometry import FitFiles, FitOptions, relaxometry
from bids_xai.workflows.stage_node import ManifestOutput, Stage, StageInput, TransformOutput


class _FitInput(StageInput):
    magnitude_files = InputMultiPath(File(exists=True), mandatory=True)
    echo_times_s = traits.List(traits.Float, mandatory=True)
    options = traits.Dict(mandatory=True, desc="fields of FitOptions")


class _FitOutput(ManifestOutput):
    r2star = File(exists=True)
    s0 = File(exists=True)


class FitR2Star(Stage):
    """R2* and S0 on the native grid."""

    input_spec = _FitInput
    output_spec = _FitOutput

    def run_stage(self, folder: Path, origin: Origin) -> FitFiles:
        files = [Path(file) for file in self.inputs.magnitude_files]
        times, options = self.inputs.echo_times_s, FitOptions(**self.inputs.options)
        return relaxometry(folder, origin, files, times, options)


class _UnbiasInput(StageInput):
    image = File(exists=True, mandatory=True)
    seed = traits.Int(0, usedefault=True)


class _UnbiasOutput(ManifestOutput):
    corrected = File(exists=True)


class Unbias(Stage):
    """N4 on a weighted image's own grid."""

    input_spec = _UnbiasInput
    output_spec = _UnbiasOutput

    def run_stage(self, folder: Path, origin: Origin) -> UnbiasedFiles:
        return map_stages.unbias(folder, origin, self.path("image"), seed=self.inputs.seed)


class _CoregisterInput(StageInput):
    image = File(exists=True, mandatory=True)
    t1w = File(exists=True, mandatory=True)
    mask = File(exists=True, mandatory=True)
    moving = Str(mandatory=True)
    kind = traits.Enum("Rigid", "Affine", usedefault=True)
    seed = traits.Int(0, usedefault=True)


class Coregister(Stage):
    """Transform of an image to T1w."""

    input_spec = _CoregisterInput
    output_spec = TransformOutput

    def run_stage(self, folder: Path, origin: Origin) -> TransformFiles:
        i = self.inputs
        image, t1w, mask = self.paths("image", "t1w", "mask")
        return map_stages.coregister(
            folder, origin, image, t1w, mask, moving=i.moving, kind=i.kind, seed=i.seed
        )


class _MapToT1wInput(StageInput):
    image = File(exists=True, mandatory=True)
    kind = traits.Dict(mandatory=True, desc="fields of MapKind")
    t1w = File(exists=True, mandatory=True)
    mask = File(exists=True, mandatory=True)
    forward = File(exists=True)
    inverse = File(exists=True)
    s0 = File(exists=True)
    spatial_reference = Str(mandatory=True)


class MapToT1w(Stage):
    """A map on the T1w grid, the mask on the map's own."""

    input_spec = _MapToT1wInput
    output_spec = ManifestOutput

    def run_stage(self, folder: Path, origin: Origin) -> StageFiles:
        image, t1w, mask = self.paths("image", "t1w", "mask")
        return map_stages.map_to_t1w(
            folder,
            origin,
            image,
            MapKind(**self.inputs.kind),
            t1w,
            mask,
            self.optional_path("forward"),
            self.optional_path("inverse"),
            self.inputs.spatial_reference,
            self.optional_path("s0"),
        )


class _MapToTemplateInput(StageInput):
    image = File(exists=True, mandatory=True)
    kind = traits.Dict(mandatory=True, desc="fields of MapKind")
    to_t1w = File(exists=True)
    to_template = File(exists=True, mandatory=True)
    space = Str(mandatory=True)


class MapToTemplate(Stage):
    """A map on the template grid, in one interpolation from native."""

    input_spec = _MapToTemplateInput
    output_spec = ManifestOutput

    def run_stage(self, folder: Path, origin: Origin) -> StageFiles:
        return map_stages.map_to_template(
            folder,
            origin,
            self.path("image"),
            MapKind(**self.inputs.kind),
            OutputSpace.parse(self.inputs.space),
            self.optional_path("to_t1w"),
            self.path("to_template"),
        )
