"""Prediction and relevance of one scan by a trained model, on the network's and template's grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.attribution import METHODS, check_options, explain, method_label, method_options
from bids_xai.bids.images import Volume, read_volume
from bids_xai.bids.names import label_of
from bids_xai.core.device import saying_memory_is_short
from bids_xai.core.inputs import nearest_on_grid, resample_grid
from bids_xai.core.region_names import hemisphere_of
from bids_xai.core.regions import region_relevance
from bids_xai.errors import NoInputError, UsageError
from bids_xai.interfaces import ants_tools
from bids_xai.interfaces.network_grid import InputRule, load_network_input
from bids_xai.settings import EMBEDDED_TEMPLATE, RELEVANCE_RESOLUTION, OutputSpace
from bids_xai.templates.lookup import (
    Atlas,
    AtlasSpec,
    Template,
    load_atlas,
    load_template,
    parse_atlas,
)

if TYPE_CHECKING:
    from torch import nn

    from bids_xai.models.card import ModelCard

REGION_COLUMNS = {
    "method": "Attribution method",
    "atlas": "Atlas, warped as its template; sums are taken on the template grid",
    "index": "Label value of the region",
    "name": "Name of the region",
    "hemisphere": "L or R where the name claims a side",
    "n_voxels": "Number of voxels of the region on the template grid",
    "sum": "Sum of relevance over the region",
    "abs_sum": "Sum of the absolute value of relevance over the region",
    "density": "sum / n_voxels",
    "share": "sum / sum of relevance over the whole map",
}


WHOLE = "all"
"""Class label of relevance that starts at the full softmax vector."""
POSITIVE, PREDICTED, TRUE = "positive", "predicted", "true"
"""Words that may stand for a class: the card's positive one, and what depends on the scan."""


@dataclass(frozen=True)
class Request:
    """One way to explain a scan.

    name : what tables call it, the method or the name of a variant of it
    method : a key of ``METHODS``; options : its options
    target : class that methods starting from one class explain: its name, ``positive``,
        ``predicted`` or ``true``
    """

    name: str
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    target: str = POSITIVE

    @property
    def start(self) -> str:
        """Where relevance starts: ``softmax`` (the full vector), ``probability`` or ``logit``."""
        offered = method_options(self.method).get("start", METHODS[self.method].start)
        return str(self.options.get("start", offered))

    @property
    def label(self) -> str:
        """The method with its options as a BIDS label (``desc-``)."""
        return method_label(self.method, **self.options)

    def check(self, classes: tuple[str, ...]) -> None:
        """Raise :class:`UsageError` for an unknown method, option or class."""
        check_options(self.method, self.options)
        if self.target not in (POSITIVE, PREDICTED, TRUE, *classes):
            raise UsageError(
                f"the model knows no class '{self.target}'",
                fix=f"choose one of {', '.join(classes)}",
            )


def requests_of(
    names: tuple[str, ...], options: Mapping[str, Mapping[str, Any]], target: str
) -> list[Request]:
    """Return the ways to explain that a study or command line names.

    options : name -> options; with ``method`` among them the name is that of a variant
    """
    found = []
    for name in names:
        own = dict(options.get(name, {}))
        found.append(Request(name, str(own.pop("method", name)), own, target))
    return found


@dataclass(frozen=True)
class OpenScan:
    """A scan on the network's grid: its input and brain mask, and its probabilities.

    probabilities : (n_classes,), in the order of the card's classes
    """

    volume: Volume
    mask: Volume
    probabilities: NDArray[np.float64]


@dataclass(frozen=True)
class Explanation:
    """One scan explained in one way.

    relevance : on the network's grid, true affine
    class_name : the class explained, ``all`` for the full softmax vector
    total : sum of relevance; inner_share : sum of abs(relevance) within the brain mask / its sum
    """

    relevance: Volume
    class_name: str
    total: float
    inner_share: float


def model_label(card: ModelCard) -> str:
    """Return the BIDS label of a model: study, configuration and split in one word."""
    return label_of(f"{card.study}{card.configuration}{card.split}")


def open_scan(
    model: nn.Module, card: ModelCard, rule: InputRule, map_file: Path, mask_file: Path, device: str
) -> OpenScan:
    """Return a scan as the network sees it, and what the network says of it.

    Raises the errors of :func:`load_network_input`; :class:`BadDataError` where memory is short.
    """
    import torch

    volume, mask = load_network_input(map_file, mask_file, rule)
    with torch.no_grad(), saying_memory_is_short(1, device):
        logits = model.to(device).eval()(_batch(volume, device))
    return OpenScan(volume, mask, torch.softmax(logits, dim=1)[0].double().cpu().numpy())


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
    options = dict(request.options)
    accepted = method_options(request.method)
    if "atlas" in accepted and "atlas" not in options:
        options["atlas"] = _labels_on_grid(labels, scan.volume)
    if "mask" in accepted and "mask" not in options and card.skull_strip:
        options["mask"] = scan.mask.data > 0
    with saying_memory_is_short(1, device):
        batch = _batch(scan.volume, device)
        found = explain(request.method, model.to(device), batch, target=index, **options)
        relevance = found[0, 0].cpu().numpy()
    size = np.abs(relevance).sum(dtype=np.float64)
    inner = np.abs(relevance[scan.mask.data > 0]).sum(dtype=np.float64)
    return Explanation(
        Volume(relevance, scan.volume.affine),
        WHOLE if request.start == "softmax" else card.classes[index],
        float(relevance.sum(dtype=np.float64)),
        float(inner / size) if size else float("nan"),
    )


def _batch(volume: Volume, device: str) -> Any:
    import torch

    return torch.from_numpy(volume.data)[None, None].to(device)


def _labels_on_grid(labels: Path | Volume | None, like: Volume) -> NDArray[np.int64]:
    if labels is None:
        raise NoInputError(
            "no atlas over this scan, which the method needs",
            fix="run the participant level with --atlas, or choose another method",
        )
    image = (read_volume(labels, np.int32) if isinstance(labels, Path) else labels).canonical()
    return nearest_on_grid(image.data, image.affine, like.data.shape, like.affine)


def class_index(
    card: ModelCard,
    target: str,
    probabilities: NDArray[np.float64] | None = None,
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


@dataclass(frozen=True)
class TemplateGrid:
    """A template and its atlases at the resolution relevance is reported in (2 mm).

    atlas : the first one, ``None`` where there is none; others : the rest
    """

    space: OutputSpace
    template: Template
    atlas: Atlas | None
    others: tuple[Atlas, ...] = ()

    @property
    def atlases(self) -> tuple[Atlas, ...]:
        """All of them."""
        return () if self.atlas is None else (self.atlas, *self.others)


def load_template_grid(template: str, atlases: Sequence[str] = ()) -> TemplateGrid:
    """Load template and atlases for warped relevance; errors as :func:`load_atlases`."""
    space = OutputSpace(template, RELEVANCE_RESOLUTION)
    found = load_atlases(template, atlases)
    return TemplateGrid(space, load_template(space), found[0] if found else None, tuple(found[1:]))


def load_atlases(template: str, texts: Sequence[str]) -> list[Atlas]:
    """Return the atlases of ``--atlas`` on the template's grid, and the embedded one with its own.

    texts : as given on the command line; without any, the template's default one, if it has any
    Raises :class:`UsageError` for two of one name, and the errors of :func:`load_atlas`.
    """
    space = OutputSpace(template, RELEVANCE_RESOLUTION)
    specs: list[AtlasSpec | None] = [parse_atlas(text) for text in texts]
    if not specs or template == EMBEDDED_TEMPLATE:
        specs.append(None)
    found = [load_atlas(space, spec) for spec in dict.fromkeys(specs)]
    atlases = {(a.name, a.image): a for a in found if a is not None}
    names = [name for name, _ in atlases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(
            f"two atlases are called {twice[0]}", fix="give each a NAME of its own: NAME=FILE"
        )
    return list(atlases.values())


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


def region_rows(warped: Volume, atlas: Atlas, method: str) -> list[dict[str, Any]]:
    """Return one row a region of the atlas, columns as in ``REGION_COLUMNS``."""
    indices = [index for index, _ in atlas.labels]
    sums = region_relevance(warped.data, atlas.volume.data, indices)
    return [
        {
            "method": method,
            "atlas": atlas.name,
            "index": index,
            "name": name,
            "hemisphere": hemisphere_of(name),
            "n_voxels": int(sums.n_voxels[row]),
            "sum": sums.sum[row],
            "abs_sum": sums.abs_sum[row],
            "density": sums.density[row],
            "share": sums.share[row],
        }
        for row, (index, name) in enumerate(atlas.labels)
    ]
