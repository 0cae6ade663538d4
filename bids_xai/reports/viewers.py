"""The pages to walk through heatmaps: one a session that was explained, one a study."""

from __future__ import annotations

from pathlib import Path

from bids_xai.bids.images import Volume
from bids_xai.bids.layout import read_json
from bids_xai.bids.names import file_name
from bids_xai.errors import UserError
from bids_xai.reports.group_maps import OUTCOMES, group_means, template_background
from bids_xai.reports.session import anat_folder, sessions_of, sidecar_of
from bids_xai.reports.study import Study
from bids_xai.reports.viewer import Layer, Regions, study_page, write_viewer
from bids_xai.reports.volumes import Folder, ImageFile, is_at_hand, load
from bids_xai.settings import OutputSpace
from bids_xai.templates.label_tables import read_label_table
from bids_xai.templates.lookup import load_atlas

MOST_LAYERS = 12
"""Of a page; each lies in it."""


def session_page(output_dir: Path, participant: str, session: str | None) -> Path:
    """Where the viewer of a session lies, whether it exists or not."""
    entities = {"sub": participant} | ({"ses": session} if session else {})
    folder = output_dir / f"sub-{participant}" / "figures"
    return folder / file_name(entities, "viewer", ".html")


def write_session_viewer(output_dir: Path, participant: str, session: str | None) -> Path | None:
    """Write the viewer of a session that has heatmaps on its T1w image; ``None`` for others."""
    folder = Folder.of(anat_folder(output_dir, {"sub": participant, "ses": session or ""}))
    anatomy = folder.first("T1w", space=None, desc="preproc")
    heatmaps = folder.find("relmap", space="T1w")
    page = session_page(output_dir, participant, session)
    if anatomy is None or not heatmaps:
        page.unlink(missing_ok=True)
        return None
    layers = [Layer(_heatmap_name(image), load(image.path)) for image in heatmaps]
    r2star = folder.first("R2starmap", space="T1w", desc=None)
    if r2star is not None:
        layers.append(Layer("R2* map", load(r2star.path), "1/s"))
    visit = f", session {session}" if session else ""
    return write_viewer(
        page, output_dir, f"sub-{participant}{visit}: heatmaps over the T1w image",
        load(anatomy.path), layers[:MOST_LAYERS], _regions_of(folder),
    )  # fmt: skip


def write_viewers(output_dir: Path, participant: str) -> list[Path]:
    """Write the viewers of all sessions of a participant that have heatmaps."""
    found = [
        write_session_viewer(output_dir, participant, session)
        for session in sessions_of(output_dir, participant)
    ]
    return [page for page in found if page is not None]


def _heatmap_name(image: ImageFile) -> str:
    about = read_json(sidecar_of(image.path)) if sidecar_of(image.path).is_file() else {}
    method = about.get("Method", image.entities.get("desc", "n/a"))
    label, model = image.entities.get("label"), image.entities.get("model")
    return f"{method}{f' for {label}' if label else ''}{f', model {model}' if model else ''}"


def _regions_of(folder: Folder) -> Regions | None:
    image = folder.first("dseg", space="T1w")
    if image is None:
        return None
    table = image.path.with_name(image.path.name.removesuffix(".nii.gz") + ".tsv")
    return Regions(load(image.path), dict(read_label_table(table))) if table.is_file() else None


def write_study_viewer(study: Study) -> Path | None:
    """Write the viewer of a study's mean heatmaps over the template; ``None`` without any."""
    files = {
        f"configuration {identifier}, mean of {group}": path
        for identifier in study.identifiers
        for group, path in group_means(study, identifier).items()
        if group not in OUTCOMES
    }
    page = study_page(study.output_dir, study.name)
    if not files:
        page.unlink(missing_ok=True)
        return None
    layers = [Layer(name, load(path)) for name, path in list(files.items())[:MOST_LAYERS]]
    base = layers[0].volume
    background, _ = template_background(study, base)
    return write_viewer(
        page, study.output_dir, f"Study {study.name}: mean heatmaps over the template",
        Volume(background, base.affine), layers, _template_regions(study),
    )  # fmt: skip


def _template_regions(study: Study) -> Regions | None:
    """The default atlas of the study's template, where that needs no network."""
    template = str(study.description.get("template") or "")
    resolution = int(study.description.get("resolution", 2))
    space = OutputSpace(template, resolution) if template else None
    if space is None or not is_at_hand(space):
        return None
    try:
        atlas = load_atlas(space)
    except UserError:
        return None
    return None if atlas is None else Regions(atlas.volume, dict(atlas.labels))
