"""Region sums against nilearn's labels masker, and the memory of the step `atlas`.

Prints the ratio of times for many maps and three atlases on the 2 mm template, and how far the
means are apart; both read maps that are in memory. With `--memory N`, peak memory and time of the
whole step for N predictions, whose maps are read from disk (20 files, again and again).

    python benchmarks/atlas.py
    python benchmarks/atlas.py --memory 5000
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import tempfile
import time
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
from nilearn.maskers import NiftiLabelsMasker
from scipy.spatial import cKDTree

from bids_xai.bids.files import write_nifti, write_tsv
from bids_xai.bids.images import Volume
from bids_xai.core.regions.sums import RegionIndex
from bids_xai.group.atlas import step
from bids_xai.group.context import GroupContext
from bids_xai.settings import EMBEDDED_TEMPLATE, OutputSpace, RunSettings
from bids_xai.studies.schema import load_study
from bids_xai.tables.cohort import COHORT
from bids_xai.tables.predictions import PREDICTIONS
from bids_xai.templates.lookup import Atlas, load_atlas, load_template

SPACE = OutputSpace(EMBEDDED_TEMPLATE, 2)
SIZES = (120, 400)  # regions of the made-up atlases, as AAL and Schaefer have
BOUND_TIMES, BOUND_GB = 10.0, 4.0
FILES = 20
METHODS = ("lrp-zplus", "saliency")
SPLITS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--maps", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3, help="best of so many")
    parser.add_argument(
        "--memory", type=int, default=0, metavar="N", help="predictions of the step"
    )
    asked = parser.parse_args()
    if asked.memory:
        memory(asked.memory)
    else:
        speed(asked.maps, asked.repeats)


def atlases() -> list[Atlas]:
    """The embedded atlas, and two that part the brain into regions around random places."""
    template, rng = load_template(SPACE), np.random.default_rng(0)
    brain = np.argwhere(template.mask.data > 0)
    loaded = [load_atlas(SPACE)]
    for n in SIZES:
        seeds = brain[rng.choice(len(brain), n, replace=False)]
        labels = np.zeros(template.mask.data.shape, np.int32)
        labels[tuple(brain.T)] = 1000 + cKDTree(seeds).query(brain)[1]
        names = tuple((1000 + k, f"{'Left' if k % 2 else 'Right'} {k // 2}") for k in range(n))
        loaded.append(Atlas(f"Parts{n}", Volume(labels, template.mask.affine), names))
    return loaded


def speed(n_maps: int, repeats: int) -> None:
    """Time of all maps, indexing and fitting included."""
    drawn, rng = atlases(), np.random.default_rng(1)
    affine, shape = drawn[0].volume.affine, drawn[0].volume.data.shape
    maps = rng.normal(size=(*shape, n_maps)).astype(np.float32)
    image = nib.Nifti1Image(maps, affine)
    single = [np.ascontiguousarray(maps[..., k]) for k in range(n_maps)]

    def ours() -> list[np.ndarray]:
        index = RegionIndex([(a.volume.data, [value for value, _ in a.labels]) for a in drawn])
        sums = [index.sums(data) for data in single]
        return [np.array([row[k].density for row in sums]) for k in range(len(drawn))]

    def theirs() -> list[np.ndarray]:
        return [
            NiftiLabelsMasker(
                nib.Nifti1Image(a.volume.data, affine), standardize=None, resampling_target=None
            ).fit_transform(image)
            for a in drawn
        ]

    took, results = {}, {}
    for name, run in {"bids_xai": ours, "nilearn": theirs}.items():
        best = float("inf")
        for _ in range(repeats):
            started = time.perf_counter()
            results[name] = run()
            best = min(best, time.perf_counter() - started)
        took[name] = best
    apart = max(
        np.abs(a - b).max() for a, b in zip(results["bids_xai"], results["nilearn"], strict=True)
    )
    times = took["nilearn"] / took["bids_xai"]
    print(f"{n_maps} maps of {shape}, atlases of {[len(a.labels) for a in drawn]} regions")
    print(f"bids_xai {took['bids_xai']:.2f} s, nilearn {took['nilearn']:.2f} s")
    print(
        f"nilearn / bids_xai {times:.1f} (bound {BOUND_TIMES:g}: {verdict(times >= BOUND_TIMES)})"
    )
    print(f"largest difference of a mean {apart:.2g} (values of standard deviation 1)")


def memory(n_lines: int) -> None:
    """Peak memory of the step, from the start of Python."""
    with tempfile.TemporaryDirectory() as folder:
        context = study(Path(folder), n_lines)
        drawn = atlases()
        step.find_atlases = lambda _: drawn
        before = peak_gb()
        started = time.perf_counter()
        step.run(context)
        took = time.perf_counter() - started
    print(f"{n_lines} maps, atlases of {[len(a.labels) for a in drawn]} regions: {took:.0f} s")
    print(
        f"peak {peak_gb():.2f} GB, {before:.2f} GB before the step "
        f"(bound {BOUND_GB:g} GB: {verdict(peak_gb() < BOUND_GB)})"
    )


def study(folder: Path, n_lines: int) -> GroupContext:
    """Write maps, predictions and a cohort of three configurations, two methods, ten splits."""
    study = load_study("quick")
    study = dataclasses.replace(
        study, attribution=dataclasses.replace(study.attribution, methods=METHODS)
    )
    context = GroupContext(
        RunSettings(folder / "raw", folder / "out", "group"), study, EMBEDDED_TEMPLATE
    )
    template, rng = load_template(SPACE), np.random.default_rng(2)
    files = []
    for number in range(FILES):
        data = rng.exponential(size=template.mask.data.shape) * (template.mask.data > 0)
        files.append(f"relevance/sub-{number}_relmap.nii.gz")
        write_nifti(context.folder / files[-1], data.astype(np.float32), template.mask.affine)
    pairs = list(product([c.id for c in study.configurations], METHODS, range(SPLITS)))
    rows = []
    for line in range(n_lines):
        configuration, method, split = pairs[line % len(pairs)]
        ill = rng.random() < 0.5
        predicted_ill = ill if rng.random() < 0.8 else not ill
        name = files[line % FILES]
        rows.append(
            {
                "participant_id": f"sub-{line % 500:03}",
                "session_id": "n/a",
                "split": split,
                "configuration": configuration,
                "method": method,
                "set": "test",
                "true_class": "AD" if ill else "NC",
                "probability": 0.95 if predicted_ill else 0.05,
                "outcome": ("T" if ill == predicted_ill else "F") + ("P" if predicted_ill else "N"),
                "relevance": name,
                "warped": name,
            }
        )
    write_tsv(context.folder / "predictions.tsv", rows, PREDICTIONS.meanings())
    write_tsv(context.folder / "cohort.tsv", [], COHORT.meanings())
    return context


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def verdict(good: bool) -> str:
    return "kept" if good else "NOT kept"


if __name__ == "__main__":
    main()
