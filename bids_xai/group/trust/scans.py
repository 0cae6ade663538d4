"""What all checks of the heatmaps share: which scans they look at, the network, parts on disk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bids_xai.arrays import Floats32, Floats64
from bids_xai.attribution.request import WHOLE, Request
from bids_xai.bids.images import read_volume
from bids_xai.bids.names import scan_name
from bids_xai.bids.stamps import is_current, write_stamp
from bids_xai.group.context import GroupContext, Scan, read_rows, write_table
from bids_xai.group.maps import labels_over
from bids_xai.models.card import load_model
from bids_xai.runtime.device import choose_device
from bids_xai.stages import explain as explaining
from bids_xai.stages.network_grid import InputRule
from bids_xai.templates.grid import TemplateGrid

Row = dict[str, str]

SCAN_COLUMNS = {
    "configuration": "Configuration of the study",
    "split": "Number of the split, from 0",
    "method": "Attribution method, or the study's name of a variant",
    "participant_id": "Participant",
    "session_id": "Session, n/a where the dataset has none",
}
SCAN = {"scan": "Scan, with acquisition and run where the dataset has them"}
"""The last column of the tables: what tells two scans of a session apart."""


@dataclass(frozen=True)
class Job:
    """What one trained network explained: its test scans by name, each with a row a method."""

    configuration: str
    split: int
    rows: Mapping[str, list[Row]]

    def of(self, names: Iterable[str]) -> Job:
        """The same with some of the scans, in their order."""
        return replace(self, rows={name: self.rows[name] for name in names})

    @property
    def every_row(self) -> list[Row]:
        """The rows of all scans and methods."""
        return [row for rows in self.rows.values() for row in rows]


def jobs_of(rows: Iterable[Row]) -> list[Job]:
    """One job a configuration and split of ``predictions.tsv``, whose rows have a heatmap."""
    found: dict[tuple[str, int], dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        name = scan_name(Path(row["relevance"]).name)
        found[row["configuration"], int(row["split"])][name].append(row)
    return [Job(*key, dict(scans)) for key, scans in found.items()]


def explains_its_prediction(row: Row) -> bool:
    """Whether a heatmap is about the predicted class, or about the whole softmax vector."""
    return row["relevance_class"] in (WHOLE, row["predicted_class"])


def chosen(
    jobs: Iterable[Job], n: int, seed: int, usable: Callable[[Row], bool] = lambda row: True
) -> list[Job]:
    """At most ``n`` scans over the splits of one configuration, drawn from the seed.

    Scans come first that are ``usable`` for most methods, never those for none; among equals the
    true classes take turns.
    """
    jobs = list(jobs)
    scans = [(job.split, name) for job in jobs for name in job.rows]
    order = np.random.default_rng(seed).permutation(len(scans))
    by_split = {job.split: job for job in jobs}
    turns: dict[tuple[int, str], int] = defaultdict(int)
    ranked = []
    for split, name in (scans[i] for i in order):
        rows = by_split[split].rows[name]
        n_usable = sum(map(usable, rows))
        turn = turns[n_usable, rows[0]["true_class"]]
        turns[n_usable, rows[0]["true_class"]] += 1
        if n_usable:
            ranked.append((-n_usable, turn, split, name))
    taken = sorted(ranked, key=lambda one: one[:2])[:n]
    picked = [job.of([name for _, _, split, name in taken if split == job.split]) for job in jobs]
    return [job for job in picked if job.rows]


class Explained:
    """A trained network, to be asked again about scans that it explained.

    scans : those of its configuration, by name; grid : the template's, for its atlas
    """

    def __init__(
        self,
        context: GroupContext,
        configuration: str,
        split: int,
        scans: Mapping[str, Scan],
        grid: TemplateGrid | None,
    ) -> None:
        folder = context.model_folder(configuration, split)
        self.context, self.scans, self._grid = context, scans, grid
        self.device = choose_device(context.settings.device)
        self.model, self.card = load_model(folder)
        self.model.to(self.device)
        self._rule = InputRule.of_model(self.card, folder)

    def open(self, name: str) -> explaining.OpenScan:
        """A scan as the network sees it."""
        scan = self.scans[name]
        return explaining.open_scan(
            self.model, self.card, self._rule, scan.map_file, scan.mask_file, self.device
        )

    def relevance(self, row: Row) -> Floats32:
        """The heatmap of a row (x, y, z) on the network's grid, as the step explain wrote it."""
        data: Floats32 = read_volume(self.context.folder / row["relevance"]).data
        return data

    @torch.no_grad()
    def predict(self, batch: Floats32) -> Floats64:
        """Probabilities (n, n_classes) of inputs (n, x, y, z)."""
        logits = self.model(torch.from_numpy(batch)[:, None].to(self.device))
        return np.asarray(logits.double().softmax(dim=1).cpu().numpy())

    def explain(self, name: str, opened: explaining.OpenScan, way: Request, row: Row) -> Floats32:
        """Explain a scan again, about the same class as in ``row``, as the network is now."""
        said = row["relevance_class"]
        target = self.card.positive if said == WHOLE else said
        found = explaining.explain_scan(
            self.model,
            self.card,
            opened,
            replace(way, target=target),
            device=self.device,
            labels=labels_over(self.scans[name], self._grid),
        )
        data: Floats32 = found.relevance.data
        return data


def scans_by_name(context: GroupContext, configuration: str, every: list[Scan]) -> dict[str, Scan]:
    """The scans with the files that a configuration takes its input from, by name."""
    (table,) = (one for one in context.study.configurations if one.id == configuration)
    return {scan.name: scan for scan in context.scans_of(table, every)}


def job_folder(context: GroupContext, job: Job) -> Path:
    """Where the parts of the tables lie that belong to one network."""
    name = f"configuration-{job.configuration}"
    return context.folder / "quality" / name / f"split-{job.split}"


def part(
    context: GroupContext,
    job: Job,
    name: str,
    digest: str,
    columns: dict[str, str],
    make: Callable[[], list[dict[str, Any]]],
) -> list[Row]:
    """The rows of a job's part of a table; made only where they are not up to date."""
    folder = job_folder(context, job)
    stamp, table = folder / f"{name}_stamp.json", folder / f"{name}.tsv"
    if not is_current(stamp, digest, context.folder):
        write_stamp(stamp, digest, context.folder, write_table(table, make(), columns))
    return read_rows(table, "trust")


def about(row: Row) -> dict[str, str]:
    """The identifying cells of a row."""
    return {name: row[name] for name in SCAN_COLUMNS} | {
        "scan": scan_name(Path(row["relevance"]).name)
    }
