"""A trained network, to be asked again about scans that it explained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import torch

from bids_xai.arrays import Floats32
from bids_xai.attribution.request import WHOLE, Request
from bids_xai.attribution.reuse.relevance import explain_again
from bids_xai.bids.images import read_volume
from bids_xai.core.answers import BATCH_VOXELS
from bids_xai.group.context import Scan
from bids_xai.group.maps import labels_over
from bids_xai.group.trust.heatmaps import heatmap_of
from bids_xai.models.card import load_model
from bids_xai.runtime.device import choose_device, saying_memory_is_short
from bids_xai.stages import explain as explaining
from bids_xai.stages.network_grid import InputRule
from bids_xai.tables.predictions import Prediction
from bids_xai.templates.grid import TemplateGrid

KEPT_VOXELS = 2**23
"""Voxels of the opened scans that are kept (8 byte each), or one scan, if that has more."""


class ExplainedNetwork:
    """A trained network with the scans that it explained and their heatmaps.

    model_folder : of the network; study_folder : that heatmaps are given relative to
    scans : those of its configuration, by name; grid : the template's, for its atlas
    device : as ``--device`` takes it
    Raises as :func:`bids_xai.models.card.load_model` does.
    """

    def __init__(
        self,
        model_folder: Path,
        study_folder: Path,
        scans: Mapping[str, Scan],
        grid: TemplateGrid | None,
        device: str,
    ) -> None:
        self.scans, self._study_folder, self._grid = scans, study_folder, grid
        self.device = choose_device(device)
        self.model, self.card = load_model(model_folder)
        self.model.to(self.device)
        if self.device == "cpu":  # batches then take half the time, forward and for gradients
            self.model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self._opened: dict[str, explaining.OpenScan] = {}
        self._rule = InputRule.of_model(self.card, model_folder)

    @property
    def scans_at_once(self) -> int:
        """How many scans are worked on together: of :data:`BATCH_VOXELS` voxels, at least one."""
        return max(1, BATCH_VOXELS // prod(self.card.input_shape))

    def open(self, scan: str) -> explaining.OpenScan:
        """Return a scan as the network sees it; several checks ask for the same few."""
        if scan not in self._opened:
            files = self.scans[scan]
            opened = explaining.open_scan(
                self.model, self.card, self._rule, files.map_file, files.mask_file, self.device
            )
            most = max(1, KEPT_VOXELS // prod(self.card.input_shape))
            for oldest in list(self._opened)[: len(self._opened) + 1 - most]:
                del self._opened[oldest]
            self._opened[scan] = opened
        return self._opened[scan]

    def relevance(self, prediction: Prediction) -> Floats32:
        """Return a heatmap (x, y, z) on the network's grid, as the step ``explain`` wrote it."""
        data: Floats32 = read_volume(self._study_folder / heatmap_of(prediction)).data
        return data

    def explained_class(self, prediction: Prediction) -> str:
        """Return the class that a heatmap is about, the positive one for the whole softmax."""
        name = prediction.relevance_class
        return self.card.positive if name is None or name == WHOLE else name

    def explain(
        self, opened: explaining.OpenScan, request: Request, prediction: Prediction
    ) -> Floats32:
        """Explain a scan again, as the network is now.

        opened : the scan of ``prediction``, whose class is explained
        Returns relevance (x, y, z) on the network's grid.
        """
        explanation = explaining.explain_scan(
            self.model,
            self.card,
            opened,
            replace(request, target=self.explained_class(prediction)),
            device=self.device,
            labels=labels_over(self.scans[prediction.scan], self._grid),
        )
        data: Floats32 = explanation.relevance.data
        return data

    def explain_again(
        self,
        opened: Sequence[explaining.OpenScan],
        request: Request,
        predictions: Sequence[Prediction],
    ) -> Callable[[int], list[Floats32]]:
        """Return what explains scans again and again by one method, while layers change.

        A call takes the position in the chain of the lowest layer that is not as it is now, and
        returns relevance (x, y, z) of every scan on the network's grid.

        opened : scans that are explained together, few; predictions : of them, about one class
        """
        if explaining.depends_on_scan(request):
            return lambda lowest: [
                self.explain(scan, request, prediction)
                for scan, prediction in zip(opened, predictions, strict=True)
            ]
        index = self.card.classes.index(self.explained_class(predictions[0]))
        volumes = torch.from_numpy(np.stack([scan.volume.data for scan in opened]))
        batch = volumes[:, None].to(self.device)
        with saying_memory_is_short(1, self.device):
            explain = explain_again(request.method, self.model, batch, index, **request.options)

        def maps(lowest: int) -> list[Floats32]:
            with saying_memory_is_short(1, self.device):
                return list(explain(lowest)[:, 0].cpu().numpy())

        return maps
