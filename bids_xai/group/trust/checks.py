"""The units of the step ``trust``: what each check of a network depends on, and its lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from bids_xai.group.context import LOG
from bids_xai.group.trust.heatmaps import ExplainedSplit, heatmap_of
from bids_xai.group.trust.inputs import CheckedNetwork, TrustInputs
from bids_xai.group.trust.localization import localizations
from bids_xai.group.trust.truth import located_maps, truth_files
from bids_xai.group.units import Unit
from bids_xai.models.card import model_files
from bids_xai.tables.predictions import PREDICTIONS
from bids_xai.tables.table import Table
from bids_xai.tables.trust import (
    AOPC,
    CONSERVATION,
    LOCALIZATION,
    RANDOMIZATION,
    LayerSum,
    LocalizationRow,
    PerturbationStep,
    RandomizedLayer,
)

if TYPE_CHECKING:
    from bids_xai.group.trust.network import ExplainedNetwork

FOLDER = "quality"
"""Where the tables lie in the folder of the study."""
_OF_CURVES = (
    "cube_mm",
    "stride_mm",
    "placement",
    "ordering",
    "steps",
    "cubes_per_step",
    "random_orders",
    "noise_draws",
)
Row = TypeVar("Row")


@dataclass(frozen=True)
class NetworkCheck(Generic[Row]):
    """The lines of a check that belong to one network; ``compute`` makes them."""

    table: Table[Row]
    unit: Unit
    compute: Callable[[], Iterable[Row]]


def loader(inputs: TrustInputs, network: CheckedNetwork) -> Callable[[], ExplainedNetwork]:
    """Return what loads a network, once, where a check needs it."""

    @cache
    def load() -> ExplainedNetwork:
        import torch

        from bids_xai.group.trust.network import ExplainedNetwork

        torch.set_num_threads(inputs.n_threads)
        return ExplainedNetwork(
            network.model_folder, inputs.study_folder, network.scans, inputs.grid, inputs.device
        )

    return load


def curves_check(
    inputs: TrustInputs, network: CheckedNetwork, load: Callable[[], ExplainedNetwork]
) -> NetworkCheck[PerturbationStep] | None:
    """Return the perturbation curves of a network, ``None`` where no scan is perturbed."""
    split, quality = network.perturbed, inputs.quality
    if not split.heatmaps:
        return None
    options = {name: getattr(quality, name) for name in _OF_CURVES}
    unit = _unit(inputs, AOPC, split, _input_files(inputs, network, split), options)

    def steps() -> Iterator[PerturbationStep]:
        from bids_xai.group.trust.perturbation import perturbation_steps

        LOG.info("perturbing: %d scans of %s", len(split.heatmaps), network.name)
        return perturbation_steps(load(), split, quality, inputs.seed)

    return NetworkCheck(AOPC, unit, steps)


def randomization_check(
    inputs: TrustInputs, network: CheckedNetwork, load: Callable[[], ExplainedNetwork]
) -> NetworkCheck[RandomizedLayer] | None:
    """Return the maps of a network with random weights, ``None`` where none is asked for."""
    split, left_out = network.randomised, inputs.quality.randomization_without
    if not split.heatmaps:
        return None
    files = _input_files(inputs, network, split)
    unit = _unit(inputs, RANDOMIZATION, split, files, {"without": left_out})

    def layers() -> Iterator[RandomizedLayer]:
        from bids_xai.group.trust.randomization import randomized_layers

        LOG.info("weight randomisation: %d scans of %s", len(split.heatmaps), network.name)
        return randomized_layers(load(), split, inputs.requests, inputs.seed, left_out)

    return NetworkCheck(RANDOMIZATION, unit, layers)


def sums_check(
    inputs: TrustInputs, network: CheckedNetwork, load: Callable[[], ExplainedNetwork]
) -> NetworkCheck[LayerSum]:
    """Return the sums of all heatmaps of a network, and of some those of its layers."""
    some = network.randomised
    files = _input_files(inputs, network, some)
    unit = _unit(inputs, CONSERVATION, network.split, files, {"layers_of": some.scans})

    def sums() -> Iterator[LayerSum]:
        from bids_xai.group.trust.conservation import layer_sums, map_sums

        yield from map_sums(network.split, inputs.requests, inputs.target)
        if some.heatmaps:
            yield from layer_sums(load(), some, inputs.requests)

    return NetworkCheck(CONSERVATION, unit, sums)


def localization_check(
    inputs: TrustInputs, network: CheckedNetwork
) -> NetworkCheck[LocalizationRow] | None:
    """Return how heatmaps find the true regions, ``None`` where no scan has any."""
    truth, split, tolerance_mm = inputs.truth, network.split, inputs.quality.tolerance_mm
    if truth is None:
        return None
    files = [
        file
        for scan in split.heatmaps
        for parts in truth_files(truth, network.scans[scan], network.template).values()
        for file in parts
    ]
    if not files:
        LOG.warning(
            "no true region of any scan of configuration %s in %s", split.configuration, truth
        )
        return None
    files += _heatmap_files(inputs, split)
    unit = _unit(inputs, LOCALIZATION, split, files, {"tolerance_mm": tolerance_mm})

    def locations() -> Iterator[LocalizationRow]:
        maps = located_maps(split, network.scans, truth, inputs.study_folder, network.template)
        return localizations(maps, tolerance_mm)

    return NetworkCheck(LOCALIZATION, unit, locations)


def _unit(
    inputs: TrustInputs,
    table: Table[Any],
    split: ExplainedSplit,
    files: Sequence[Path],
    options: Mapping[str, Any],
) -> Unit:
    check = table.file.removesuffix(".tsv")
    folder = inputs.study_folder / FOLDER / f"configuration-{split.configuration}"
    return Unit(
        title=f"{check} of {split.configuration}, split {split.split}",
        stamp=folder / f"split-{split.split}" / f"{check}_stamp.json",
        inputs=tuple(files),
        options={
            "rows": [PREDICTIONS.cells(prediction) for prediction in split.predictions],
            "seed": inputs.seed,
            "attribution": asdict(inputs.attribution),
            "options": options,
        },
        step="trust",
    )


def _input_files(inputs: TrustInputs, network: CheckedNetwork, split: ExplainedSplit) -> list[Path]:
    """The weights, the inputs and the heatmaps of the scans."""
    scans = [network.scans[name] for name in split.heatmaps]
    files = [file for scan in scans for file in (scan.map_file, scan.mask_file)]
    return [*model_files(network.model_folder), *files, *_heatmap_files(inputs, split)]


def _heatmap_files(inputs: TrustInputs, split: ExplainedSplit) -> list[Path]:
    return [inputs.study_folder / heatmap_of(prediction) for prediction in split.predictions]
