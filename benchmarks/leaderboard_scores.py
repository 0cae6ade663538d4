"""Scores of the ground-truth benchmark: one network at a time, all methods on the same scans."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import torch
from leaderboard_cohorts import map_and_mask, people
from leaderboard_plan import OPTIONS, PATIENTS, TOLERANCE_MM, Cohort, Plan, aliases
from torch import nn

import bids_xai
from bids_xai.attribution import METHODS, explain
from bids_xai.attribution.request import Request
from bids_xai.bids.files import write_tsv
from bids_xai.bids.stamps import fingerprint, is_current, write_stamp
from bids_xai.core.ground_truth import density_ratio
from bids_xai.core.localization import localize
from bids_xai.errors import UsageError
from bids_xai.models import build
from bids_xai.models.card import WEIGHTS, ModelCard, load_model
from bids_xai.stages import explain as explaining
from bids_xai.stages.network_grid import InputRule, load_region_mask

Row = dict[str, str]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

NETWORK_COLUMNS = {
    "cohort": "Simulated cohort: kind, effect in percent, and whether there are markers",
    "configuration": "A plain, B skull-stripped, C relevance-guided; A0 and B0 untrained",
    "repetition": "Number of the training, from 0; each has initial weights of its own",
    "participant_id": "Participant of the test set",
}
HEATMAP_COLUMNS = NETWORK_COLUMNS | {
    "method": "Attribution method",
    "mass_accuracy": "Share of the positive relevance that lies in the true region; 0 without any",
    "rank_accuracy": "Of the K highest voxels, K being the size of the region, the share in it",
    "pointing_game": "1 where the highest voxel lies in the region or one voxel from it, else 0",
    "density_ratio": "Positive relevance per voxel in the region over the rest of the brain",
    "chance": "Share of the grid that the region makes up",
    "on_marker": "Share of the positive relevance on the marker; n/a where there is none",
    "seconds": "What the heatmap took",
}
PREDICTION_COLUMNS = NETWORK_COLUMNS | {
    "true_class": "1 for a patient",
    "probability": "Probability of the patients' class",
    "probability_without": "The same, of the scan without marker; n/a where the cohort has none",
}
REGIONS = {"megre": "desc-nuclei_dseg", "t1w": "desc-structures_dseg", "flair": "label-lesion_mask"}


@dataclass(frozen=True)
class Network:
    """One training: cohort, configuration and repetition; ``folder`` holds all cohorts."""

    work: Path
    cohort: Cohort
    configuration: str
    repetition: int

    @property
    def folder(self) -> Path:
        """Of its cohort."""
        return self.work / self.cohort.name

    @property
    def model(self) -> Path:
        """Where the group level saved it."""
        split = f"split-{self.repetition}"
        return self.folder / "maps" / "models" / "leaderboard" / self.configuration / split

    def table(self, name: str) -> Path:
        """Of its rows."""
        name = f"{name}_{self.configuration}-{self.repetition}.tsv"
        return self.folder / "scores" / name

    @property
    def row(self) -> dict[str, object]:
        """The identifying cells."""
        return {
            "cohort": self.cohort.name,
            "configuration": self.configuration,
            "repetition": self.repetition,
        }


def score_network(network: Network, plan: Plan) -> None:
    """Write a network's two tables, where they are not up to date."""
    stamp = network.table("stamp").with_suffix(".json")
    files = [
        network.model / WEIGHTS,
        *(
            network.work / cohort.name / "stamp.json"
            for cohort in {network.cohort, network.cohort.clean}
        ),
    ]
    made_of = {
        "explained": plan.explained,
        "methods": list(METHODS),
        "options": OPTIONS,
        "tolerance_mm": TOLERANCE_MM,
        "version": bids_xai.__version__,
    }
    digest = fingerprint(files, made_of)
    if is_current(stamp, digest, network.folder):
        return
    torch.set_num_threads(1)
    model, card = load_model(network.model)
    rule = InputRule.of_model(card, network.model)
    tested = tested_people(network)
    written = [
        write_tsv(
            network.table("heatmaps"),
            heatmap_rows(network, model, card, rule, plan, tested),
            HEATMAP_COLUMNS,
        ),
        write_tsv(
            network.table("predictions"),
            prediction_rows(network, model, card, rule, tested),
            PREDICTION_COLUMNS,
        ),
    ]
    write_stamp(stamp, digest, network.folder, written)


def tested_people(network: Network) -> list[Row]:
    """The participants of the test set, by label; the same for all networks of a kind."""
    rows = read_rows(network.folder / "maps" / "group" / "leaderboard" / "splits.tsv")
    everybody = people(network.folder)
    rows_of_cell = [
        row["participant_id"]
        for row in rows
        if row["set"] == "test" and int(row["split"]) == network.repetition
    ]
    return [everybody[label] for label in sorted(rows_of_cell)]


def prediction_rows(
    network: Network, model: nn.Module, card: ModelCard, rule: InputRule, tested: Iterable[Row]
) -> list[dict[str, object]]:
    """What the network says of every test scan, with and without marker."""
    positive = card.classes.index(card.positive)

    def probability(cohort: Cohort, label: str) -> float:
        files = map_and_mask(network.work / cohort.name, cohort.kind, label)
        opened = explaining.open_scan(model, card, rule, *files, "cpu")
        return float(opened.probabilities[positive])

    rows = []
    for person in tested:
        label = person["participant_id"]
        without = probability(network.cohort.clean, label) if network.cohort.marker else None
        rows.append(
            {
                **network.row,
                "participant_id": label,
                "true_class": int(person["diagnosis"] == card.positive),
                "probability": probability(network.cohort, label),
                "probability_without": without,
            }
        )
    return rows


def heatmap_rows(
    network: Network,
    model: nn.Module,
    card: ModelCard,
    rule: InputRule,
    plan: Plan,
    tested: Iterable[Row],
) -> list[dict[str, object]]:
    """One row a patient and method: where the heatmap lies.

    Patients with a marker where the cohort has markers, and with a region that covers half of a
    voxel of the network's grid.
    """
    rows: list[dict[str, object]] = []
    explained = 0
    for person in tested:
        sick = person["diagnosis"] == PATIENTS[network.cohort.kind]
        if not sick or person.get("marker", "yes") == "no" or explained == plan.explained:
            continue
        label = person["participant_id"]
        files = map_and_mask(network.folder, network.cohort.kind, label)
        opened = explaining.open_scan(model, card, rule, *files, "cpu")
        region = region_of(network, label, REGIONS[network.cohort.kind], opened)
        if not region.any():
            continue
        marker = None
        if network.cohort.marker:
            marker = region_of(network, label, "desc-marker_mask", opened)
        rows += [
            {
                **network.row,
                "participant_id": label,
                "method": name,
                **one_heatmap(model, card, opened, name, region, marker),
            }
            for name in fitting(card.architecture)
        ]
        explained += 1
    return rows


def one_heatmap(
    model: nn.Module,
    card: ModelCard,
    opened: explaining.OpenScan,
    name: str,
    region: Bools,
    marker: Bools | None,
) -> dict[str, object]:
    """Explain the patients' class of a scan by a method, and score the heatmap.

    A map without positive relevance shows nothing, and so finds nothing: its scores are 0.
    """
    request = Request(name, name, OPTIONS.get(name, {}))
    started = time.perf_counter()
    relevance = explaining.explain_scan(model, card, opened, request).relevance
    seconds = time.perf_counter() - started
    localized = localize(
        relevance.data, region, tolerance_mm=TOLERANCE_MM, voxel_mm=relevance.voxel_mm
    )
    on_marker = None if marker is None else scored(localize(relevance.data, marker).mass_accuracy)
    return {
        "mass_accuracy": scored(localized.mass_accuracy),
        "rank_accuracy": scored(localized.rank_accuracy),
        "pointing_game": scored(localized.pointing_game),
        "chance": localized.chance,
        "density_ratio": density_ratio(relevance.data, region, opened.mask.data > 0),
        "on_marker": on_marker,
        "seconds": round(seconds, 4),
    }


def scored(value: float) -> float:
    """0 where a map has no positive relevance, for which measures are NaN."""
    return 0.0 if isnan(value) else value


def region_of(network: Network, label: str, name: str, opened: explaining.OpenScan) -> Bools:
    """A region of the truth (x, y, z) on the network's grid."""
    truth = network.folder / "raw" / "derivatives" / "truth" / label / "anat"
    return load_region_mask(truth / f"{label}_{name}.nii.gz", [], opened.volume).data > 0


@lru_cache
def fitting(architecture: str) -> tuple[str, ...]:
    """The methods that can explain a network, each under its first name; a small one tells.

    ``area-occlusion`` is not among them: it finds whatever region its atlas has a label for.
    """
    shape = (12, 12, 12)
    model = build(architecture, shape)
    probe = torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(0))
    names = []
    for name in METHODS:
        if name in aliases():
            continue
        try:
            explain(name, model, probe)
        except UsageError:
            continue
        names.append(name)
    return tuple(names)


def read_rows(path: Path) -> list[Row]:
    """A table as text."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))
