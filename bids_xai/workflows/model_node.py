"""Prediction and relevance by a trained model as a nipype interface."""

from __future__ import annotations

from pathlib import Path

from nipype.interfaces.base import File, Str, traits

from bids_xai.models.card import model_files
from bids_xai.stages.products import Origin, StageFiles
from bids_xai.workflows.stage_node import ManifestOutput, Stage, StageInput


class _ExplainInput(StageInput):
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


class ExplainScan(Stage):
    """Prediction and relevance by a trained model."""

    input_spec = _ExplainInput
    output_spec = ManifestOutput

    def input_files(self) -> list[Path]:
        """All files that the stage reads."""
        return [*super().input_files(), *model_files(self.inputs.model)]

    def run_stage(self, folder: Path, origin: Origin) -> StageFiles:
        from bids_xai.stages.model import model_products

        i = self.inputs
        return model_products(
            folder,
            origin,
            *self.paths("map_file", "mask"),
            to_template=self.optional_path("to_template"),
            model_path=Path(i.model),
            template=i.template,
            methods=tuple(i.methods),
            target=i.target or None,
            device=i.device,
            renormalise=i.renormalise,
            atlases=tuple(i.atlases),
        )
