"""Tables of the checks of heatmaps."""

from __future__ import annotations

from dataclasses import dataclass

from bids_xai.tables.table import Table, column

MAP = "map"
"""Layer of a line about the heatmap as it was written."""
_SCAN = "Scan, with acquisition and run where the dataset has them"


@dataclass(frozen=True, kw_only=True)
class CheckedMap:
    """The heatmap that a line of a check is about."""

    configuration: str = column("Configuration of the study")
    split: int = column("Number of the split, from 0")
    method: str = column("Attribution method, or the study's name of a variant")
    participant_id: str = column("Participant")
    session_id: str | None = column("Session, n/a where the dataset has none")


@dataclass(frozen=True, kw_only=True)
class PerturbationStep(CheckedMap):
    """The fall of the probability after so many cubes."""

    order: str = column("morf: cubes with most relevance first; lerf: with least first; random")
    step: int = column("Number of steps done (L); 0 is the unchanged scan")
    aopc: float | None = column(
        "Mean over steps 0 to L of the drop in probability of the predicted "
        "class, mean over repetitions"
    )
    sd: float | None = column(
        "Standard deviation of aopc over repetitions (random orders, draws of noise); n/a for one"
    )
    drop: float | None = column(
        "Drop in probability of the predicted class at this step, mean over repetitions"
    )
    scan: str = column(_SCAN)


@dataclass(frozen=True, kw_only=True)
class RandomizedLayer(CheckedMap):
    """How like the heatmap is to that of a network with random layers."""

    mode: str = column(
        "cascading: all layers from the output down to this one are random; "
        "independent: only this one"
    )
    layer: str = column(
        "Position in the network's chain and kind of the layer; the first is next to the output"
    )
    layers_random: int = column("Number of layers that are random")
    ssim: float | None = column(
        "Structural similarity with the original map, over voxels whose input is not 0"
    )
    spearman: float | None = column("Rank correlation with the original map, over the same voxels")
    spearman_abs: float | None = column("Rank correlation of absolute values")
    scan: str = column(_SCAN)


@dataclass(frozen=True, kw_only=True)
class LocalizationRow(CheckedMap):
    """Whether the relevance lies in the true region."""

    outcome: str = column("TP, FP, TN or FN")
    region: str = column("True region, by the label or desc of its file")
    mass_accuracy: float | None = column(
        "Share of the positive relevance that lies in the region; n/a, like the other"
        " two measures, for a map without any"
    )
    rank_accuracy: float | None = column(
        "Share of the K highest voxels that lie in the region, K being its size"
    )
    pointing_game: float | None = column("1 where the highest voxel lies in the region, else 0")
    n_voxels: int = column("Size K of the region on the network's grid")
    chance: float | None = column(
        "Share of the grid that the region makes up: the value for a constant map"
    )
    scan: str = column(_SCAN)


@dataclass(frozen=True, kw_only=True)
class LayerSum(CheckedMap):
    """The sum of relevance at a layer."""

    layer: str = column(
        f"{MAP}: the heatmap as written. For some scans also output, where "
        "relevance starts, and the input of each layer by its position in the chain and kind"
    )
    relevance_sum: float | None = column("Sum of relevance there")
    start: float | None = column(
        "Sum of relevance at the output: 1, a probability or a logit; n/a where not known"
    )
    share: float | None = column("relevance_sum / start; n/a where start is not known or nearly 0")
    scan: str = column(_SCAN)


@dataclass(frozen=True, kw_only=True)
class CheckVerdict:
    """A check of a configuration, in one word and in a sentence."""

    configuration: str = column("Configuration of the study")
    split: int | None = column("Number of the split, from 0; n/a for all together", default=None)
    method: str | None = column("Attribution method; n/a for a check of the network", default=None)
    check: str = column("network, aopc, randomization, localization or conservation")
    region: str | None = column("True region, for localization", default=None)
    n: int = column("Participants (network: scans)")
    value: float | None = column(
        "network: range of the probabilities over scans; aopc: AOPC of morf; "
        "randomization: rank correlation of absolute values with all layers random; "
        "localization: mass accuracy; conservation: share of the relevance that "
        "is conserved"
    )
    passed: bool | None = column("true, false, or n/a where undecided")
    verdict: str = column("The same in words")


AOPC = Table("aopc.tsv", PerturbationStep, "trust")
RANDOMIZATION = Table("randomization.tsv", RandomizedLayer, "trust")
LOCALIZATION = Table("localization.tsv", LocalizationRow, "trust")
CONSERVATION = Table("conservation.tsv", LayerSum, "trust")
VERDICTS = Table("summary.tsv", CheckVerdict, "trust")
