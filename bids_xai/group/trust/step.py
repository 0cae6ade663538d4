"""Step ``trust``: can the heatmaps be trusted? Perturbation, random weights, truth, sums.

A unit of work is a check of one trained network; its lines stay in
``quality/configuration-<c>/split-<k>/``, and the tables of the study are put together from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from bids_xai.group.context import LOG, GroupContext
from bids_xai.group.trust.checks import (
    FOLDER,
    NetworkCheck,
    curves_check,
    loader,
    localization_check,
    randomization_check,
    sums_check,
)
from bids_xai.group.trust.inputs import TrustInputs, read
from bids_xai.group.trust.verdicts import (
    aopc_verdicts,
    conservation_verdicts,
    localization_verdicts,
    network_verdicts,
    randomization_verdicts,
)
from bids_xai.group.units import Units
from bids_xai.runtime.progress import Progress
from bids_xai.tables.trust import (
    AOPC,
    CONSERVATION,
    LOCALIZATION,
    RANDOMIZATION,
    VERDICTS,
    CheckVerdict,
    LayerSum,
    LocalizationRow,
    PerturbationStep,
    RandomizedLayer,
)

Row = TypeVar("Row")


@dataclass(frozen=True)
class TrustResults:
    """The lines of all tables of the step."""

    curves: list[PerturbationStep] = field(default_factory=list)
    random_layers: list[RandomizedLayer] = field(default_factory=list)
    locations: list[LocalizationRow] = field(default_factory=list)
    sums: list[LayerSum] = field(default_factory=list)
    verdicts: list[CheckVerdict] = field(default_factory=list)


def run(context: GroupContext) -> list[Path]:
    """Check the heatmaps; write ``quality/`` with a table a check and ``summary.tsv``.

    Raises :class:`NoInputError` where the heatmaps are not made yet.
    """
    inputs = read(context)
    results = compute(inputs, Units(context.folder))
    _log(results.verdicts)
    return write(results, context.folder / FOLDER)


def compute(inputs: TrustInputs, units: Units) -> TrustResults:
    """Do the checks of every network that are not up to date, and judge all.

    units : keeps the lines of each check of each network, below the folder of the study
    """
    results = TrustResults()
    progress = Progress("networks", len(inputs.networks))
    for network in inputs.networks:
        load = loader(inputs, network)
        results.curves.extend(_lines(units, curves_check(inputs, network, load)))
        results.random_layers.extend(_lines(units, randomization_check(inputs, network, load)))
        results.sums.extend(_lines(units, sums_check(inputs, network, load)))
        results.locations.extend(_lines(units, localization_check(inputs, network)))
        progress.step()
    results.verdicts.extend(
        [
            *network_verdicts(inputs.predictions, inputs.target),
            *aopc_verdicts(results.curves),
            *randomization_verdicts(results.random_layers),
            *localization_verdicts(results.locations),
            *conservation_verdicts(results.sums),
        ]
    )
    return results


def write(results: TrustResults, folder: Path) -> list[Path]:
    """Write the tables of all networks into a folder; return them with their JSON."""
    return [
        *AOPC.write(folder / AOPC.file, results.curves),
        *RANDOMIZATION.write(folder / RANDOMIZATION.file, results.random_layers),
        *LOCALIZATION.write(folder / LOCALIZATION.file, results.locations),
        *CONSERVATION.write(folder / CONSERVATION.file, results.sums),
        *VERDICTS.write(folder / VERDICTS.file, results.verdicts),
    ]


def _lines(units: Units, check: NetworkCheck[Row] | None) -> list[Row]:
    """The lines of a check as its file holds them, made now where they are not up to date."""
    if check is None:
        return []
    file = check.unit.stamp.parent / check.table.file
    units.run(check.unit, lambda: check.table.write(file, list(check.compute())))
    return check.table.read(file)


def _log(verdicts: Sequence[CheckVerdict]) -> None:
    """Log which networks are constant, and how many checks passed."""
    for verdict in verdicts:
        if verdict.passed is False and verdict.check == "network":
            LOG.warning(
                "configuration %s, split %s: %s",
                verdict.configuration,
                verdict.split,
                verdict.verdict,
            )
    passed = [verdict.passed for verdict in verdicts]
    LOG.info(
        "checks of the heatmaps: %d passed, %d failed, %d undecided (summary.tsv)",
        passed.count(True),
        passed.count(False),
        passed.count(None),
    )
