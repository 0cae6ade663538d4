"""A training of four scans that are files of a few bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bids_xai.group.scans import Scan
from bids_xai.group.train.inputs import SplitTraining
from bids_xai.studies.schema import load_study

SETS = {"01": "train", "02": "train", "03": "validation", "04": "test"}


def split_training(root: Path, **changes: Any) -> SplitTraining:
    """Participants 01 to 04, of whom 04 is tested; configuration B of ``tinauer2025``."""
    study = load_study("tinauer2025")
    scans = []
    for label in SETS:
        files = (root / f"sub-{label}_R2starmap.nii.gz", root / f"sub-{label}_mask.nii.gz")
        for file in files:
            if not file.exists():
                file.write_text(label)
        scans.append(Scan(f"sub-{label}", label, "", ("NC", "AD")[int(label) % 2], *files, None))
    values: dict[str, Any] = {
        "study": study,
        "template": "T",
        "configuration": study.configurations[-1],
        "split": 3,
        "members": SETS,
        "scans": tuple(scans),
        "shape": (8, 9, 10),
        "folder": root / "models" / "model",
        "models_folder": root / "models",
        "seed": 2,
    }
    return SplitTraining(**values | changes)
