"""MEGRE → T1w: distance from the truth and CPU seconds of the app's registration and of others.

    .venv/bin/python benchmarks/megre.py [--heads 3] [--voxel-mm 1] [--seed 1]

Simulates heads whose motion between the two images is known, finds the brain as the app does, and
prints a row a head and recipe: CPU seconds, mean and largest distance (mm) between where a point
of the brain is looked up in the MEGRE image and where it truly is; means over the heads at the
end. ``app`` is what the participant level does: all levels on the images as they are. ``coarse``
takes both at 2 mm; ``cropped`` cuts the T1w image to 8 mm around the brain, too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_xai.bids.images import Volume, read_volume
from bids_xai.cli.simulate import main as simulate
from bids_xai.core.masks import dilate
from bids_xai.settings import EMBEDDED_TEMPLATE, OutputSpace
from bids_xai.stages import ants_tools, registration
from bids_xai.stages.brain import extract_brain
from bids_xai.templates.lookup import load_template

RECIPES = ("app", "coarse", "cropped")
EVERY = 101
"""One voxel of the brain in so many is looked at."""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heads", type=int, default=3)
    parser.add_argument("--voxel-mm", default="1")
    parser.add_argument("--seed", default="1")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        raw = Path(name) / "raw"
        heads = ["--n-participants", str(options.heads), "--sessions", "1"]
        simulate([str(raw), *heads, "--voxel-mm", options.voxel_mm, "--seed", options.seed])
        for t1w in sorted(raw.glob("sub-*/anat/*_T1w.nii.gz")):
            rows += measure(t1w, raw / "derivatives" / "truth" / t1w.parent.relative_to(raw))
    table = pd.DataFrame(rows)
    print(table.groupby("recipe", sort=False).mean(numeric_only=True).round(4).to_string())


def measure(t1w: Path, truth: Path) -> list[dict[str, Any]]:
    """A row a recipe for one head."""
    ants = ants_tools.ants_module(0)
    stem = t1w.name.removesuffix("_T1w.nii.gz")
    moving = read_volume(t1w.with_name(f"{stem}_echo-1_MEGRE.nii.gz"))
    head = extract_brain(read_volume(t1w), load_template(OutputSpace(EMBEDDED_TEMPLATE, 2)))
    fixed, brain = head.corrected, Volume(head.mask.astype(np.float32), head.corrected.affine)
    index = np.argwhere(head.mask)[::EVERY]
    points = index @ fixed.affine[:3, :3].T + fixed.affine[:3, 3]
    true = carried(ants, points, truth / f"{stem}_from-MEGRE_to-T1w_mode-image_xfm.txt")
    rows = []
    for recipe in RECIPES:
        with tempfile.TemporaryDirectory() as name:
            file = Path(name) / "xfm.txt"
            start = time.process_time()
            register(ants, recipe, fixed, moving, brain, file)
            seconds = time.process_time() - start
            error = np.linalg.norm(carried(ants, points, file) - true, axis=1)
        print(
            f"{stem} {recipe:7s} CPU s {seconds:5.1f}  error mm: mean {error.mean():.4f}  "
            f"largest {error.max():.4f}",
            flush=True,
        )
        row = {"recipe": recipe, "CPU s": seconds, "mean mm": error.mean()}
        rows.append(row | {"largest mm": error.max()})
    return rows


def register(
    ants: Any, recipe: str, fixed: Volume, moving: Volume, brain: Volume, output: Path
) -> None:
    """Write the rigid transform of a recipe."""
    if recipe != "app":
        fixed, moving, brain = (ants_tools.coarsen(ants, each) for each in (fixed, moving, brain))
    near = dilate(brain.data > 0.5, 8.0, brain.voxel_mm)
    if recipe == "cropped":
        box = ants_tools.crop(fixed, near, 0.0)
        fixed, near = ants_tools.cut(fixed, box), near[box]
    registration.register_linear(ants, fixed, moving, output, kind="Rigid", fixed_mask=near)


def carried(ants: Any, points: np.ndarray, transform: Path) -> np.ndarray:
    """Points (n, 3) in RAS mm through a transform."""
    table = pd.DataFrame(points * [-1, -1, 1], columns=["x", "y", "z"])
    moved = ants.apply_transforms_to_points(3, table, [str(transform)])
    return moved[["x", "y", "z"]].to_numpy() * [-1, -1, 1]


if __name__ == "__main__":
    main()
