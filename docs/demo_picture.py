"""README's picture from the files of `make demo`: `.venv/bin/python docs/demo_picture.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bids_xai.bids.files import write_bytes
from bids_xai.bids.images import read_volume
from bids_xai.figures.mosaic import strips
from bids_xai.settings import EMBEDDED_TEMPLATE, OutputSpace
from bids_xai.templates.lookup import load_template

ROWS = {"A": "A plain", "B": "B skull-stripped", "C": "C guided"}


def main() -> None:
    root = Path(__file__).resolve().parents[1]
    means = root / "demo" / "out" / "group" / "quick" / "means"
    overlays = {}
    for configuration, label in ROWS.items():
        mean = read_volume(means / f"configuration-{configuration}_group-AD_mean.nii.gz")
        data = mean.canonical().data
        overlays[label] = data / np.percentile(data[data > 1e-6 * data.max()], 99.5)
    picture = strips(
        load_template(OutputSpace(EMBEDDED_TEMPLATE, 2)).brain.canonical().data,
        (2.0, 2.0, 2.0),
        overlays,
        window=(0.25, 1.0),
        slices=(4, 2),
        title="Demo: mean z+ relevance of the patients' test scans",
        colour_bar_label="relevance / 99.5th percentile",
    )
    write_bytes(root / "docs" / "images" / "demo.png", picture)


if __name__ == "__main__":
    main()
