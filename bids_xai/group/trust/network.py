"""A trained network, to be asked again about scans that it explained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from bids_xai.arrays import Floats32, Floats64
from bids_xai.attribution.request import WHOLE, Request
from bids_xai.bids.images import read_volume
from bids_xai.group.context import Scan
from bids_xai.group.maps import labels_over
from bids_xai.group.trust.heatmaps import heatmap_of
from bids_xai.models.card import load_model
from bids_xai.runtime.device import choose_device
from bids_xai.stages import explain as explaining
from bids_xai.stages.network_grid import InputRule
from bids_xai.tables.predictions import Prediction
from bids_xai.templates.grid import TemplateGrid


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
        self._rule = InputRule.of_model(self.card, model_folder)

    def open(self, scan: str) -> explaining.OpenScan:
        """Return a scan as the network sees it."""
        files = self.scans[scan]
        return explaining.open_scan(
            self.model, self.card, self._rule, files.map_file, files.mask_file, self.device
        )

    def relevance(self, prediction: Prediction) -> Floats32:
        """Return a heatmap (x, y, z) on the network's grid, as the step ``explain`` wrote it."""
        data: Floats32 = read_volume(self._study_folder / heatmap_of(prediction)).data
        return data

    def explained_class(self, prediction: Prediction) -> str:
        """Return the class that a heatmap is about, the positive one for the whole softmax."""
        name = prediction.relevance_class
        return self.card.positive if name is None or name == WHOLE else name

    @torch.no_grad()
    def predict(self, batch: Floats32) -> Floats64:
        """Return the probabilities (n, n_classes) of inputs (n, x, y, z)."""
        logits = self.model(torch.from_numpy(batch)[:, None].to(self.device))
        return np.asarray(logits.double().softmax(dim=1).cpu().numpy())

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
