"""What weight and start of relevance guidance do on few scans.

    make demo
    .venv/bin/python benchmarks/guidance.py demo [--guidance 1:0 1:4 1:12 0.5:0 0.5:12] [--splits 4]

Trains configuration C of the preset ``quick`` on the simulated cohort of ``make demo``, once for
each ``WEIGHT:EPOCHS`` (the weight of the relevance term, and the epochs of plain training before it
joins), one thread each. Printed for each split: balanced accuracy, share of the test scans'
relevance inside the brain, and relevance a voxel in the nuclei, which alone differ between the
classes, as a multiple of that in the rest of the brain. What is made stays in the demo's folder;
the same command goes on.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from bids_xai.bids.files import write_text
from bids_xai.group.people import read_table

QUICK = Path(__file__).parents[1] / "bids_xai" / "studies" / "quick.toml"
EPOCHS = 45  # those of `make demo`
NUCLEI = 6  # the first indices of the simulated atlas: caudate, putamen, pallidum of both sides


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("demo", type=Path, help="folder of `make demo`")
    parser.add_argument(
        "--guidance",
        nargs="+",
        metavar="WEIGHT:EPOCHS",
        default=["1:0", "1:4", "1:12", "0.5:0", "0.5:12"],
    )
    parser.add_argument("--splits", type=int, default=4)
    args = parser.parse_args()
    print("weight:epochs\tbalanced accuracy\tinside the brain\tnuclei / rest of the brain")
    for guidance in args.guidance:
        weight, after = guidance.split(":")
        name = f"guidance-{weight.replace('.', '-')}-{after}"
        study = args.demo / f"{name}.toml"
        write_text(study, variant(name, weight, after, args.splits))
        run(args.demo, study)
        columns = results(args.demo / "out" / "group" / name)
        print(
            guidance,
            *(" ".join(f"{x:.2f}" for x in column) for column in columns),
            sep="\t",
            flush=True,
        )


def variant(name: str, weight: str, after: str, splits: int) -> str:
    """The preset with another guidance and number of splits."""
    text = QUICK.read_text(encoding="utf-8")
    changes = {
        "name": f'"{name}"',
        "repeats": splits,
        "epochs": EPOCHS,
        "guidance_weight": weight,
        "guidance_after": after,
    }
    for key, value in changes.items():
        text, n = re.subn(rf"(?m)^{key} = .*", f"{key} = {value}", text)
        if n != 1:
            raise SystemExit(f"{QUICK}: {key} stands there {n} times")
    return text


def run(demo: Path, study: Path) -> None:
    """The steps of the group level that the figures need; each call goes on where one stopped."""
    for steps in (("cohort", "train"), ("explain", "atlas")):
        subprocess.run(
            [
                Path(sys.executable).with_name("bids_xai"),
                demo / "raw",
                demo / "out",
                "group",
                "--study",
                study,
                "--configuration",
                "C",
                "--nprocs",
                "1",
                "--omp-nthreads",
                "1",
                "--steps",
                *steps,
            ],
            check=True,
            stderr=subprocess.DEVNULL,
        )


def results(folder: Path) -> tuple[list[float], list[float], list[float]]:
    """Balanced accuracy, share inside the brain and density ratio, each by split."""
    accuracy = [float(row["balanced_accuracy"]) for row in rows(folder / "performance.tsv")]
    shares: dict[str, list[float]] = defaultdict(list)
    for row in rows(folder / "predictions.tsv"):
        shares[row["split"]].append(float(row["inner_mask_share"]))
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0] * 4)
    for row in rows(folder / "atlas" / "regions.tsv"):
        first = 0 if int(row["index"]) <= NUCLEI else 2
        sums[row["split"]][first] += float(row["sum"])
        sums[row["split"]][first + 1] += float(row["n_voxels"])
    ratios = [(nuclei / n) / (rest / m) for nuclei, n, rest, m in sums.values()]
    return accuracy, [sum(values) / len(values) for values in shares.values()], ratios


def rows(table: Path) -> list[dict[str, str]]:
    return [row for _, row in read_table(table)[1]]


if __name__ == "__main__":
    main()
