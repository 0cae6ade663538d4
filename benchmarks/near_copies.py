"""How alike maps of one person and of two people are: the bound of the warning about near copies.

    bids_xai_simulate RAW --n-participants 12 --sessions 3 --seed 5
    bids_xai RAW OUT participant --sloppy
    python benchmarks/near_copies.py OUT

Repeats are sessions of one person, with other noise, another position and two years between them.
Prints for both spaces the correlations of `core.cohort.prints.likeness` within and between people.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from bids_xai.bids.images import read_volume
from bids_xai.bids.names import scan_name
from bids_xai.core.cohort.prints import likeness, scan_print


def measure(out: Path, space: str) -> None:
    """Print a line for the maps of a space."""
    files = sorted(out.glob(f"sub-*/**/anat/*_space-{space}*_R2starmap.nii.gz"))
    prints, people = [], []
    for file in files:
        stem = scan_name(file.name)
        grid = "" if space == "T1w" else f"_space-{space}*"
        (mask,) = file.parent.glob(f"{stem}{grid}_desc-brain_mask.nii.gz")
        prints.append(scan_print(read_volume(file).data, read_volume(mask).data > 0))
        people.append(stem.partition("_")[0])
    alike = likeness(prints)
    pairs = [(i, j) for i in range(len(files)) for j in range(i)]
    within = sorted(alike[i, j] for i, j in pairs if people[i] == people[j])
    between = [alike[i, j] for i, j in pairs if people[i] != people[j]]
    text = ", ".join(f"{value:.2f}" for value in within)
    print(f"{space}: {len(files)} maps; one person: {text}", end="; ")
    print(f"two people: median {np.median(between):.2f}, highest {max(between):.2f}")


def main() -> None:
    """Measure both spaces of an output folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    for space in ("T1w", "MNI152NLin2009aSym"):
        measure(out, space)


if __name__ == "__main__":
    main()
