"""The randomisation check: heatmaps of networks whose layers have lost what they learnt."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from bids_xai.attribution.randomization import MODES, randomised, stages
from bids_xai.attribution.request import Request
from bids_xai.core.similarity import compare
from bids_xai.group.trust.scans import SCAN, SCAN_COLUMNS, Explained, Job, about
from bids_xai.models import build
from bids_xai.runtime.progress import Progress

RANDOMIZATION_COLUMNS = SCAN_COLUMNS | {
    "mode": "cascading: all layers from the output down to this one are random; independent: this "
    "one alone",
    "layer": "Position in the network's chain and kind of the layer; the first is next to the "
    "output",
    "layers_random": "Number of layers that are random",
    "ssim": "Structural similarity with the original map, over voxels whose input is not 0",
    "spearman": "Rank correlation with the original map, over the same voxels",
    "spearman_abs": "Rank correlation of absolute values",
    **SCAN,
}
_SEED_STEP = 7919
"""Keeps the untrained network away from the seeds that trainings start from."""


def randomization_rows(
    network: Explained,
    job: Job,
    ways: Mapping[str, Request],
    seed: int,
    without: Collection[str] = (),
) -> list[dict[str, Any]]:
    """How alike the maps of all scans of the job stay while layers are made random.

    without : methods that are left out
    """
    card = network.card
    untrained = build(
        card.architecture,
        card.input_shape,
        len(card.classes),
        channels=card.channels,
        seed=_SEED_STEP + seed,
        **card.options,
    ).to(network.device)
    todo = [(mode, stage) for mode in MODES for stage in stages(network.model, mode)]
    checked = {
        name: [row for row in mine if ways[row["method"]].method not in without]
        for name, mine in job.rows.items()
    }
    progress = Progress("heatmaps of random networks", len(todo) * sum(map(len, checked.values())))
    rows: list[dict[str, Any]] = []
    for name, mine in checked.items():
        if not mine:
            continue
        opened = network.open(name)
        originals = [network.relevance(row) for row in mine]
        within = opened.volume.data != 0
        for mode, (layer, layers) in todo:
            with randomised(network.model, untrained, layers):
                for row, original in zip(mine, originals, strict=True):
                    found = network.explain(name, opened, ways[row["method"]], row)
                    alike = compare(original, found, within)
                    rows.append(
                        {
                            **about(row),
                            "mode": mode,
                            "layer": layer.name,
                            "layers_random": len(layers),
                            "ssim": alike.ssim,
                            "spearman": alike.spearman,
                            "spearman_abs": alike.spearman_abs,
                        }
                    )
                    progress.step()
    return rows
