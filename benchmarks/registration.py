"""T1w → template: recipes against simulated truth and real heads.

    .venv/bin/python benchmarks/registration.py [--heads 3] [--real] [--recipes ants greedy ...]
    .venv/bin/python benchmarks/registration.py --priors

One row a recipe, means over the heads: CPU seconds of the registration (not of the brain mask),
Dice of the warped brain mask with the template's, correlation within it, Dice of tissue classes,
fraction of voxels with a Jacobian ≤ 0, sd of the log Jacobian. Simulated heads have a true way
back to the template: ``nuclei`` is the mean Dice of the six true nuclei at 2 mm, each label warped
linearly and cut at one half, ``worst`` the least of them; ``nearest`` is their mean Dice by nearest
neighbour, ``ceiling`` the same through the *true* field (two grids of 2 mm cost that much),
``exact`` compares the shapes themselves, sampled through both fields, and ``error`` is the mean
distance (mm) in the brain. Real heads: ``round trip`` is the Dice of atlas labels taken to the T1w
grid and back. greedy needs ``pip install picsl_greedy``.

``--priors`` asks instead whether the brain is found better with a head template (skull and scalp)
than with the brain alone: Dice of the first prior, and of what refinement makes of it, with the
mask at the end of the usual extraction, on the real heads.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from scipy import ndimage

from bids_xai.bids.images import Volume, read_volume
from bids_xai.core.masks import dice, dilate, refine_brain_mask
from bids_xai.core.regions.nuclei import label_points
from bids_xai.core.registration_quality import correlation, jacobian, smoothness
from bids_xai.settings import EMBEDDED_TEMPLATE, OutputSpace
from bids_xai.stages import ants_tools, brain, greedy_tools, registration, syn
from bids_xai.stages.brain import extract_brain
from bids_xai.templates.lookup import Template, load_atlas, load_head, load_template

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"
SHARED = Path(os.environ.get("BIDS_XAI_DATA", _BESIDE))
"""Real heads, templates and atlases, which are not part of the repository: docs/registration.md."""
LPS = np.array([-1.0, -1.0, 1.0])
NUCLEI = range(1, 7)
RECIPES = ("none", "linear", "mattes", "ants", "greedy")


@dataclass(frozen=True)
class Head:
    """A T1w image with its own brain mask; ``truth`` is the stem of the truth's files."""

    name: str
    image: Volume
    mask: Volume
    truth: str | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heads", type=int, default=3, help="simulated heads (0: none)")
    parser.add_argument("--real", action="store_true", help="also the real heads")
    parser.add_argument("--recipes", nargs="+", default=RECIPES, choices=RECIPES)
    parser.add_argument("--priors", action="store_true", help="head template against brain alone")
    options = parser.parse_args()
    if options.priors:
        compare_priors()
        return
    with tempfile.TemporaryDirectory() as name:
        if options.heads:
            space = OutputSpace(EMBEDDED_TEMPLATE, 2)
            compare(simulated(Path(name), options.heads), space, options.recipes, None)
    if options.real and not SHARED.is_dir():
        print(f"no real heads: {SHARED} is not here")
    elif options.real:
        os.environ["TEMPLATEFLOW_HOME"] = str(SHARED / "templateflow")
        os.environ["TEMPLATEFLOW_AUTOUPDATE"] = "off"
        heads = [
            prepared(n, SHARED / f"real-bids/sub-{n}/anat/sub-{n}_T1w.nii.gz")
            for n in ("uih", "lia")
        ]
        for space, labels in real_spaces():
            compare(heads, space, options.recipes, labels)


def compare_priors() -> None:
    """Print a row a real head and kind of prior."""
    os.environ["TEMPLATEFLOW_HOME"] = str(SHARED / "templateflow")
    os.environ["TEMPLATEFLOW_AUTOUPDATE"] = "off"
    ants, space = ants_tools.ants_module(0), OutputSpace("MNI152NLin6Asym", 2)
    template, whole = load_template(space), load_head(space)
    for name in ("uih", "lia"):
        extracted = extract_brain(
            read_volume(SHARED / f"real-bids/sub-{name}/anat/sub-{name}_T1w.nii.gz"), template
        )
        work = ants_tools.coarsen(ants, extracted.corrected)
        mask = Volume(extracted.mask.astype(np.float32), extracted.corrected.affine)
        final = ants_tools.resample(ants, mask, work, []) > 0.5
        for kind in ("brain", "head"):
            start = time.process_time()
            if kind == "brain":
                prior = brain._warped_prior(ants, work, template, seed=0, sloppy=False)
            else:
                prior = head_prior(ants, work, template, whole)
            took, refined = time.process_time() - start, prior
            for _ in range(3):
                refined = refine_brain_mask(work.data, refined, work.voxel_mm)
            print(
                f"{name} {kind:5s}  CPU s {took:.1f}  prior {dice(prior, final):.3f}  "
                f"refined {dice(refined, final):.3f}",
                flush=True,
            )


def head_prior(ants: object, work: Volume, template: Template, whole: Volume) -> np.ndarray:
    """The template's mask brought over by registering heads, within 20 mm of the brain."""
    reach = dilate(template.mask.data > 0, 20.0, template.brain.voxel_mm)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = brain._top_aligned(ants, work, template, folder / "start.mat")
        affine = registration.register_linear(
            ants, whole, work, folder / "affine.mat", kind="Affine", fixed_mask=reach, initial=start
        )
        syn.register_deformable(
            ants,
            whole,
            work,
            forward=folder / "f.h5",
            inverse=folder / "i.h5",
            fixed_mask=reach,
            recipe=syn.ROUGH,
            initial=affine,
        )
        return ants_tools.resample(ants, template.mask, work, [folder / "i.h5"]) > 0.5


def real_spaces() -> list[tuple[OutputSpace, Volume]]:
    """Template spaces at 2 and 1 mm, each with labels of subcortical structures at 1 mm."""
    six = "tpl-MNI152NLin6Asym/tpl-MNI152NLin6Asym"
    names = pd.read_csv(SHARED / "templateflow" / f"{six}_atlas-HOSPA_dseg.tsv", sep="\t")
    nuclei = names["name"].str.contains("caud|puta|pall|thal|hippo|amyg", case=False)
    hospa = SHARED / "templateflow" / f"{six}_res-01_atlas-HOSPA_desc-th25_dseg.nii.gz"
    labels = read_volume(hospa, np.int32)
    deep = np.where(np.isin(labels.data, names["index"][nuclei]), labels.data, 0)
    cit = SHARED / "atlases" / "tpl-MNI152NLin2009cAsym_atlas-CIT168_res-1_dseg.nii.gz"
    return [
        (OutputSpace("MNI152NLin6Asym", 2), Volume(deep, labels.affine)),
        (OutputSpace("MNI152NLin2009cAsym", 1), read_volume(cit, np.int32)),
    ]


def prepared(name: str, file: Path, truth: str | None = None) -> Head:
    """Find the brain with our own extraction."""
    start = time.process_time()
    extracted = extract_brain(read_volume(file), load_template(OutputSpace(EMBEDDED_TEMPLATE, 2)))
    took = time.process_time() - start
    mask = Volume(extracted.mask.astype(np.float32), extracted.corrected.affine)
    note = ""
    if truth:
        true = read_volume(Path(f"{truth}_desc-brain_mask.nii.gz")).data
        note = f", Dice with the true mask {dice(extracted.mask, true):.3f}"
    print(f"{name}: brain mask in {took:.0f} CPU s{note}", flush=True)
    return Head(name, extracted.corrected, mask, truth)


def simulated(folder: Path, n_heads: int) -> list[Head]:
    from bids_xai.cli.simulate import main as simulate

    raw = folder / "raw"
    simulate([str(raw), "--n-participants", str(n_heads), "--seed", "1"])
    heads = []
    for file in sorted(raw.glob("sub-*/ses-1/anat/*_T1w.nii.gz"))[:n_heads]:
        stem = file.name[: -len("_T1w.nii.gz")]
        truth = raw / "derivatives" / "truth" / file.parent.relative_to(raw) / stem
        heads.append(prepared(stem, file, str(truth)))
    return heads


def compare(
    heads: list[Head], space: OutputSpace, recipes: list[str], labels: Volume | None
) -> None:
    """Print a row a recipe."""
    template = load_template(space)
    print(f"\n{space}, {len(heads)} heads")
    for recipe in recipes:
        rows = [measure(head, template, space, recipe, labels) for head in heads]
        means = {key: np.mean([row[key] for row in rows]) for key in rows[0]}
        print(f"{recipe:8s} " + "  ".join(f"{k} {v:.3f}" for k, v in means.items()), flush=True)


def measure(
    head: Head, template: Template, space: OutputSpace, recipe: str, labels: Volume | None
) -> dict[str, float]:
    ants = ants_tools.ants_module(0)
    with tempfile.TemporaryDirectory() as name:
        forward, inverse = Path(name) / "forward.h5", Path(name) / "inverse.h5"
        start = time.process_time()
        register(ants, head, template, recipe, forward, inverse)
        row = {"CPU s": time.process_time() - start}
        row |= fit(ants, head, template, forward)
        field = displacement(ants, template.brain, forward)
        smooth = smoothness(jacobian(field, template.brain.affine), template.mask.data > 0)
        row |= {"folded": smooth.folded, "sd log J": smooth.sd_log}
        if head.truth:
            row |= against_truth(ants, head, template, space, forward, field)
        if labels is not None:
            row |= {"round trip": round_trip(ants, head, labels, forward, inverse)}
    return row


def register(
    ants: object, head: Head, template: Template, recipe: str, forward: Path, inverse: Path
) -> None:
    method = recipe if recipe in ("none", "linear") else "nonlinear"
    registration.register_to_template(
        ants,
        template.brain,
        template.mask,
        head.image,
        head.mask,
        method=method,
        forward=forward,
        inverse=inverse,
        recipe=syn.MATTES if recipe == "mattes" else None,
        deformable=greedy_tools.register_deformable if recipe == "greedy" else None,
    )


def fit(ants: object, head: Head, template: Template, forward: Path) -> dict[str, float]:
    there = template.mask.data > 0
    image = ants_tools.resample(ants, head.image, template.brain, [forward])
    mask = ants_tools.resample(ants, head.mask, template.brain, [forward]) > 0.5
    tissues, truth_tissues = three_classes(image, there), three_classes(template.brain.data, there)
    return {
        "mask Dice": dice(mask, there),
        "r": correlation(image, template.brain.data, there),
        "tissue Dice": float(np.mean([dice(tissues == k, truth_tissues == k) for k in (1, 2, 3)])),
    }


def three_classes(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Dark, middle, bright (1, 2, 3) within the mask by one-dimensional k-means."""
    values = image[mask]
    low, high = np.percentile(values, [1, 99])
    centres = low + (high - low) * np.array([0.2, 0.55, 0.85])
    for _ in range(30):
        nearest = np.abs(values[:, None] - centres).argmin(1)
        centres = np.array(
            [values[nearest == k].mean() if (nearest == k).any() else centres[k] for k in range(3)]
        )
    classes = np.zeros(mask.shape, int)
    classes[mask] = nearest + 1
    return classes


def displacement(ants: object, grid: Volume, transform: Path) -> np.ndarray:
    """Displacement (x, y, z, 3) in RAS mm of every voxel of the grid."""
    image = ants_tools.to_ants(ants, grid)
    with tempfile.TemporaryDirectory() as name:
        file = ants.apply_transforms(image, image, [str(transform)], compose=f"{name}/field_")
        return np.asarray(nib.load(file).dataobj)[:, :, :, 0, :] * LPS


def points(grid: Volume) -> np.ndarray:
    index = np.indices(grid.data.shape).reshape(3, -1).T
    return index @ grid.affine[:3, :3].T + grid.affine[:3, 3]


def against_truth(
    ants: object,
    head: Head,
    template: Template,
    space: OutputSpace,
    forward: Path,
    field: np.ndarray,
) -> dict[str, float]:
    grid, shape = template.brain, template.brain.data.shape
    atlas = load_atlas(space).volume.data
    labels = read_volume(Path(f"{head.truth}_desc-nuclei_dseg.nii.gz"))
    nearest = np.rint(ants_tools.resample(ants, labels, grid, [forward], nearest=True))
    to_template = true_way(head)
    start = points(grid)
    back = to_template(start + field.reshape(-1, 3))
    shapes = label_points(back).reshape(shape), label_points(start).reshape(shape)
    error = np.linalg.norm(back - start, axis=1).reshape(shape)
    each = [dice(carried(ants, labels, k, grid, forward), atlas == k) for k in NUCLEI]
    return {
        "nuclei": float(np.mean(each)),
        "worst": min(each),
        "nearest": float(np.mean([dice(nearest == k, atlas == k) for k in NUCLEI])),
        "ceiling": ceiling(labels, atlas, start, to_template),
        "exact": float(np.mean([dice(shapes[0] == k, shapes[1] == k) for k in NUCLEI])),
        "error": float(error[template.mask.data > 0].mean()),
    }


def carried(ants: object, labels: Volume, index: int, grid: Volume, transform: Path) -> np.ndarray:
    """One label on another grid: where linear interpolation fills more than half a voxel."""
    label = Volume((labels.data == index).astype(np.float32), labels.affine)
    return ants_tools.resample(ants, label, grid, [transform]) > 0.5


def true_way(head: Head) -> Callable[[np.ndarray], np.ndarray]:
    """The simulation's own map of T1w points (n, 3) to template points, RAS mm."""
    image = nib.load(f"{head.truth}_from-{EMBEDDED_TEMPLATE}_to-T1w_mode-image_xfm.nii.gz")
    moves = np.asarray(image.dataobj, dtype=float)[:, :, :, 0, :] * LPS
    to_index = np.linalg.inv(image.affine)

    def carry(where: np.ndarray) -> np.ndarray:
        index = (where @ to_index[:3, :3].T + to_index[:3, 3]).T
        return where + np.stack(
            [
                ndimage.map_coordinates(moves[..., k], index, order=1, mode="nearest")
                for k in range(3)
            ],
            1,
        )

    return carry


def ceiling(labels: Volume, atlas: np.ndarray, start: np.ndarray, carry: Callable) -> float:
    """Mean Dice of the labels resampled through the inverse of the true field."""
    near = ndimage.binary_dilation((atlas >= 1) & (atlas <= 6), iterations=4).ravel()
    targets = start[near]
    where = targets.copy()
    for _ in range(100):  # a contraction: the displacement is smooth
        where -= 0.7 * (carry(where) - targets)
    to_index = np.linalg.inv(labels.affine)
    index = (where @ to_index[:3, :3].T + to_index[:3, 3]).T
    densities = np.zeros(atlas.size)
    densities[near] = ndimage.map_coordinates(labels.data, index, order=0)
    densities = densities.reshape(atlas.shape)
    return float(np.mean([dice(densities == k, atlas == k) for k in NUCLEI]))


def round_trip(ants: object, head: Head, labels: Volume, forward: Path, inverse: Path) -> float:
    """Mean Dice of labels taken to a 1 mm grid over the T1w image and back to the template."""
    there = ants_tools.resample(ants, labels, head.image, [inverse], nearest=True)
    again = np.rint(
        ants_tools.resample(ants, Volume(there, head.image.affine), labels, [forward], nearest=True)
    )
    values = [v for v in np.unique(labels.data) if v and (labels.data == v).sum() > 100]
    return float(np.mean([dice(again == v, labels.data == v) for v in values]))


if __name__ == "__main__":
    main()
