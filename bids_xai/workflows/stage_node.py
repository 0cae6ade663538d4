"""What all stages share as nipype interfaces: traits in, stage called, traits out."""

from __future__ import annotations

import logging
from itertools import chain
from pathlib import Path
from typing import Any

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    Str,
    TraitedSpec,
    isdefined,
    traits,
)

import bids_xai
from bids_xai.bids import run_log
from bids_xai.bids.integrity import check_intact
from bids_xai.errors import naming
from bids_xai.stages.products import Origin, StageFiles

LOG = logging.getLogger("bids_xai")


class StageInput(BaseInterfaceInputSpec):
    """What every stage is given."""

    entities = traits.Dict(mandatory=True, desc="entities of the products' names")
    sources = traits.List(Str, mandatory=True, desc="BIDS URIs of the sources")
    field_strength_t = traits.Float(0.0, usedefault=True, desc="tesla, 0 where it is not known")
    version = Str(bids_xai.__version__, usedefault=True, desc="a new version works anew")
    content = Str("", usedefault=True, desc="fingerprint of files that are named in other inputs")


class ManifestOutput(TraitedSpec):
    """Every stage leaves a list of its products."""

    manifest = File(exists=True, desc="list of products")


class TransformOutput(ManifestOutput):
    """A transform and its inverse."""

    forward = File(exists=True)
    inverse = File(exists=True)


class Stage(SimpleInterface):
    """Calls one stage with its inputs and hands on the files it names."""

    def _run_interface(self, runtime: Any) -> Any:
        origin = Origin(
            dict(self.inputs.entities),
            tuple(self.inputs.sources),
            self.inputs.field_strength_t or None,
        )
        run_log.join()  # nipype's own processes have not yet
        LOG.debug("step %s of %s", type(self).__name__, origin.sources[0])
        check_intact(self.input_files())
        with naming(origin.sources[0]):
            files = self.run_stage(Path(runtime.cwd), origin)
        self._results = {name: str(path) for name, path in vars(files).items()}
        return runtime

    def run_stage(self, folder: Path, origin: Origin) -> StageFiles:
        """Call the stage, which works in ``folder``; return the files that it leaves."""
        raise NotImplementedError

    def input_files(self) -> list[Path]:
        """All files that the stage reads."""
        values = self.inputs.get_traitsfree().values()
        texts = chain.from_iterable(v if isinstance(v, list) else [v] for v in values)
        paths = [Path(text) for text in texts if isinstance(text, str) and text.startswith("/")]
        return [path for path in paths if path.is_file()]

    def path(self, name: str) -> Path:
        """The file of an input."""
        return Path(getattr(self.inputs, name))

    def paths(self, *names: str) -> list[Path]:
        """The files of inputs."""
        return [self.path(name) for name in names]

    def optional_path(self, name: str) -> Path | None:
        """The file of an input that may be left out."""
        value = getattr(self.inputs, name)
        return Path(value) if isdefined(value) else None
