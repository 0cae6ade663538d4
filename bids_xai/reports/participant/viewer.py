"""The pages to walk through heatmaps: one a session that was explained, one a study."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bids_xai.arrays import Bools
from bids_xai.bids.images import Volume
from bids_xai.bids.names import file_name
from bids_xai.core.masks import dilate
from bids_xai.reports.participant.session_files import anat_folder, relevance_name, sessions_of
from bids_xai.reports.viewer import MapLayer, Regions, write_viewer
from bids_xai.reports.volumes import Folder, ImageFile, load, mask_on_grid
from bids_xai.templates.label_tables import read_label_table

MOST_LAYERS = 12
"""Of a page; each lies in it."""
SHOWN_AROUND_MM = 5.0
"""Of the anatomy, around the brain mask; what lies farther out could show a face."""

_NO_FACE = (
    f"The T1w image and the R2* map end {SHOWN_AROUND_MM:g} mm outside the brain mask, so that no "
    "face can be reconstructed from this file. Heatmaps are shown in full."
)
_NO_MASK = (
    "There is no brain mask, so the T1w image and the R2* map are omitted: a face could be "
    "reconstructed from them."
)


def session_page(output_dir: Path, participant: str, session: str) -> Path:
    """Where the viewer of a session lies, whether it exists or not; session : may be empty."""
    entities = {"sub": participant} | ({"ses": session} if session else {})
    folder = output_dir / f"sub-{participant}" / "figures"
    return folder / file_name(entities, "viewer", ".html")


def write_session_viewer(output_dir: Path, participant: str, session: str) -> Path | None:
    """Write the viewer of a session that has heatmaps on its T1w image; ``None`` for others."""
    folder = Folder.of(anat_folder(output_dir, {"sub": participant, "ses": session}))
    anatomy = folder.first("T1w", space=None, desc="preproc")
    heatmaps = folder.find("relmap", space="T1w")
    page = session_page(output_dir, participant, session)
    if anatomy is None or not heatmaps:
        page.unlink(missing_ok=True)
        return None
    mask = folder.first("mask", space=None, desc="brain")
    brain = None if mask is None else load(mask.path)
    r2star = folder.first("R2starmap", space="T1w", desc=None)
    maps = {} if r2star is None or brain is None else {"R2* map": r2star.path}
    shown, left_out = fitting({_heatmap_name(i): i.path for i in heatmaps}, MOST_LAYERS - len(maps))
    layers = [MapLayer(name, load(path)) for name, path in shown.items()]
    layers += [MapLayer(name, near(load(path), brain), "1/s") for name, path in maps.items()]
    visit = f", session {session}" if session else ""
    return write_viewer(
        page,
        output_dir,
        f"sub-{participant}{visit}: heatmaps over the T1w image",
        near(load(anatomy.path), brain),
        layers,
        _regions_of(folder),
        [_NO_MASK if brain is None else _NO_FACE, *left_out],
    )


def near(volume: Volume, brain: Volume | None) -> Volume:
    """The volume as it is up to :data:`SHOWN_AROUND_MM` outside a brain mask, 0 elsewhere.

    brain : a mask on a grid of its own; without one nothing is left
    """
    if brain is None:
        return Volume(np.zeros_like(volume.data), volume.affine)
    around: Bools = dilate(mask_on_grid(brain, volume), SHOWN_AROUND_MM, volume.voxel_mm)
    return Volume(np.where(around, volume.data, 0), volume.affine)


def fitting(files: Mapping[str, Path], most: int) -> tuple[dict[str, Path], list[str]]:
    """The first maps by name, and a sentence on those that are too many."""
    names = list(files)
    first = {name: files[name] for name in names[:most]}
    if len(names) <= most:
        return first, []
    return first, [
        f"A viewer page shows at most {MOST_LAYERS} maps. Not shown: {'; '.join(names[most:])}."
    ]


def write_viewers(output_dir: Path, participant: str) -> list[Path]:
    """Write the viewers of all sessions of a participant that have heatmaps."""
    pages = [
        write_session_viewer(output_dir, participant, session)
        for session in sessions_of(output_dir, participant)
    ]
    return [page for page in pages if page is not None]


def _heatmap_name(image: ImageFile) -> str:
    model = image.entities.get("model")
    return relevance_name(image) + (f", model {model}" if model else "")


def _regions_of(folder: Folder) -> Regions | None:
    image = folder.first("dseg", space="T1w")
    if image is None:
        return None
    table = image.path.with_name(image.path.name.removesuffix(".nii.gz") + ".tsv")
    return Regions(load(image.path), dict(read_label_table(table))) if table.is_file() else None
