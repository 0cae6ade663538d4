"""What the step ``spray`` reads: heatmaps with their predictions and scans, and its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bids_xai.group.context import Scan
from bids_xai.group.spray.covariate_sources import CovariateSources
from bids_xai.group.spray.input_maps import InputSource
from bids_xai.studies.tables import Spray, Target
from bids_xai.tables.predictions import Prediction

NETWORK, TEMPLATE = "T1w", "template"
"""The spaces of an analysis: the network's grid, and that of the template."""


@dataclass(frozen=True)
class ConfigurationMaps:
    """The heatmaps of a configuration.

    predictions, scans : (n) of each heatmap
    files : space → (n) heatmaps, None for one that is not there
    inputs : where the maps lie that the configuration's networks see
    """

    configuration: str
    predictions: tuple[Prediction, ...]
    scans: tuple[Scan, ...]
    files: Mapping[str, tuple[Path | None, ...]]
    inputs: InputSource

    def complete(self, space: str) -> list[Path]:
        """Return the heatmaps in a space; none where a single one is not there."""
        files = [file for file in self.files[space] if file is not None]
        return files if len(files) == len(self.scans) else []

    def n_missing(self, space: str) -> int:
        """Return how many heatmaps are not there in a space."""
        return sum(file is None for file in self.files[space])

    def spaces(self, spaces: tuple[str, ...]) -> list[str]:
        """Return those of the spaces to analyse; T1w is first, it shows where relevance lies."""
        return sorted(space for space in spaces if not self.n_missing(space))


@dataclass(frozen=True)
class SprayInputs:
    """What the step works on.

    study : its name; method : of the heatmaps; device : as ``--device`` gives it
    template : its name, empty where there is none
    tables : files besides the images that the results depend on
    """

    study: str
    target: Target
    method: str
    options: Spray
    seed: int
    device: str
    template: str
    configurations: tuple[ConfigurationMaps, ...]
    covariates: CovariateSources
    tables: tuple[Path, ...]

    @property
    def scans(self) -> tuple[Scan, ...]:
        """The scans of all heatmaps, each once."""
        return self.covariates.scans

    @property
    def n_analyses(self) -> int:
        """How many analyses there are, each of a configuration in a space."""
        return sum(len(maps.spaces(self.options.spaces)) for maps in self.configurations)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that the results depend on."""
        heatmaps = [
            file
            for maps in self.configurations
            for files in maps.files.values()
            for file in files
            if file is not None
        ]
        images = [file for scan in self.scans for file in (scan.map_file, scan.mask_file)]
        return (*heatmaps, *images, *self.tables, *self.covariates.files())

    @property
    def plain_options(self) -> dict[str, Any]:
        """What decides on the results besides files, as JSON can hold it."""
        return {
            "spray": asdict(self.options),
            "target": asdict(self.target),
            "seed": self.seed,
            "template": self.template,
        }
