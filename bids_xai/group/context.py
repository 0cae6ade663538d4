"""What a run of the group level is about: its settings, its study, and where everything lies."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bids_xai.attribution.request import Request, requests_of
from bids_xai.bids.stamps import STAMP
from bids_xai.errors import BadDataError
from bids_xai.group.lineage import check_heatmaps, check_predictions
from bids_xai.group.maps import MapSource
from bids_xai.group.scans import Scan, load_scans, load_splits
from bids_xai.settings import RunSettings
from bids_xai.studies.tables import Configuration, Study
from bids_xai.tables.cohort import SPLITS
from bids_xai.tables.predictions import PREDICTIONS, Prediction

__all__ = ["LOG", "GroupContext", "Scan"]

LOG = logging.getLogger("bids_xai")


@dataclass(frozen=True)
class GroupContext:
    """Settings, study and the template all scans were normalised to (empty where there is none)."""

    settings: RunSettings
    study: Study
    template: str

    @property
    def of_all_runs(self) -> GroupContext:
        """The context without a selection of configurations and splits."""
        return replace(self, settings=replace(self.settings, configuration=(), split=()))

    def of_configurations(self, *names: str) -> GroupContext:
        """The context of some configurations, with all splits."""
        return replace(self, settings=replace(self.settings, configuration=names, split=()))

    @property
    def output_dir(self) -> Path:
        """The derivatives folder."""
        return self.settings.output_dir.resolve()

    @property
    def folder(self) -> Path:
        """``group/<study>``."""
        return self.output_dir / "group" / self.study.name

    @property
    def models_folder(self) -> Path:
        """``models``, with a folder a study in it."""
        return self.output_dir / "models"

    def model_folder(self, configuration: str, split: int) -> Path:
        """``models/<study>/<configuration>/split-<k>``."""
        return self.models_folder / self.study.name / configuration / f"split-{split}"

    def relevance_folder(self, configuration: str, split: int) -> Path:
        """Where the heatmaps of one test set lie."""
        return self.folder / "relevance" / f"configuration-{configuration}" / f"split-{split}"

    @property
    def map_source(self) -> MapSource:
        """The derivatives that maps are taken from."""
        return MapSource(self.output_dir, self.template, dict(self.settings.derivatives))

    def scans(self) -> list[Scan]:
        """Return the included scans; raises as :func:`load_scans`."""
        return load_scans(self.folder, self.output_dir)

    def splits(self) -> list[dict[str, str]]:
        """Return one ``participant label -> set`` a split; raises as :func:`load_splits`."""
        return load_splits(self.folder)

    def scans_of(self, configuration: Configuration, scans: Sequence[Scan]) -> list[Scan]:
        """Return the scans with the files that a configuration takes its input from.

        Raises as :meth:`MapSource.scans_of`.
        """
        table = self.study.of(configuration).input
        return self.map_source.scans_of(table, scans, self.study.input)

    def predictions(self) -> list[Prediction]:
        """Return the lines of ``predictions.tsv``.

        Raises as :meth:`Table.read` and, where the cohort or its splits have changed since, as
        :func:`~bids_xai.group.lineage.check_predictions`, or the models as
        :func:`~bids_xai.group.lineage.check_heatmaps`. Where ``splits.tsv`` was removed there
        is nothing to compare with.
        """
        file = self.folder / PREDICTIONS.file
        rows = PREDICTIONS.read(file)
        if (self.folder / SPLITS.file).is_file():
            check_predictions(rows, self.splits(), self.scans(), file)
        for name, split in sorted({(row.configuration, row.split) for row in rows}):
            check_heatmaps(
                f"configuration {name}, split {split}",
                self.relevance_folder(name, split) / STAMP,
                self.model_folder(name, split),
            )
        return rows

    def requests(self) -> list[Request]:
        """Return what the study asks to explain: one request a heatmap of a scan."""
        attribution = self.study.attribution
        return requests_of(attribution.methods, attribution.options, attribution.target)

    def selected_splits(self, n_splits: int) -> list[int]:
        """The splits of this run (``--split``), of the ``n_splits`` of the study.

        Raises :class:`BadDataError` for a split the study does not have.
        """
        selected = self.settings.split or tuple(range(n_splits))
        unknown = [split for split in selected if split >= n_splits]
        if unknown:
            raise BadDataError(
                f"the study has no split {unknown[0]}", fix=f"choose from 0 to {n_splits - 1}"
            )
        return list(selected)

    @property
    def selected_configurations(self) -> list[str]:
        """The configurations of this run (``--configuration``)."""
        ids = [configuration.id for configuration in self.study.configurations]
        unknown = [name for name in self.settings.configuration if name not in ids]
        if unknown:
            raise BadDataError(
                f"the study has no configuration '{unknown[0]}'", fix=f"choose from {ids}"
            )
        return list(self.settings.configuration or ids)
