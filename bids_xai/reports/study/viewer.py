"""The viewer of a study's mean maps."""

from __future__ import annotations

from pathlib import Path

from bids_xai.bids.images import Volume
from bids_xai.errors import UserError
from bids_xai.reports.participant.viewer import MOST_LAYERS, fitting, near
from bids_xai.reports.study.maps import OUTCOMES, group_means, template_background
from bids_xai.reports.study_files import StudyFiles
from bids_xai.reports.viewer import MapLayer, Regions, study_page, write_viewer
from bids_xai.reports.volumes import Folder, is_at_hand, load, template_at_hand
from bids_xai.settings import OutputSpace
from bids_xai.templates.lookup import Atlas, load_atlas, parse_atlas


def write_study_viewer(study: StudyFiles) -> Path | None:
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
    shown, notes = fitting(files, MOST_LAYERS)
    layers = [MapLayer(name, load(path)) for name, path in shown.items()]
    base = layers[0].volume
    regions, remarks = _template_regions(study)
    return write_viewer(
        page,
        study.output_dir,
        f"Study {study.name}: mean heatmaps over the template",
        _study_anatomy(study, base),
        layers,
        regions,
        [*notes, *remarks],
    )


def _study_anatomy(study: StudyFiles, like: Volume) -> Volume:
    """The template; where a participant stands in for it, as much as shows no face."""
    background, _ = template_background(study, like)
    anatomy, space = Volume(background, like.affine), _space_of(study)
    if space is None or template_at_hand(space) is not None:
        return anatomy
    folders = (Folder.of(path) for path in sorted(study.output_dir.glob("sub-*/**/anat")))
    masks = (folder.first("mask", space=space.template, desc="brain") for folder in folders)
    mask = next((image for image in masks if image is not None), None)
    return near(anatomy, None if mask is None else load(mask.path))


def _space_of(study: StudyFiles) -> OutputSpace | None:
    template = study.description.template
    return OutputSpace(template, study.description.resolution or 2) if template else None


def _template_regions(study: StudyFiles) -> tuple[Regions | None, list[str]]:
    """The atlas of the study's tables on its template, where that needs no network.

    Without it there is a sentence that says so.
    """
    name, space = study.description.atlas, _space_of(study)
    if space is None or not is_at_hand(space):
        return None, []
    atlas = _atlas_called(name, space) if name else _default_atlas(space)
    if atlas is not None:
        return Regions(atlas.volume, dict(atlas.labels)), []
    return None, [f"The atlas {name} of the study's tables is not available."] if name else []


def _atlas_called(name: str, space: OutputSpace) -> Atlas | None:
    """The default atlas if it has this name, else one that TemplateFlow or the package knows."""
    default = _default_atlas(space)
    if default is not None and default.name == name:
        return default
    try:
        return load_atlas(space, parse_atlas(name))
    except (UserError, ValueError):
        return None


def _default_atlas(space: OutputSpace) -> Atlas | None:
    try:
        return load_atlas(space)
    except UserError:
        return None
