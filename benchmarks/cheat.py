"""Does relevance guidance remove a shortcut, or hide it?

    .venv/bin/python benchmarks/cheat.py WORK [--kind megre|t1w] [--participants 160]
        [--effects 15 60] [--weights 0 0.5 1 2 5 10] [--repeats 2] [--figure FILE]

Most patients (90 %) and few controls (10 %) of a simulated cohort carry a bright marker beside the
head (``bids_xai_simulate --cheat``), and all patients have the disease, of the effect in percent.
For every effect and guidance weight a network is trained (``graz``, 6 mm, the recipe of the preset
``quick`` with a lower learning rate), tested on maps as they are and on maps whose marker is
replaced by the air of the other side. Columns: balanced accuracy with and without markers, share of
relevance outside the brain and on the marker. WORK keeps cohorts and results: what is there is not
made again.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from leaderboard_cohorts import make_maps, map_and_mask, people

from bids_xai.attribution.zplus import relevance_zplus
from bids_xai.bids.images import read_volume
from bids_xai.core.cohort.splits import random_splits
from bids_xai.core.grids import centred_grid, resample_grid
from bids_xai.core.inputs import network_input
from bids_xai.core.scores import classification_scores
from bids_xai.models import build
from bids_xai.simulation.write import simulate_cohort
from bids_xai.stages.network_grid import common_shape
from bids_xai.training.loop import train
from bids_xai.training.recipe import Recipe

Row = dict[str, float]

VOXEL_MM = 6.0
SCALES = {"megre": (40.0, 100.0), "t1w": (1.0, 2.0)}
"""Kind -> scale and maximum of its maps, 1/s and parts of the 99th percentile in the brain."""
FRACTIONS = {"train": 0.55, "validation": 0.15, "test": 0.3}
COLUMNS = ("effect", "weight", "repeat", "with_marker", "without_marker", "outside", "on_marker")


@dataclass(frozen=True)
class Scan:
    """A participant on the network's grid: map, map without marker, brain, marker (x, y, z)."""

    name: str
    patient: bool
    volume: np.ndarray
    clean: np.ndarray
    brain: np.ndarray
    marker: np.ndarray


@dataclass(frozen=True)
class Plan:
    """What all trainings share; ``work`` keeps cohorts and results."""

    work: Path
    kind: str
    participants: int
    epochs: int
    learning_rate: float

    def cohort(self, effect: float) -> Path:
        """Folder of a cohort."""
        return self.work / f"{self.kind}-{effect:g}-{self.participants}"

    def run(self, effect: float, weight: float, repeat: int) -> Path:
        """Folder of a training."""
        recipe = f"epochs-{self.epochs}_lr-{self.learning_rate:g}"
        return self.cohort(effect) / recipe / f"weight-{weight:g}_repeat-{repeat}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--kind", choices=list(SCALES), default="megre")
    parser.add_argument("--participants", type=int, default=160)
    parser.add_argument("--effects", type=float, nargs="+", default=(15.0, 60.0))
    parser.add_argument("--weights", type=float, nargs="+", default=(0, 0.5, 1, 2, 5, 10))
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=45)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    plan = Plan(
        options.work, options.kind, options.participants, options.epochs, options.learning_rate
    )
    rows = experiment(plan, options.effects, options.weights, options.repeats, options.workers)
    write(options.work / "guidance.tsv", rows)
    if options.figure:
        draw(rows, options.figure)


def experiment(
    plan: Plan, effects: Sequence[float], weights: Sequence[float], repeats: int, workers: int
) -> list[Row]:
    """All trainings that are not there yet; returns a row each."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, torch.set_num_threads, (1,)) as pool:
        pool.starmap(make_cohort, [(plan, effect) for effect in effects])
        tasks = [
            (plan, effect, weight, repeat)
            for repeat in range(repeats)
            for effect in effects
            for weight in sorted(weights, reverse=True)
        ]
        rows = []
        for row in pool.imap(trained, tasks):
            print("  ".join(f"{key} {float(row[key]):.3g}" for key in COLUMNS), flush=True)
            rows.append(row)
    return rows


def trained(task: tuple[Plan, float, float, int]) -> Row:
    """The row of a training, from its file where there is one."""
    plan, effect, weight, repeat = task
    file = plan.run(effect, weight, repeat) / "result.tsv"
    if not file.is_file():
        write(file, [measure(plan, effect, weight, repeat)])
    return read(file)


def make_cohort(plan: Plan, effect: float) -> None:
    """Simulate a cohort and its maps; brain masks and motion are the true ones."""
    folder = plan.cohort(effect)
    if not (folder / "done").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        simulate_cohort(
            folder / "raw",
            n_participants=plan.participants,
            kind=plan.kind,
            voxel_mm=4.0,
            max_sessions=1,
            seed=5,
            effect_percent=effect,
            cheat=0.9,
        )
        for label in people(folder):
            make_maps(folder, plan.kind, label)
        (folder / "done").touch()


def load_scans(plan: Plan, effect: float) -> list[Scan]:
    """All participants on one grid."""
    folder = plan.cohort(effect)
    everybody = people(folder)
    files = {label: map_and_mask(folder, plan.kind, label)[0] for label in everybody}
    shape = common_shape(list(files.values()), VOXEL_MM)
    return [one_scan(folder, plan.kind, person, shape) for person in everybody.values()]


def one_scan(folder: Path, kind: str, person: dict[str, str], shape: tuple[int, ...]) -> Scan:
    name = person["participant_id"]
    file, mask = map_and_mask(folder, kind, name)
    truth = folder / "raw" / "derivatives" / "truth" / name / "anat"
    image = read_volume(file).canonical()
    marker = read_volume(truth / f"{name}_desc-marker_mask.nii.gz").canonical().data > 0
    brain = read_volume(mask).canonical().data > 0
    affine = centred_grid(image.data.shape, image.affine, shape, VOXEL_MM)
    clean = np.where(marker, image.data[::-1], image.data)  # air of the other side
    scale, maximum = SCALES[kind]

    def on_grid(data: np.ndarray) -> np.ndarray:
        return resample_grid(data, image.affine, shape, affine)

    return Scan(
        name,
        person["diagnosis"] != "NC",
        on_grid(network_input(image.data, None, scale=scale, maximum=maximum)),
        on_grid(network_input(clean, None, scale=scale, maximum=maximum)),
        (on_grid(brain) > 0.5).astype(np.float32),
        (on_grid(marker) > 0).astype(np.float32),
    )


class Data:
    """Scans as the training loop reads them."""

    def __init__(self, scans: list[Scan]) -> None:
        self.scans = scans

    def __len__(self) -> int:
        return len(self.scans)

    def __getitem__(self, index: int, /) -> tuple[torch.Tensor, torch.Tensor, int]:
        scan = self.scans[index]
        volume, brain = torch.from_numpy(scan.volume)[None], torch.from_numpy(scan.brain)[None]
        return volume, brain, int(scan.patient)


def measure(plan: Plan, effect: float, weight: float, repeat: int) -> Row:
    """Train one network and test it with and without markers."""
    scans = load_scans(plan, effect)
    classes = ["patient" if scan.patient else "control" for scan in scans]
    split = random_splits([s.name for s in scans], classes, FRACTIONS, repeat + 1, seed=0)[repeat]
    parts = {name: [s for s in scans if split[s.name] == name] for name in FRACTIONS}
    model = build("graz", scans[0].volume.shape, seed=repeat)
    recipe = Recipe(
        epochs=plan.epochs,
        batch_size=4,
        learning_rate=plan.learning_rate,
        patience=40,
        guidance_after=12,
        relevance_guided=weight > 0,
        guidance_weight=weight,
        seed=repeat,
    )
    train(
        model,
        Data(parts["train"]),
        Data(parts["validation"]),
        recipe,
        folder=plan.run(effect, weight, repeat),
        device="cpu",
    )
    test = parts["test"]
    truth = [scan.patient for scan in test]
    p_with, relevance = explained(model, [scan.volume for scan in test])
    p_without, _ = explained(model, [scan.clean for scan in test])
    total = [float(r.sum()) for r in relevance]
    return {
        "effect": effect,
        "weight": weight,
        "repeat": repeat,
        "with_marker": classification_scores(truth, p_with).balanced_accuracy,
        "without_marker": classification_scores(truth, p_without).balanced_accuracy,
        "outside": float(
            np.mean(
                [
                    1 - (r * s.brain).sum() / t
                    for r, s, t in zip(relevance, test, total, strict=True)
                ]
            )
        ),
        "on_marker": float(
            np.mean(
                [(r * s.marker).sum() / t for r, s, t in zip(relevance, test, total, strict=True)]
            )
        ),
    }


def explained(
    model: torch.nn.Module, volumes: list[np.ndarray]
) -> tuple[list[float], list[np.ndarray]]:
    """Probability of the patients' class and relevance of each volume."""
    relevances = [relevance_zplus(model, torch.from_numpy(v)[None, None]) for v in volumes]
    p = [float(logits.softmax(1)[0, 1].detach()) for logits, _ in relevances]
    return p, [relevance[0, 0].detach().numpy() for _, relevance in relevances]


def read(file: Path) -> Row:
    with file.open() as stream:
        (row,) = csv.DictReader(stream, delimiter="\t")
    return {key: float(value) for key, value in row.items()}


def write(file: Path, rows: list[Row]) -> None:
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def draw(rows: list[Row], file: Path) -> None:
    """Accuracy and relevance over the guidance weight, one column an effect."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    effects = sorted({float(row["effect"]) for row in rows})
    figure, panels = plt.subplots(
        2, len(effects), figsize=(4 * len(effects), 5.5), sharex=True, sharey="row", squeeze=False
    )
    for column, effect in enumerate(effects):
        of_effect = [row for row in rows if float(row["effect"]) == effect]
        weights = sorted({float(row["weight"]) for row in of_effect})
        for row_of_panels, keys in (
            (0, ("with_marker", "without_marker")),
            (1, ("outside", "on_marker")),
        ):
            axes = panels[row_of_panels, column]
            for key in keys:
                values = [
                    [float(r[key]) for r in of_effect if float(r["weight"]) == w] for w in weights
                ]
                means = [float(np.mean(v)) for v in values]
                (line,) = axes.plot(
                    range(len(weights)), means, marker="o", label=key.replace("_", " ")
                )
                for x, points in enumerate(values):
                    axes.plot([x] * len(points), points, ".", color=line.get_color(), alpha=0.4)
            axes.set_xticks(range(len(weights)), [f"{w:g}" for w in weights])
            axes.set_ylim(0, 1.03)
            axes.legend(frameon=False, fontsize=8)
        panels[0, column].set_title(f"true effect {effect:g} %")
        panels[0, column].axhline(0.5, color="grey", lw=0.8, ls=":")
        panels[1, column].set_xlabel("guidance weight (0: none)")
    panels[0, 0].set_ylabel("balanced accuracy")
    panels[1, 0].set_ylabel("share of relevance")
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    main()
