"""Prediction and relevance of one scan by a trained model, on the network's and template's grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.attribution import METHODS, explain, method_options
from bids_xai.bids.images import Volume
from bids_xai.bids.names import label_of
from bids_xai.core.regions import region_relevance
from bids_xai.errors import UsageError
from bids_xai.interfaces import ants_tools
from bids_xai.interfaces.network_grid import load_network_input
from bids_xai.settings import RELEVANCE_RESOLUTION, OutputSpace
from bids_xai.templates.lookup import Atlas, Template, load_atlas, load_template

if TYPE_CHECKING:
    from torch import nn

    from bids_xai.models.card import ModelCard

REGION_COLUMNS = {
    "method": "Attribution method",
    "atlas": "Atlas, warped as its template; sums are taken on the template grid",
    "index": "Label value of the region",
    "region": "Name of the region",
    "n_voxels": "Number of voxels of the region on the template grid",
    "sum": "Sum of relevance over the region",
    "abs_sum": "Sum of the absolute value of relevance over the region",
    "density": "sum / n_voxels",
    "share": "sum / sum of relevance over the whole map",
}


@dataclass(frozen=True)
class Explanation:
    """One scan explained.

    probabilities : (n_classes,), in the order of the card's classes
    relevance : on the network's grid, true affine
    input_mask : the brain mask on that grid
    total : sum of relevance; inner_share : sum within the brain mask / total
    """

    probabilities: NDArray[np.float64]
    relevance: Volume
    input_mask: Volume
    total: float
    inner_share: float


def choose_device(wanted: str) -> str:
    """Return ``cpu``, ``cuda`` or ``cuda:i``; ``auto`` takes CUDA where it is usable.

    Raises :class:`UsageError` for a CUDA device that is not there.
    """
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda"):
        index = int(wanted.partition(":")[2] or 0)
        if not torch.cuda.is_available() or index >= torch.cuda.device_count():
            raise UsageError(
                f"device {wanted} is not usable here",
                fix="use --device cpu, or give the container its GPU (--gpus all, --nv)",
            )
    return wanted


def model_label(card: ModelCard) -> str:
    """Return the BIDS label of a model: study, configuration and split in one word."""
    return label_of(f"{card.study}{card.configuration}{card.split}")


def start_label(method: str, target: str | None) -> str:
    """Return the class label of a relevance map: ``all`` where the full softmax vector starts."""
    whole = METHODS[method].start == "softmax" and target is None
    return "all" if whole else label_of(str(target))


def explain_scan(
    model: nn.Module,
    card: ModelCard,
    map_file: Path,
    mask_file: Path,
    *,
    method: str = "lrp-zplus",
    target: str | None = None,
    device: str = "cpu",
) -> Explanation:
    """Return prediction and relevance of one scan.

    target : the class to explain; ``None`` keeps the method's own start.
    Raises :class:`UsageError` for a class the model does not know, and the errors of
    :func:`load_network_input`.
    """
    import torch

    volume, mask = load_network_input(
        map_file, mask_file, shape=card.input_shape, scale=card.scale,
        maximum=card.maximum,
        voxel_mm=card.voxel_mm[0] if card.voxel_mm else None, skull_strip=card.skull_strip,
    )  # fmt: skip
    batch = torch.from_numpy(volume.data)[None, None].to(device)
    model = model.to(device).eval()
    with torch.no_grad():
        probabilities = torch.softmax(model(batch), dim=1)[0].double().cpu().numpy()
    options = _start_options(method, target)
    index = class_index(card, target)
    relevance = explain(method, model, batch, target=index, **options)[0, 0].cpu().numpy()
    total = float(relevance.sum(dtype=np.float64))
    inner = float(relevance[mask.data > 0].sum(dtype=np.float64))
    return Explanation(
        probabilities, Volume(relevance, volume.affine), mask, total,
        inner / total if total else float("nan"),
    )  # fmt: skip


def _start_options(method: str, target: str | None) -> dict[str, Any]:
    offers_start = "start" in method_options(method)
    return {"start": "probability"} if offers_start and target is not None else {}


def class_index(card: ModelCard, target: str | None) -> int:
    """Return the output of the class ``target``; the positive one (1) where it is ``None``."""
    if target is None:
        return 1
    if target not in card.classes:
        raise UsageError(
            f"the model knows no class '{target}'", fix=f"choose one of {', '.join(card.classes)}"
        )
    return card.classes.index(target)


@dataclass(frozen=True)
class TemplateGrid:
    """A template and its atlas at the resolution relevance is reported in (2 mm)."""

    space: OutputSpace
    template: Template
    atlas: Atlas | None


def load_template_grid(template: str, resolution: int = RELEVANCE_RESOLUTION) -> TemplateGrid:
    """Load template and atlas for warped relevance."""
    space = OutputSpace(template, resolution)
    return TemplateGrid(space, load_template(space), load_atlas(space))


def warp_relevance(relevance: Volume, grid: TemplateGrid, to_template: Path) -> Volume:
    """Return relevance on the template grid: linear, no Jacobian, the scan's own transform."""
    ants = ants_tools.ants_module(0)
    warped = ants_tools.resample(ants, relevance, grid.template.brain, [to_template])
    return Volume(warped, grid.template.brain.affine)


def region_rows(warped: Volume, atlas: Atlas, method: str) -> list[dict[str, Any]]:
    """Return one row a region of the atlas, columns as in ``REGION_COLUMNS``."""
    indices = [index for index, _ in atlas.labels]
    sums = region_relevance(warped.data, atlas.volume.data, indices)
    return [
        {
            "method": method, "atlas": atlas.name, "index": index, "region": name,
            "n_voxels": int(sums.n_voxels[row]), "sum": sums.sum[row],
            "abs_sum": sums.abs_sum[row], "density": sums.density[row], "share": sums.share[row],
        }
        for row, (index, name) in enumerate(atlas.labels)
    ]  # fmt: skip
