"""Output folders with the quality tables of some sessions, and the group table that they give."""

from __future__ import annotations

import csv
from pathlib import Path

from bids_xai.tables.qc import SESSION_QC, Measure

TEMPLATE = "space-MNI152NLin2009aSym_res-2_desc-preproc_T1w"
DICE, VOLUME = f"MaskDice_{TEMPLATE}", "BrainVolumeMl_desc-brain_mask"


def add(out: Path, sub: str, ses: str = "", **values: float) -> None:
    """Write the quality table of a session; dice and volume have usual values by default."""
    stem = f"sub-{sub}_ses-{ses}" if ses else f"sub-{sub}"
    images = {"MaskDice": TEMPLATE, "BrainVolumeMl": "desc-brain_mask"}
    number = sum(map(ord, sub + ses)) % 7
    figures = {"MaskDice": 0.94 + 0.002 * number, "BrainVolumeMl": 1300 + 20 * number} | values
    rows = [
        Measure.of(f"{stem}_{images.get(metric, 'space-T1w_R2starmap')}", metric, value)
        for metric, value in figures.items()
    ]
    folder = out / f"sub-{sub}" / (f"ses-{ses}" if ses else "") / "anat"
    SESSION_QC.write(folder / f"{stem}_qc.tsv", rows)


def table(out: Path) -> dict[str, dict[str, str]]:
    with (out / "group_qc.tsv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    return {row["participant_id"] + "/" + row["session_id"]: row for row in rows}


def usual_but_two(out: Path) -> Path:
    """Ten usual sessions, one flagged, one far from the others but within the limits."""
    for number in range(10):
        add(out, f"{number:02d}")
    add(out, "low", "2", MaskDice=0.71)
    add(out, "big", BrainVolumeMl=2100.0, UndefinedVoxels=0.0)
    return out
