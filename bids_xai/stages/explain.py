"""Prediction and relevance of one scan by a trained model, on the network's and template's grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_xai.arrays import Floats64, Ints
from bids_xai.attribution import explain, method_options
from bids_xai.attribution.request import POSITIVE, PREDICTED, TRUE, WHOLE, Request
from bids_xai.bids.images import Volume, read_volume
from bids_xai.bids.names import label_of
from bids_xai.core.grids import nearest_on_grid, resample_grid
from bids_xai.core.regions.names import hemisphere_of
from bids_xai.core.regions.sums import region_relevance
from bids_xai.errors import BadDataError, NoInputError, UsageError
from bids_xai.runtime.device import saying_memory_is_short
from bids_xai.stages import ants_tools
from bids_xai.stages.network_grid import InputRule, load_network_input
from bids_xai.tables.atlas import RegionRow
from bids_xai.templates.grid import TemplateGrid
from bids_xai.templates.lookup import Atlas

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bids_xai.models.card import ModelCard


@dataclass(frozen=True)
class OpenScan:
    """A scan on the network's grid: its input and brain mask, and its probabilities.

    probabilities : (n_classes,), in the order of the card's classes
    """

    volume: Volume
    mask: Volume
    probabilities: Floats64


@dataclass(frozen=True)
class Explanation:
    """One scan explained in one way.

    relevance : on the network's grid, true affine
    class_name : the class explained, ``all`` for the full softmax vector
    total : sum of relevance; inner_share : sum of abs(relevance) within the brain mask / its sum
    floor_share : see :func:`floor_share`; None for methods without
    """

    relevance: Volume
    class_name: str
    total: float
    inner_share: float
    floor_share: float | None = None


def model_label(card: ModelCard) -> str:
    """Return the BIDS label of a model: study, configuration and split in one word."""
    return label_of(f"{card.study}{card.configuration}{card.split}")


def open_scan(
    model: nn.Module, card: ModelCard, rule: InputRule, map_file: Path, mask_file: Path, device: str
) -> OpenScan:
    """Return a scan as the network sees it, and what the network says of it.

    Raises the errors of :func:`load_network_input`; :class:`BadDataError` where memory is short,
    and for probabilities that are no finite numbers.
    """
    import torch

    volume, mask = load_network_input(map_file, mask_file, rule)
    with torch.no_grad(), saying_memory_is_short(1, device):
        logits = model.to(device).eval()(_batch(volume, device))
    probabilities = torch.softmax(logits, dim=1)[0].double().cpu().numpy()
    if not np.isfinite(probabilities).all():
        raise BadDataError(
            f"the model {model_label(card)} gives no finite probabilities for this scan",
            file=map_file,
            fix="check the values of the map, and the training of the model",
        )
    return OpenScan(volume, mask, probabilities)


def explain_scan(
    model: nn.Module,
    card: ModelCard,
    scan: OpenScan,
    request: Request,
    *,
    device: str = "cpu",
    true_class: str | None = None,
    labels: Path | Volume | None = None,
) -> Explanation:
    """Return the relevance of one scan.

    true_class : for the target ``true``
    labels : label image over the scan, or its file, for methods that work region by region

    Raises :class:`UsageError` for a class the model does not know, or a network that the method
    does not fit, :class:`NoInputError` where labels are needed and missing, and
    :class:`BadDataError` where memory is short.
    """
    index = class_index(card, request.target, scan.probabilities, true_class)
    options = {**_options_of_scan(request, card, scan, labels), **request.options}
    with saying_memory_is_short(1, device):
        batch = _batch(scan.volume, device)
        relevances = explain(request.method, model.to(device), batch, target=index, **options)
        relevance = relevances[0, 0].cpu().numpy()
        at_floor = floor_share(model, batch, request.method, index, options, relevances)
    size = np.abs(relevance).sum(dtype=np.float64)
    inner = np.abs(relevance[scan.mask.data > 0]).sum(dtype=np.float64)
    return Explanation(
        Volume(relevance, scan.volume.affine),
        WHOLE if request.start == "softmax" else card.classes[index],
        float(relevance.sum(dtype=np.float64)),
        float(inner / size) if size else float("nan"),
        at_floor,
    )


def floor_share(
    model: nn.Module,
    batch: Tensor,
    method: str,
    target: int,
    options: Mapping[str, Any],
    relevances: Tensor,
) -> float | None:
    """Return the share of relevance that z+ spreads evenly, since biases alone feed some units.

    A unit that is active by its bias, and has no positive input, has nothing to hand its relevance
    to: ``zero_division="clamp"`` gives all its inputs the same. The share is what is lost without
    (``zero``), in a second pass. None for methods that have no such choice.

    batch : (1, channels, x, y, z); relevances : of the method with ``clamp``; options : its own
    """
    division = {**method_options(method), **options}.get("zero_division")
    if division != "clamp":
        return None
    biases = (p for name, p in model.named_parameters() if name.rpartition(".")[2] == "bias")
    if not any(bool((bias > 0).any()) for bias in biases):
        return 0.0  # no unit is active by its bias
    without = explain(method, model, batch, target=target, **{**options, "zero_division": "zero"})
    total, rest = (float(part.double().sum()) for part in (relevances, without))
    return max(0.0, 1.0 - rest / total) if total else None


def depends_on_scan(request: Request) -> bool:
    """Tell whether a method takes an atlas or a mask, which every scan has its own of."""
    return bool(set(method_options(request.method)) & {"atlas", "mask"})


def _options_of_scan(
    request: Request, card: ModelCard, scan: OpenScan, labels: Path | Volume | None
) -> dict[str, Any]:
    """The options of a method that depend on the scan, unless the request names them."""
    needed = set(method_options(request.method)) - set(request.options)
    atlas = {"atlas": _labels_on_grid(labels, scan.volume)} if "atlas" in needed else {}
    mask = {"mask": scan.mask.data > 0} if "mask" in needed and card.skull_strip else {}
    return {**atlas, **mask}


def _batch(volume: Volume, device: str) -> Any:
    import torch

    return torch.from_numpy(volume.data)[None, None].to(device)


def _labels_on_grid(labels: Path | Volume | None, like: Volume) -> Ints:
    if labels is None:
        raise NoInputError(
            "no atlas for this scan, which the method needs",
            fix="run the participant level with --atlas, or choose another method",
        )
    image = (read_volume(labels, np.int32) if isinstance(labels, Path) else labels).canonical()
    on_grid = nearest_on_grid(image.data, image.affine, like.data.shape, like.affine)
    return on_grid.astype(np.int64)


def class_index(
    card: ModelCard,
    target: str,
    probabilities: Floats64 | None = None,
    true_class: str | None = None,
) -> int:
    """Return the output of a class: by name, ``positive``, ``predicted`` or ``true``.

    Raises :class:`UsageError` for a class that the model does not know.
    """
    name: str | None = target
    if target == POSITIVE:
        name = card.positive
    elif target == PREDICTED and probabilities is not None:
        return int(np.argmax(probabilities))
    elif target == TRUE:
        name = true_class
    if name not in card.classes:
        raise UsageError(
            f"the model knows no class '{name}'", fix=f"choose one of {', '.join(card.classes)}"
        )
    return card.classes.index(name)


def warp_relevance(
    relevance: Volume, grid: TemplateGrid, to_template: Path | None, *, renormalise: bool = False
) -> Volume:
    """Return relevance on the template grid: linear, no Jacobian, the scan's own transform.

    to_template : ``None`` for relevance that lies in the template's space already
    renormalise : scale the result so that its sum is that before the warp
    """
    like = grid.template.brain
    if to_template is None:
        warped = resample_grid(relevance.data, relevance.affine, like.data.shape, like.affine)
    else:
        warped = ants_tools.resample(ants_tools.ants_module(0), relevance, like, [to_template])
    if renormalise:
        before, after = (float(data.sum(dtype=np.float64)) for data in (relevance.data, warped))
        warped = warped * np.float32(before / after) if after else warped
    return Volume(warped, like.affine)


def region_rows(warped: Volume, atlas: Atlas, method: str) -> list[RegionRow]:
    """Return one row a region of the atlas, in the order of its labels.

    warped : relevance on the grid of the atlas; method : name of the attribution method
    """
    sums = region_relevance(warped.data, atlas.volume.data, [index for index, _ in atlas.labels])
    return [
        RegionRow(
            method=method,
            atlas=atlas.name,
            index=index,
            name=name,
            hemisphere=hemisphere_of(name) or None,
            n_voxels=int(sums.n_voxels[row]),
            sum=_finite(sums.sum[row]),
            abs_sum=_finite(sums.abs_sum[row]),
            density=_finite(sums.density[row]),
            share=_finite(sums.share[row]),
        )
        for row, (index, name) in enumerate(atlas.labels)
    ]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
