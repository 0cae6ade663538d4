"""The stages on the T1w image as nipype interfaces."""

from __future__ import annotations

from pathlib import Path

from nipype.interfaces.base import File, InputMultiPath, Str, traits

from bids_xai.settings import OutputSpace
from bids_xai.stages import anatomy as anatomy_stages
from bids_xai.stages.products import BrainFiles, Origin, StageFiles, TransformFiles
from bids_xai.workflows.stage_node import ManifestOutput, Stage, StageInput, TransformOutput


class _BrainInput(StageInput):
    t1w = File(exists=True, mandatory=True)
    given_mask = File(exists=True)
    model = File(exists=True, desc="of SynthStrip")
    seed = traits.Int(0, usedefault=True)
    sloppy = traits.Bool(False, usedefault=True)


class _BrainOutput(ManifestOutput):
    preproc = File(exists=True)
    mask = File(exists=True)


class ExtractBrain(Stage):
    """Bias-corrected T1w and brain mask."""

    input_spec = _BrainInput
    output_spec = _BrainOutput

    def run_stage(self, folder: Path, origin: Origin) -> BrainFiles:
        i = self.inputs
        return anatomy_stages.brain(
            folder,
            origin,
            self.path("t1w"),
            self.optional_path("given_mask"),
            synthstrip=self.optional_path("model"),
            seed=i.seed,
            sloppy=i.sloppy,
        )


class _NormaliseInput(StageInput):
    t1w = File(exists=True, mandatory=True)
    mask = File(exists=True, mandatory=True)
    space = Str(mandatory=True)
    how = traits.Enum("nonlinear", "linear", "none", usedefault=True)
    engine = traits.Enum("ants", "greedy", usedefault=True)
    seed = traits.Int(0, usedefault=True)
    sloppy = traits.Bool(False, usedefault=True)


class Normalise(Stage):
    """Transform from T1w to the template."""

    input_spec = _NormaliseInput
    output_spec = TransformOutput

    def run_stage(self, folder: Path, origin: Origin) -> TransformFiles:
        i = self.inputs
        t1w, mask = self.paths("t1w", "mask")
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


class _AnatomyToTemplateInput(StageInput):
    t1w = File(exists=True, mandatory=True)
    mask = File(exists=True, mandatory=True)
    forward = File(exists=True, mandatory=True)
    space = Str(mandatory=True)


class AnatomyToTemplate(Stage):
    """T1w and mask on the template, and how well they fit."""

    input_spec = _AnatomyToTemplateInput
    output_spec = ManifestOutput

    def run_stage(self, folder: Path, origin: Origin) -> StageFiles:
        t1w, mask, forward = self.paths("t1w", "mask", "forward")
        space = OutputSpace.parse(self.inputs.space)
        return anatomy_stages.to_template(folder, origin, t1w, mask, space, forward)


class _AtlasInput(StageInput):
    t1w = File(exists=True, mandatory=True)
    inverse = File(exists=True, mandatory=True)
    space = Str(mandatory=True)
    atlas = Str(mandatory=True, desc="NAME or NAME=dseg.nii.gz,labels.tsv")
    spatial_reference = Str(mandatory=True)


class AtlasToT1w(Stage):
    """An atlas of the template on the T1w grid."""

    input_spec = _AtlasInput
    output_spec = ManifestOutput

    def run_stage(self, folder: Path, origin: Origin) -> StageFiles:
        i = self.inputs
        t1w, inverse = self.paths("t1w", "inverse")
        return anatomy_stages.atlas_to_t1w(
            folder, origin, t1w, inverse, OutputSpace.parse(i.space), i.atlas, i.spatial_reference
        )


class _LesionsInput(StageInput):
    lesion_mask = File(exists=True, mandatory=True)
    t1w = File(exists=True, mandatory=True)
    mask = File(exists=True, mandatory=True)
    spaces = traits.List(Str, mandatory=True)
    forwards = InputMultiPath(File(exists=True), mandatory=True)
    spatial_reference = Str(mandatory=True)


class CarryLesions(Stage):
    """A lesion mask on all grids, and T1w with its lesions filled."""

    input_spec = _LesionsInput
    output_spec = ManifestOutput

    def run_stage(self, folder: Path, origin: Origin) -> StageFiles:
        i = self.inputs
        spaces = [OutputSpace.parse(space) for space in i.spaces]
        forwards = [Path(path) for path in i.forwards]
        lesion_mask, t1w, mask = self.paths("lesion_mask", "t1w", "mask")
        return anatomy_stages.lesions(
            folder, origin, lesion_mask, t1w, mask, spaces, forwards, i.spatial_reference
        )
