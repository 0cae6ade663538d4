"""Heatmaps of a test set: made one at a time, written on the grids of network and template."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_xai.attribution import options_record
from bids_xai.attribution.request import WHOLE, Request
from bids_xai.bids.files import write_json, write_nifti
from bids_xai.bids.images import Volume
from bids_xai.bids.names import label_of
from bids_xai.group.maps import labels_over
from bids_xai.group.outcomes import prediction
from bids_xai.group.scans import Scan
from bids_xai.models.card import ModelCard
from bids_xai.settings import RELEVANCE_RESOLUTION
from bids_xai.stages.explain import (
    Explanation,
    explain_scan,
    model_label,
    open_scan,
    warp_relevance,
)
from bids_xai.stages.network_grid import InputRule
from bids_xai.studies.tables import Target
from bids_xai.tables.predictions import Prediction
from bids_xai.templates.grid import TemplateGrid

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class HeatmapOptions:
    """How heatmaps are made.

    requests : one heatmap each of every scan; target : the classes of the study
    grid : of the template, None where there is none
    device : where the network runs; renormalise : keep the sum of relevance in the warp
    """

    requests: tuple[Request, ...]
    target: Target
    grid: TemplateGrid | None
    device: str
    renormalise: bool

    @property
    def template(self) -> str:
        """Name of the template that heatmaps are warped to; empty where there is none."""
        return self.grid.space.template if self.grid else ""


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network with its card and how maps become its input.

    configuration, split : of the study, that it was trained for
    """

    configuration: str
    split: int
    model: nn.Module
    card: ModelCard
    rule: InputRule


@dataclass(frozen=True)
class Heatmap:
    """A scan explained.

    prediction : what its network says of it, with all numbers and without the files
    relevance : on the network's grid; warped : on the template grid, None without a template
    """

    scan: Scan
    request: Request
    prediction: Prediction
    relevance: Volume
    warped: Volume | None


def heatmaps(
    network: TrainedNetwork, scans: Sequence[Scan], options: HeatmapOptions
) -> Iterator[Heatmap]:
    """Yield the heatmaps of some scans, scan by scan and request by request.

    Raises :class:`UsageError` for a request that does not fit the network, and what
    :func:`bids_xai.stages.explain.open_scan` and :func:`bids_xai.stages.explain.explain_scan`
    raise.
    """
    model, card, device = network.model, network.card, options.device
    for request in options.requests:
        request.check(card.classes)
    for scan in scans:
        opened = open_scan(model, card, network.rule, scan.map_file, scan.mask_file, device)
        labels = labels_over(scan, options.grid)
        predicted = prediction(
            options.target, network.configuration, network.split, scan, opened.probabilities
        )
        for request in options.requests:
            explanation = explain_scan(
                model,
                card,
                opened,
                request,
                device=device,
                true_class=scan.class_name,
                labels=labels,
            )
            yield _heatmap(scan, request, predicted, explanation, options)


def _heatmap(
    scan: Scan,
    request: Request,
    predicted: Prediction,
    explanation: Explanation,
    options: HeatmapOptions,
) -> Heatmap:
    warped = None
    if options.grid is not None:
        warped = warp_relevance(
            explanation.relevance, options.grid, scan.to_template, renormalise=options.renormalise
        )
    explained = replace(
        predicted,
        method=request.name,
        relevance_class=explanation.class_name,
        relevance_sum=explanation.total,
        inner_mask_share=explanation.inner_share,
        floor_share=explanation.floor_share,
        warped_sum=None if warped is None else float(warped.data.sum(dtype="float64")),
    )
    return Heatmap(scan, request, explained, explanation.relevance, warped)


def write_heatmap(
    heatmap: Heatmap, card: ModelCard, folder: Path, root: Path, template: str
) -> tuple[Prediction, list[Path]]:
    """Write a heatmap with its JSON, on each grid it is on.

    folder : that gets the files; root : what the paths of the table are relative to
    template : name of the template that warped heatmaps lie on
    Return the line of ``predictions.tsv``, and the files.
    """
    file = _file(heatmap, card, folder, card.space)
    written = _write_volume(file, heatmap.relevance, heatmap, card, "network input")
    line = replace(heatmap.prediction, heatmap=file.relative_to(root))
    if heatmap.warped is not None:
        file = _file(heatmap, card, folder, f"{template}_res-{RELEVANCE_RESOLUTION}")
        written += _write_volume(file, heatmap.warped, heatmap, card, "template")
        line = replace(line, warped_heatmap=file.relative_to(root))
    return line, written


def _file(heatmap: Heatmap, card: ModelCard, folder: Path, space: str) -> Path:
    label = label_of(heatmap.prediction.relevance_class or "")
    tail = f"model-{model_label(card)}_label-{label}_desc-{heatmap.request.label}_relmap"
    return folder / f"{heatmap.scan.name}_space-{space}_{tail}.nii.gz"


def _write_volume(
    file: Path, volume: Volume, heatmap: Heatmap, card: ModelCard, grid: str
) -> list[Path]:
    sidecar = file.with_name(f"{file.name.removesuffix('.nii.gz')}.json")
    return [
        write_nifti(file, volume.data, volume.affine),
        write_json(sidecar, _sidecar(heatmap, card, grid)),
    ]


def _sidecar(heatmap: Heatmap, card: ModelCard, grid: str) -> dict[str, Any]:
    request, explained = heatmap.request, heatmap.prediction
    class_name = explained.relevance_class or WHOLE
    index = 0 if class_name == WHOLE else card.classes.index(class_name)
    return {
        "Method": request.method,
        "Start": request.start,
        "Class": class_name,
        "Options": options_record(request.method, index, **request.options),
        "Configuration": card.configuration,
        "Split": card.split,
        "Grid": grid,
        "SumBeforeWarp": explained.relevance_sum,
        "SumAfterWarp": explained.warped_sum,
        "InnerMaskShare": explained.inner_mask_share,
        **({} if explained.floor_share is None else {"FloorShare": explained.floor_share}),
    }
