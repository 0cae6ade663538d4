"""Brain masks of heads that a coil makes bright near the scalp: with and without the field.

    python benchmarks/receive_bias.py T1W.nii.gz… [--ratios 1 4 10]

Multiplies each T1w image with the receive field of the simulator and prints for every ratio the
volume of the mask, its overlap (Dice) with that of the first ratio, whether a second attempt was
needed, and seconds of processor time.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from bids_xai.bids.images import Volume, read_volume
from bids_xai.core.masks import dice, foreground
from bids_xai.settings import EMBEDDED_TEMPLATE, OutputSpace
from bids_xai.simulation.receive import receive_field
from bids_xai.stages.brain import extract_brain
from bids_xai.templates.lookup import load_template


def brightened(image: Volume, ratio: float) -> Volume:
    """The image as a coil around the upper 150 mm of the head would give it."""
    head = np.argwhere(foreground(image.data)) @ image.affine[:3, :3].T + image.affine[:3, 3]
    upper = head[head[:, 2] > np.quantile(head[:, 2], 0.9995) - 150]
    centre = (upper.min(0) + upper.max(0)) / 2
    voxels = np.indices(image.data.shape).reshape(3, -1)
    points = image.affine[:3, :3] @ voxels + image.affine[:3, 3:]
    field = receive_field(points, centre, ratio).reshape(image.data.shape)
    return Volume((image.data * field).astype(np.float32), image.affine)


def main() -> None:
    """Measure every image."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, nargs="+")
    parser.add_argument("--ratios", type=float, nargs="+", default=[1, 4, 10])
    options = parser.parse_args()
    template = load_template(OutputSpace(EMBEDDED_TEMPLATE, 2))
    for file in options.images:
        image, first = read_volume(file), None
        for ratio in options.ratios:
            began = time.process_time()
            found = extract_brain(brightened(image, ratio), template)
            seconds = time.process_time() - began
            first = found.mask if first is None else first
            volume_ml = found.mask.sum() * np.prod(image.voxel_mm) / 1000
            print(
                f"{file.name} x {ratio:g}: {volume_ml:.0f} ml, Dice {dice(found.mask, first):.3f}, "
                f"second attempt: {found.is_biased}, {seconds:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
