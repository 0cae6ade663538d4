"""Does SpRAy find the strategies of classifiers whose strategies are known?

    .venv/bin/python benchmarks/strategies.py WORK [--cohort cheat honest] [--participants 240]
    .venv/bin/python benchmarks/strategies.py WORK --cohort iron --figure docs/images/spray.svg

``cheat``: a third of the simulated patients, and no control, carry a bright marker beside the head.
``honest``: the same people without it. Configuration A of the preset ``quick`` learns from 40 %
of each cohort; SpRAy groups and audits the heatmaps of the 50 % that are tested. Printed:
the verdicts, and the adjusted Rand index between who has a marker and who is in a group that the
audit finds suspicious. ``iron``: more R2* in the patients' nuclei, through the whole participant
level, configurations A, B and C in both spaces; printed: the adjusted Rand index of the groups with
the diagnosis. WORK keeps what is made; the same command goes on.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from leaderboard_cohorts import make_maps, people
from sklearn.metrics import adjusted_rand_score

from bids_xai.bids.files import write_json, write_text
from bids_xai.figures.clusters import Embedding, embedding_panels
from bids_xai.simulation.write import simulate_cohort

VOXEL_MM = 4.0
VOLUME = "BrainVolumeMl"  # of the brain mask, among the covariates of the audit
COHORTS = {"cheat": (30.0, 1 / 3), "honest": (30.0, None), "iron": (60.0, None)}
"""Effect in percent, share of patients with the marker."""

STUDY = """\
# Written by benchmarks/strategies.py: the preset quick, half of the people for the test.
name = "strategies"

[target]
column = "diagnosis"
negative = "NC"
positive = "AD"

[input]
suffix = "R2starmap"
space = "T1w"
scale = 40.0
maximum = 100.0
voxel_mm = 5.0

[splits]
scheme = "random"
repeats = 1
fractions = [0.4, 0.1, 0.5]

[model]
architecture = "graz"

[training]
epochs = {epochs}
batch_size = 4
learning_rate = {learning_rate}
guidance_weight = 1.0
guidance_after = 12

[training.plateau]
patience = 40
factor = 0.3
min = 1e-6
{configurations}
[attribution]
methods = ["lrp-zplus"]

[spray]
spaces = [{spaces}]
voxel_mm = 5.0
"""
CONFIGURATIONS = {"A": "", "B": "skull_strip = true\n", "C": "relevance_guided = true\n"}


def main() -> None:
    run_all(parser().parse_args())


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--cohort", nargs="+", choices=list(COHORTS), default=["cheat", "honest"])
    parser.add_argument("--participants", type=int, default=240)
    parser.add_argument("--effect", type=float, help="percent, instead of the cohort's own")
    parser.add_argument("--epochs", type=int, default=45)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[5], help="one cohort each")
    parser.add_argument("--figure", type=Path)
    return parser


def run_all(options: argparse.Namespace) -> None:
    for name in options.cohort:
        for seed in options.seeds:
            folder = make(name, seed, options)
            run_group(name, folder, seed, options)
            (tell_iron if name == "iron" else tell_cheat)(folder)
            if name == "iron" and options.figure is not None:
                draw_iron(folder, options.figure)


def make(name: str, seed: int, options: argparse.Namespace) -> Path:
    """Simulate a cohort and its maps; returns its folder, with ``raw`` and ``out``."""
    effect, cheat = COHORTS[name]
    effect = effect if options.effect is None else options.effect
    folder = options.work / f"{name}-{effect:g}-{options.participants}-{seed}"
    if (folder / "done").is_file():
        return folder
    if not (folder / "raw" / "participants.tsv").is_file():
        simulate_cohort(
            folder / "raw",
            n_participants=options.participants,
            voxel_mm=VOXEL_MM,
            max_sessions=1,
            seed=seed,
            effect_percent=effect,
            cheat=cheat,
        )
        hide_markers(folder)
    if name == "iron":
        run(
            folder / "raw",
            folder / "out",
            "participant",
            "--sloppy",
            "--nprocs",
            2,
            "--output-spaces",
            "MNI152NLin2009aSym:res-4",
        )
    else:  # nothing is registered, and the brain mask is the true one
        write_json(
            folder / "maps" / "dataset_description.json",
            {
                "Name": "Maps",
                "BIDSVersion": "1.10.0",
                "DatasetType": "derivative",
                "GeneratedBy": [{"Name": "strategies.py"}],
            },
        )
        for label in people(folder):
            make_maps(folder, "megre", label)
        (folder / "maps").rename(folder / "out")
    (folder / "done").touch()
    return folder


def hide_markers(folder: Path) -> None:
    """Move the column ``marker`` out of participants.tsv, where the audit would read it."""
    file = folder / "raw" / "participants.tsv"
    lines = rows(file)
    marked = [row["participant_id"] for row in lines if row.pop("marker", "no") == "yes"]
    (folder / "marked.json").write_text(json.dumps(marked))
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(lines[0]), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def run_group(name: str, folder: Path, seed: int, options: argparse.Namespace) -> None:
    names = "ABC" if name == "iron" else "A"
    parts = [
        f'\n[[configurations]]\nid = "{identifier}"\n{CONFIGURATIONS[identifier]}'
        for identifier in names
    ]
    spaces = '"T1w", "template"' if name == "iron" else '"T1w"'
    (folder / "study.toml").write_text(
        STUDY.format(
            configurations="".join(parts),
            spaces=spaces,
            epochs=options.epochs,
            learning_rate=options.learning_rate,
        )
    )
    steps = ["cohort", "train", "explain", "spray", "report"]
    run(
        folder / "raw",
        folder / "out",
        "group",
        "--study",
        folder / "study.toml",
        "--nprocs",
        2,
        "--omp-nthreads",
        1,
        "--random-seed",
        seed,
        "--steps",
        *steps,
    )


def run(*arguments: object) -> None:
    code = "import sys; from bids_xai.cli.main import main; sys.exit(main())"
    subprocess.run([sys.executable, "-c", code, *map(str, arguments)], check=True)


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def tell_cheat(folder: Path) -> None:
    """Print scores, groups and verdicts beside who has a marker."""
    clusters, marked, named, verdicts = judged(folder)
    print(f"== {folder.name}: {len(clusters)} heatmaps, {sum(marked)} with a marker")
    print(f"   balanced accuracy {accuracy(folder, 'A'):.2f}")
    for cluster in sorted({row["cluster"] for row in clusters}):
        in_cluster = [
            m for m, row in zip(marked, clusters, strict=True) if row["cluster"] == cluster
        ]
        print(f"   cluster {cluster}: {len(in_cluster)} heatmaps, {sum(in_cluster)} with a marker")
    print(
        f"   adjusted Rand index of marker and suspicion {adjusted_rand_score(marked, named):.2f}"
    )
    for row in verdicts:
        print("   " + json.dumps(row))


def judged(folder: Path) -> tuple[list[dict[str, str]], list[bool], list[bool], list[Any]]:
    """Heatmaps, who of them has a marker, who is in a suspicious group, and the verdicts."""
    spray = spray_folder(folder)
    marked_people = set(json.loads((folder / "marked.json").read_text()))
    clusters = rows(spray / "A_T1w" / "clusters.tsv")
    marked = [row["participant_id"] in marked_people for row in clusters]
    verdicts = [row for row in rows(spray / "verdicts.tsv") if row["space"] == "T1w"]
    suspect = {row["cluster"] for row in verdicts if row["finding"] == "suspicious"}
    return clusters, marked, [row["cluster"] in suspect for row in clusters], verdicts


def tell_iron(folder: Path) -> None:
    """Print how the groups go with the diagnosis."""
    spray = spray_folder(folder)
    for configuration in "ABC":
        print(f"== {configuration}: balanced accuracy {accuracy(folder, configuration):.2f}")
        for space in ("T1w", "template"):
            clusters = rows(spray / f"{configuration}_{space}" / "clusters.tsv")
            labels = [row["cluster"] for row in clusters]
            truth = [row["y_true"] for row in clusters]
            guess = [str(float(row["probability"]) > 0.5) for row in clusters]
            print(
                f"   {space}: {len(set(labels))} groups; adjusted Rand index with the diagnosis "
                f"{adjusted_rand_score(truth, labels):.2f}, with the prediction "
                f"{adjusted_rand_score(guess, labels):.2f}"
            )
            tested = rows(spray_folder(folder) / f"{configuration}_{space}" / "confounds.tsv")
            for row in tested:
                if row["kind"] == "expected" or row["covariate"].startswith(VOLUME):
                    print(
                        f"     cluster {row['cluster']}, {row['covariate']}: effect size "
                        f"{row['effect_size']}, q {row['q']}, within diagnosis q {row['q_within']}"
                    )


def draw_iron(folder: Path, file: Path) -> None:
    """The embeddings of three configurations and two spaces, as in Fig. 1 of tinauer2025."""
    panels = {}
    for space, words in (("T1w", "T1w space"), ("template", "template space")):
        for configuration in "ABC":
            lines = rows(spray_folder(folder) / f"{configuration}_{space}" / "embedding.tsv")
            points = np.array([[float(row["x"]), float(row["y"])] for row in lines])
            panels[configuration, words] = Embedding(
                points, [row["outcome"] for row in lines], [row["cluster"] for row in lines]
            )
    write_text(file, embedding_panels(panels, ("NC", "AD")).decode())


def spray_folder(folder: Path) -> Path:
    return folder / "out" / "group" / "strategies" / "spray"


def accuracy(folder: Path, configuration: str) -> float:
    (row,) = (
        row
        for row in rows(folder / "out" / "group" / "strategies" / "performance.tsv")
        if row["configuration"] == configuration and row["split"] == "0"
    )
    return float(row["balanced_accuracy"])


if __name__ == "__main__":
    main()
