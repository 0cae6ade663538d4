"""Where networks look, and what their decisions hang on: plain, skull-stripped, guided.

    make demo
    .venv/bin/python benchmarks/looking.py demo/raw demo/out A B C [C,skull_strip=0.5 ...]

Trains `graz` on the R2* maps of a simulated cohort of effect 100 at 5 mm, with splits of its own:
60 % of the people of each class to train on, 15 % to validate, 25 % to test. A training is named by
its configuration, A (plain), B (skull-stripped) or C (guided), and by fields of ``Recipe``
that differ from 45 epochs, batches of 4, weight 1. Printed for the test scans of each seed:

balanced  balanced accuracy; "blanked": with everything outside the brain set to zero; "painted":
          with caudate, putamen and pallidum set to the mean of the rest of the brain
inside    share of z+ relevance within the brain mask
z+, composite-1  positive relevance per voxel in these nuclei, as a multiple of the rest of the
          brain (lrp-zplus; lrp-composite-1 for patients); "untrained": the same before training
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bids_xai.attribution import explain
from bids_xai.core.cohort.splits import random_splits
from bids_xai.models import build
from bids_xai.stages.network_grid import (
    InputRule,
    common_shape,
    load_network_input,
    load_region_mask,
)
from bids_xai.training.loop import train
from bids_xai.training.recipe import Recipe

SHARES = {"train": 0.6, "validation": 0.15, "test": 0.25}
NUCLEI = range(1, 7)  # caudate, putamen, pallidum of both sides in the simulated atlas
DEFAULTS: dict[str, Any] = {"epochs": 45, "batch_size": 4, "patience": 40}
COLUMNS = "training seed balanced blanked painted inside z+ untrained composite-1 untrained"


@dataclass(frozen=True)
class Scan:
    """Map, brain and nuclei (1, x, y, z) of a scan on the network's grid, and its class number."""

    person: str
    label: int
    volume: Tensor
    brain: Tensor
    nuclei: Tensor


class Seen(list[tuple[Tensor, Tensor, int]]):
    """Scans as the training loop reads them."""

    def __init__(self, scans: Sequence[Scan], stripped: bool) -> None:
        super().__init__((_input(scan, stripped), scan.brain, scan.label) for scan in scans)


def main() -> None:
    """Print a line for each training."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("raw", type=Path, help="simulated cohort")
    parser.add_argument("derivatives", type=Path, help="its participant level")
    parser.add_argument("trainings", nargs="+", help="A, B or C, then FIELD=VALUE after commas")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    scans = load(options.raw, options.derivatives)
    print(COLUMNS.replace(" ", "\t"))
    for training in options.trainings:
        for seed in options.seeds:
            numbers = "\t".join(f"{number:.2f}" for number in measured(training, seed, scans))
            print(training, seed, numbers, sep="\t", flush=True)


def load(raw: Path, derivatives: Path) -> list[Scan]:
    """All scans of a cohort."""
    with (raw / "participants.tsv").open(newline="") as stream:
        classes = {
            row["participant_id"]: row["diagnosis"]
            for row in csv.DictReader(stream, delimiter="\t")
        }
    maps = sorted(derivatives.glob("sub-*/**/*_space-T1w_R2starmap.nii.gz"))
    shape = common_shape(maps, 5.0)
    rule = InputRule(shape=shape, voxel_mm=5.0, scale=40.0, maximum=100.0)
    scans = []
    for file in maps:
        stem = file.name.partition("_space-")[0]
        volume, brain = load_network_input(
            file, file.with_name(f"{stem}_desc-brain_mask.nii.gz"), rule
        )
        labels = file.with_name(f"{stem}_space-T1w_atlas-TissueNuclei_dseg.nii.gz")
        nuclei = load_region_mask(labels, NUCLEI, brain)
        tensors = [
            torch.from_numpy(np.asarray(part.data, np.float32))[None]
            for part in (volume, brain, nuclei)
        ]
        person = stem.partition("_")[0]
        scans.append(Scan(person, int(classes[person] == "AD"), *tensors))
    return scans


def measured(training: str, seed: int, scans: Sequence[Scan]) -> list[float]:
    """The numbers of a line."""
    configuration, *changes = training.split(",")
    recipe = Recipe(
        **DEFAULTS
        | {name: float(value) for name, value in (change.split("=") for change in changes)}
        | {"relevance_guided": configuration == "C", "seed": seed}
    )
    stripped = configuration == "B"
    people = {scan.person: str(scan.label) for scan in scans}
    of = random_splits([*people], [*people.values()], SHARES, 1, seed=seed)[0]
    sets = {name: [scan for scan in scans if of[scan.person] == name] for name in SHARES}
    x, y, z = scans[0].volume.shape[1:]
    model = build("graz", (x, y, z), 2, seed=seed).eval()
    before = densities(model, sets["test"], stripped)
    with tempfile.TemporaryDirectory() as folder:
        data, validation = (Seen(sets[name], stripped) for name in ("train", "validation"))
        train(model, data, validation, recipe, folder=folder, device="cpu")
    after = densities(model, sets["test"], stripped)
    return [
        *accuracies(model, sets["test"], stripped),
        inside(model, sets["test"], stripped),
        *(number for pair in zip(after, before, strict=True) for number in pair),
    ]


def accuracies(model: nn.Module, scans: Sequence[Scan], stripped: bool) -> list[float]:
    """Balanced accuracy of the scans as they are, blanked, and painted."""
    as_they_are = [_input(scan, stripped) for scan in scans]
    blanked = [scan.volume * scan.brain for scan in scans]
    painted = []
    for scan, volume in zip(scans, as_they_are, strict=True):
        rest = (scan.brain > 0) & (scan.nuclei == 0)
        painted.append(torch.where(scan.nuclei > 0, volume[rest].mean(), volume))
    labels = torch.tensor([scan.label for scan in scans])
    results = []
    for volumes in (as_they_are, blanked, painted):
        with torch.no_grad():
            right = (model(torch.stack(volumes)).argmax(dim=1) == labels).float()
        results.append(float(np.mean([right[labels == label].mean() for label in (0, 1)])))
    return results


def inside(model: nn.Module, scans: Sequence[Scan], stripped: bool) -> float:
    """Share of z+ relevance within the brain."""
    relevance = _relevance("lrp-zplus", model, scans, stripped)
    brain = torch.stack([scan.brain for scan in scans])
    return float((relevance * brain).sum() / relevance.sum())


def densities(model: nn.Module, scans: Sequence[Scan], stripped: bool) -> list[float]:
    """Of z+ and of composite-1: positive relevance per voxel, nuclei over rest of the brain."""
    brain = torch.stack([scan.brain for scan in scans]) > 0
    nuclei = (torch.stack([scan.nuclei for scan in scans]) > 0) & brain
    results = []
    for method in ("lrp-zplus", "lrp-composite-1"):
        positive = _relevance(method, model, scans, stripped).clamp(min=0)
        results.append(float(positive[nuclei].mean() / positive[brain & ~nuclei].mean()))
    return results


def _relevance(method: str, model: nn.Module, scans: Sequence[Scan], stripped: bool) -> Tensor:
    volumes = torch.stack([_input(scan, stripped) for scan in scans])
    return explain(method, model, volumes, 1).detach()


def _input(scan: Scan, stripped: bool) -> Tensor:
    return scan.volume * scan.brain if stripped else scan.volume


if __name__ == "__main__":
    main()
