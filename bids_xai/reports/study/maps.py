"""Where the relevance lies: mean heatmaps of classes and outcomes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from bids_xai.arrays import Floats
from bids_xai.bids.images import Volume
from bids_xai.bids.names import label_of
from bids_xai.figures.mosaic import mosaic, strips
from bids_xai.reports.blocks import Block, Details, Subheading, Text, embedded
from bids_xai.reports.floor_share import floor_notes
from bids_xai.reports.study.rows import grouped
from bids_xai.reports.study_files import StudyFiles, section
from bids_xai.reports.viewer import link, study_page
from bids_xai.reports.volumes import (
    ZERO_NOTE,
    Folder,
    is_signed,
    load,
    on_grid,
    positive_window,
    template_at_hand,
)
from bids_xai.settings import RELEVANCE_RESOLUTION, OutputSpace
from bids_xai.tables.numbers import plural, read_object
from bids_xai.tables.predictions import PREDICTIONS

MEAN_PERCENTILES = (50.0, 99.5)
OUTCOMES = ("TP", "FN", "TN", "FP")


@section("Mean heatmaps", "means")
def mean_heatmaps(study: StudyFiles) -> list[Block]:
    """Return the mean heatmaps of classes and outcomes, by configuration."""
    groups = {name: group_means(study, name) for name in study.identifiers}
    groups = {name: files for name, files in groups.items() if files}
    if not groups:
        return [study.missing_file("means/configuration-<C>_group-<G>_mean.nii.gz", "atlas")]
    page = study_page(study.output_dir, study.name)
    blocks: list[Block] = [*link(page, study.output_dir, "Walk through the mean heatmaps")]
    for name, files in groups.items():
        blocks += [Subheading(f"Configuration {name}"), *_spread_evenly(study, name)]
        blocks += _configuration_maps(study, name, files)
    # after the maps of all configurations: what comes last is left out first
    for name in groups:
        strips_of = _other_methods(study, name)
        if strips_of:
            n = plural(len(strips_of), "further method")
            blocks.append(Details(f"Configuration {name}: {n}", tuple(strips_of)))
    return blocks


def _spread_evenly(study: StudyFiles, identifier: str) -> list[Block]:
    """How much of the relevance lies where no input put it, by method."""
    rows = [row for row in study.rows(PREDICTIONS) if row.configuration == identifier]
    by_method = grouped(rows, lambda row: row.method)
    return [
        note
        for method, part in by_method.items()
        for note in floor_notes(str(method), [row.floor_share for row in part])
    ]


def group_means(study: StudyFiles, identifier: str) -> dict[str, Path]:
    """Group → file: positive class, negative class, then outcomes, as far as they exist."""
    pattern = re.compile(rf"configuration-{re.escape(identifier)}_group-([^_]+)_mean\.nii\.gz")
    files = {}
    for file in sorted((study.folder / "means").glob("*_mean.nii.gz")):
        match = pattern.fullmatch(file.name)
        if match:
            files[match.group(1)] = file

    def rank(group: str) -> tuple[int, str]:
        if group in OUTCOMES:
            return 2 + OUTCOMES.index(group), group
        return (0 if study.is_positive(group) else 1), group

    return {group: files[group] for group in sorted(files, key=rank)}


def _other_methods(study: StudyFiles, identifier: str) -> list[Block]:
    """The positive class by every method but the first: a strip each, with colours of its own."""
    group = label_of(study.classes[1])
    stem = f"configuration-{identifier}_group-{group}_desc-"
    blocks: list[Block] = []
    for path in sorted((study.folder / "means").glob(f"{stem}*_mean.nii.gz")):
        sidecar = read_object(path.with_name(path.name.removesuffix(".nii.gz") + ".json"))
        name = path.name.removeprefix(stem).removesuffix("_mean.nii.gz")
        method = str(sidecar.get("Method", name))
        blocks.append(_method_strip(study, identifier, method, load(path)))
    return blocks


def _method_strip(study: StudyFiles, identifier: str, method: str, mean: Volume) -> Block:
    positive = study.classes[1]
    signed = is_signed(mean.data)
    window = positive_window(mean.data, MEAN_PERCENTILES, signed=signed)
    if window is None:
        text = f"The mean map of {positive} by {method} has no relevance above zero."
        return Text(text, "note")
    background, what = template_background(study, mean)
    image = strips(
        background,
        mean.voxel_mm,
        {positive: mean.data},
        window=window,
        signed=signed,
        title=f"Configuration {identifier}: mean heatmap of {positive} by {method}",
        colour_bar_label="mean relevance",
        origin_mm=tuple(float(v) for v in mean.affine[:3, 3]),
    )
    caption = (
        f"Method {method}; {what}. {window_words(window, signed, 'this map')} They cannot be "
        "compared with the colours of another method."
    )
    described = f"Mean heatmap of {positive} by {method}, configuration {identifier}"
    return embedded(image, described, caption)


def _configuration_maps(study: StudyFiles, identifier: str, files: dict[str, Path]) -> list[Block]:
    volumes = {group: load(path) for group, path in files.items()}
    reference = next((g for g in volumes if study.is_positive(g)), next(iter(volumes)))
    base = volumes[reference]
    signed = is_signed(base.data)
    window = positive_window(base.data, MEAN_PERCENTILES, signed=signed)
    if window is None:
        return [Text(f"The mean map of {reference} has no relevance.", "note")]
    background, what = template_background(study, base)
    shared: dict[str, Any] = {
        "window": window,
        "signed": signed,
        "colour_bar_label": "mean relevance",
        "origin_mm": tuple(float(v) for v in base.affine[:3, 3]),
    }
    large = mosaic(
        background,
        base.voxel_mm,
        overlay=base.data,
        title=f"Configuration {identifier}: mean heatmap of {reference}",
        **shared,
    )
    lines = {group: on_grid(volume, base) for group, volume in volumes.items()}
    small = strips(
        background, base.voxel_mm, lines, title=f"Configuration {identifier}: groups", **shared
    )
    words = window_words(window, signed, f"the mean map of {reference}")
    caption = f"{words} {what[0].upper()}{what[1:]}."
    return [
        embedded(large, f"Mean heatmap of {reference}, configuration {identifier}", caption),
        embedded(
            small,
            f"Mean heatmaps of {', '.join(lines)}, configuration {identifier}",
            f"The same slices and the same colours for all groups. {caption}",
        ),
    ]


def window_words(window: tuple[float, float], signed: bool, of: str) -> str:
    """Return what the colours of a map mean.

    window : the values at their ends; signed : whether they stand for magnitudes of both signs;
    of : the maps whose percentiles they are
    """
    low, high = MEAN_PERCENTILES
    values = "the magnitudes" if signed else "the positive values"
    signs = " Red is positive, blue negative, white zero." if signed else ""
    return (
        f"Colours run from the {low:g} to the {high:g} percentile of {values} of {of} "
        f"({window[0]:.3g} to {window[1]:.3g}).{signs} {ZERO_NOTE}"
    )


def template_background(study: StudyFiles, like: Volume) -> tuple[Floats, str]:
    """Return the template's T1w image on a grid and words for it.

    Where the template is not at hand: the first participant's T1w image in its space, else black.
    """
    name = study.description.template or ""
    resolution = study.description.resolution or RELEVANCE_RESOLUTION
    template = template_at_hand(OutputSpace(name, resolution)) if name else None
    if template is not None:
        return on_grid(template.brain, like), f"background: T1w template {name}"
    for folder in sorted(study.output_dir.glob("sub-*/**/anat")):
        image = Folder.of(folder).first("T1w", space=name, desc="preproc")
        if image is not None:
            participant = f"sub-{image.entities.get('sub')}"
            text = f"background: T1w image of {participant} in {name} (template not available)"
            return on_grid(load(image.path), like), text
    return np.zeros(like.data.shape, np.float32), "no background: the template is not available"
