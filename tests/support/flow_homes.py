"""Hand-made TemplateFlow homes: a ball for a brain, halves for an atlas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bids_xai.bids.files import write_nifti
from bids_xai.settings import OutputSpace

UseHome = Callable[..., None]

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
FLOW_HOME = SHARED / "templateflow"
SHAPE = (20, 24, 18)  # of hand-made templates, 4 mm
AFFINE = np.array([[4.0, 0, 0, -38], [0, 4, 0, -50], [0, 0, 4, -32], [0, 0, 0, 1]])


@dataclass(frozen=True)
class InCohort(OutputSpace):
    """An output space with a cohort, whether or not the settings can say so."""

    cohort: str = ""


def ball() -> np.ndarray:
    """A brain of 28 mm radius about the world's origin, on the hand-made grid."""
    index = np.moveaxis(np.indices(SHAPE), 0, -1)
    world = index @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    return (np.linalg.norm(world, axis=-1) < 28).astype(np.uint8)


def put(home: Path, name: str, data: np.ndarray | None = None, affine: np.ndarray = AFFINE) -> Path:
    """Write ``tpl-X_…`` into its folder: an image, a table (``data``), or 0 bytes."""
    entities = dict(part.split("-", 1) for part in name.split("_") if "-" in part)
    folder = home / f"tpl-{entities['tpl']}"
    if "cohort" in entities:
        folder /= f"cohort-{entities['cohort']}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    if data is None:
        path.touch()
    else:
        write_nifti(path, data, affine)
    return path


def put_template(home: Path, stem: str = "tpl-Toy_res-02", *, head: bool = True) -> None:
    """Write a mask and a head (values 100 in, 40 around the brain) or a brain image."""
    put(home, f"{stem}_desc-brain_mask.nii.gz", ball())
    if head:
        put(home, f"{stem}_T1w.nii.gz", (40 + 60 * ball()).astype(np.float32))
    else:
        put(home, f"{stem}_desc-brain_T1w.nii.gz", (90 * ball()).astype(np.float32))


def left_right() -> np.ndarray:
    """Labels of the ball: 300 on the left, 70000 on the right, none within 2 mm of x = 0."""
    x = AFFINE[0, 0] * np.arange(SHAPE[0]) + AFFINE[0, 3]
    sides = np.where(x < 0, 300, 70000)[:, None, None]
    return (sides * ball()).astype(np.int32)
