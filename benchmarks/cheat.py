"""Does relevance guidance remove a shortcut, or hide it?

    .venv/bin/python benchmarks/cheat.py WORK [--participants 110] [--effects 15 60]
        [--weights 0 0.5 1 2 5 10] [--repeats 2] [--figure docs/images/guidance.png]

Most patients (90 %) and few controls (10 %) of a simulated cohort carry a bright marker beside the
head (``bids_xai_simulate --cheat``); R2* of the patients' nuclei is higher by the effect (percent).
For every effect and guidance weight a network is trained (``graz``, 5 mm, the recipe of the preset
``quick``), tested on maps as they are and on maps whose marker is replaced by the air of the other
side. Columns: balanced accuracy with and without markers, share of relevance outside the brain and
on the marker. WORK keeps cohorts and results: what is there is not made again.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bids_xai.attribution.zplus import relevance_zplus
from bids_xai.bids.images import read_volume
from bids_xai.core.inputs import centred_grid, network_input, resample_grid
from bids_xai.core.scores import classification_scores
from bids_xai.core.splits import random_splits
from bids_xai.interfaces.network_grid import common_shape
from bids_xai.models import build
from bids_xai.training.loop import train
from bids_xai.training.recipe import Recipe

VOXEL_MM = 5.0
SCALE, MAXIMUM = 40.0, 100.0  # 1/s, as the preset quick
FRACTIONS = {"train": 0.6, "validation": 0.15, "test": 0.25}
SPACE = "MNI152NLin2009aSym:res-4"  # comes with the package
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--participants", type=int, default=110)
    parser.add_argument("--effects", type=float, nargs="+", default=(15.0, 60.0))
    parser.add_argument("--weights", type=float, nargs="+", default=(0, 0.5, 1, 2, 5, 10))
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=45)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for effect in options.effects:
        scans = load_scans(cohort(options.work, options.participants, effect))
        for repeat in range(options.repeats):
            for weight in options.weights:
                file = options.work / f"effect-{effect:g}_weight-{weight:g}_repeat-{repeat}.tsv"
                row = read(file) if file.is_file() else measure(
                    scans, effect, weight, repeat, options.epochs, options.work
                )  # fmt: skip
                write(file, [row])
                print("  ".join(f"{key} {float(row[key]):.3g}" for key in COLUMNS), flush=True)
                rows.append(row)
    write(options.work / "guidance.tsv", rows)
    if options.figure:
        draw(rows, options.figure)


def cohort(work: Path, participants: int, effect: float) -> Path:
    """Simulate a cohort, fit its maps and take its true brain masks; returns its folder."""
    folder = work / f"cohort-{effect:g}"
    if not (folder / "done").is_file():
        run("bids_xai.cli.simulate", folder / "raw", "--cheat", "--n-participants", participants,
            "--voxel-mm", 4, "--sessions", 1, "--seed", 5, "--effect", effect)  # fmt: skip
        run("bids_xai.cli.main", folder / "raw", folder / "out", "participant", "--sloppy",
            "--output-spaces", SPACE, "--registration", "none", "--brain-mask", "derivatives",
            "-d", f"truth={folder / 'raw/derivatives/truth'}", "--nprocs", 2)  # fmt: skip
        (folder / "done").touch()
    return folder


def run(module: str, *arguments: object) -> None:
    code = f"import sys; from {module} import main; sys.exit(main())"
    subprocess.run([sys.executable, "-c", code, *map(str, arguments)], check=True)


def load_scans(folder: Path) -> list[Scan]:
    """All participants on one grid."""
    with (folder / "raw" / "participants.tsv").open() as stream:
        people = {row["participant_id"]: row for row in csv.DictReader(stream, delimiter="\t")}
    maps = sorted((folder / "out").glob("sub-*/anat/*_space-T1w_R2starmap.nii.gz"))
    shape = common_shape(maps, VOXEL_MM)
    return [one_scan(folder, file, people[file.name.split("_")[0]], shape) for file in maps]


def one_scan(folder: Path, file: Path, person: dict[str, str], shape: tuple[int, ...]) -> Scan:
    name = file.name.split("_")[0]
    truth = folder / "raw" / "derivatives" / "truth" / name / "anat"
    image = read_volume(file).canonical()
    marker = read_volume(truth / f"{name}_desc-marker_mask.nii.gz").canonical().data > 0
    brain = read_volume(file.parent / f"{name}_desc-brain_mask.nii.gz").canonical().data > 0
    affine = centred_grid(image.data.shape, image.affine, shape, VOXEL_MM)
    clean = np.where(marker, image.data[::-1], image.data)  # air of the other side

    def on_grid(data: np.ndarray) -> np.ndarray:
        return resample_grid(data, image.affine, shape, affine)

    return Scan(
        name, person["diagnosis"] == "AD",
        on_grid(network_input(image.data, None, scale=SCALE, maximum=MAXIMUM)),
        on_grid(network_input(clean, None, scale=SCALE, maximum=MAXIMUM)),
        (on_grid(brain) > 0.5).astype(np.float32), (on_grid(marker) > 0).astype(np.float32),
    )  # fmt: skip


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


def measure(
    scans: list[Scan], effect: float, weight: float, repeat: int, epochs: int, work: Path
) -> dict[str, float]:
    """Train one network and test it with and without markers."""
    classes = ["AD" if scan.patient else "NC" for scan in scans]
    split = random_splits([s.name for s in scans], classes, FRACTIONS, repeat + 1, seed=0)[repeat]
    parts = {name: [s for s in scans if split[s.name] == name] for name in FRACTIONS}
    model = build("graz", scans[0].volume.shape, seed=repeat)
    recipe = Recipe(
        epochs=epochs, batch_size=4, learning_rate=1e-3, patience=40, guidance_after=12,
        relevance_guided=weight > 0, guidance_weight=weight, seed=repeat,
    )  # fmt: skip
    folder = work / f"run-{effect:g}-{weight:g}-{repeat}"
    train(model, Data(parts["train"]), Data(parts["validation"]), recipe,
          folder=folder, device="cpu")  # fmt: skip
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
        "outside": float(np.mean([1 - (r * s.brain).sum() / t
                                  for r, s, t in zip(relevance, test, total, strict=True)])),
        "on_marker": float(np.mean([(r * s.marker).sum() / t
                                    for r, s, t in zip(relevance, test, total, strict=True)])),
    }  # fmt: skip


def explained(
    model: torch.nn.Module, volumes: list[np.ndarray]
) -> tuple[list[float], list[np.ndarray]]:
    """Probability of the patients' class and relevance of each volume."""
    found = [relevance_zplus(model, torch.from_numpy(v)[None, None]) for v in volumes]
    p = [float(logits.softmax(1)[0, 1].detach()) for logits, _ in found]
    return p, [relevance[0, 0].detach().numpy() for _, relevance in found]


def read(file: Path) -> dict[str, float]:
    with file.open() as stream:
        (row,) = csv.DictReader(stream, delimiter="\t")
    return {key: float(value) for key, value in row.items()}


def write(file: Path, rows: list[dict[str, float]]) -> None:
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def draw(rows: list[dict[str, float]], file: Path) -> None:
    """Accuracy and relevance over the guidance weight, one column an effect."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    effects = sorted({float(row["effect"]) for row in rows})
    figure, panels = plt.subplots(
        2, len(effects), figsize=(4 * len(effects), 5.5), sharex=True, sharey="row", squeeze=False
    )
    for column, effect in enumerate(effects):
        mine = [row for row in rows if float(row["effect"]) == effect]
        weights = sorted({float(row["weight"]) for row in mine})
        for row_of_panels, keys in ((0, ("with_marker", "without_marker")),
                                    (1, ("outside", "on_marker"))):  # fmt: skip
            axes = panels[row_of_panels, column]
            for key in keys:
                values = [[float(r[key]) for r in mine if float(r["weight"]) == w] for w in weights]
                means = [float(np.mean(v)) for v in values]
                (line,) = axes.plot(range(len(weights)), means, marker="o",
                                    label=key.replace("_", " "))  # fmt: skip
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
