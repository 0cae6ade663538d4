"""Sums of relevance: what a heatmap should sum to, what it does, and where the rest is lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from bids_xai.attribution.lrp import conservation, recipe_of
from bids_xai.attribution.request import WHOLE, Request
from bids_xai.errors import UsageError
from bids_xai.group.trust.scans import SCAN, SCAN_COLUMNS, Explained, Job, Row, about
from bids_xai.studies.tables import Target

MAP = "map"
CONSERVATION_COLUMNS = SCAN_COLUMNS | {
    "layer": f"{MAP}: the heatmap as written. Of some scans also output, where relevance starts, "
    "and the input of each layer by its position in the chain and kind",
    "relevance_sum": "Sum of relevance there",
    "start": "Sum of relevance at the output: 1, a probability or a logit; n/a where not known",
    "share": "relevance_sum / start; n/a where start is not known or nearly 0",
    **SCAN,
}
_NEARLY_ZERO = 1e-6


def map_rows(job: Job, ways: Mapping[str, Request], target: Target) -> list[dict[str, Any]]:
    """The sum of every heatmap of a job, from ``predictions.tsv``, and what it started from."""
    return [
        _row(
            row, MAP, _number(row["relevance_sum"]), expected_sum(row, ways[row["method"]], target)
        )
        for row in job.every_row
    ]


def layer_rows(network: Explained, job: Job, ways: Mapping[str, Request]) -> list[dict[str, Any]]:
    """The sums on the way through the network, of methods that hand relevance down by layers."""
    rows: list[dict[str, Any]] = []
    for name, mine in job.rows.items():
        opened = network.open(name)
        batch = torch.from_numpy(opened.volume.data)[None, None].to(network.device)
        for row in mine:
            way = ways[row["method"]]
            if not propagates(way):
                continue
            said = row["relevance_class"]
            index = network.card.classes.index(network.card.positive if said == WHOLE else said)
            found = conservation(way.method, network.model, batch, index, **way.options)
            start = float(found[0].sums[0])
            rows += [_row(row, layer, float(sums[0]), start) for layer, sums in found]
    return rows


def propagates(way: Request) -> bool:
    """Whether a method hands relevance down layer by layer, so that sums can be followed."""
    try:
        return recipe_of(way.method, **way.options).engine == "own"
    except UsageError:
        return False


def expected_sum(row: Row, way: Request, target: Target) -> float | None:
    """What relevance of a row starts from, ``None`` where the tables do not tell.

    Only methods that hand relevance down sum to anything known.
    """
    if not propagates(way) or way.start == "logit":
        return None
    if way.start == "softmax":
        return 1.0
    said = row["relevance_class"]
    if len(target.names) > 2:
        return _number(row[f"probability_{said}"])
    positive = _number(row["probability"])
    return positive if said == target.positive_name else 1 - positive


def _row(row: Row, layer: str, total: float, start: float | None) -> dict[str, Any]:
    known = start is not None and abs(start) > _NEARLY_ZERO
    share = total / start if start is not None and known else None
    return {**about(row), "layer": layer, "relevance_sum": total, "start": start, "share": share}


def _number(text: str) -> float:
    return float("nan") if text == "n/a" else float(text)
