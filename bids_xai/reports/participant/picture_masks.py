"""What pictures outline and count: voxels of a histogram, bright tissue, template outlines."""

from __future__ import annotations

import numpy as np

from bids_xai.arrays import Bools, Floats
from bids_xai.bids.images import Volume
from bids_xai.core.masks import largest_component
from bids_xai.reports.participant.session_files import acquisition
from bids_xai.reports.volumes import (
    Folder,
    ImageFile,
    load,
    mask_on_grid,
    on_grid,
    template_at_hand,
)
from bids_xai.settings import OutputSpace

IN_BRAIN = "voxels in the brain mask"
_WITH_SIGNAL = "voxels with signal"
_BRIGHT_PERCENTILE = 60.0
_FAINT_SIGNAL = 0.1


def counted_voxels(folder: Folder, image: ImageFile, volume: Volume) -> tuple[Bools, str]:
    """The voxels that a histogram counts, and what they are."""
    if "space" in image.entities:
        mask = folder.first("mask", space=None, desc="brain")
    else:
        mask = folder.first("mask", **{**acquisition(image), "space": "MEGRE", "desc": "brain"})
    if mask is not None:
        return mask_on_grid(load(mask.path), volume), IN_BRAIN
    s0 = folder.first("S0map", **{**acquisition(image), "space": None, "desc": None})
    if s0 is None or "space" in image.entities:
        return volume.data != 0, _WITH_SIGNAL
    return with_signal(load(s0.path)), _WITH_SIGNAL


def with_signal(s0: Volume) -> Bools:
    """The largest piece of an S0 map above a tenth of what is bright."""
    return largest_component(s0.data > _FAINT_SIGNAL * np.percentile(s0.data, 99))


def bright_tissue(t1w: Floats, brain: Bools) -> Bools:
    """The brightest 40 % of the brain of a T1w image after smoothing: roughly white matter."""
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(t1w.astype(np.float32), 1.0)
    if not brain.any():
        return brain
    bright: Bools = brain & (smooth > np.percentile(smooth[brain], _BRIGHT_PERCENTILE))
    return bright


def template_outlines(folder: Folder, image: ImageFile, like: Volume) -> dict[str, Bools]:
    """The template's own outlines by name, else the participant's mask in that space, else none."""
    space, resolution = image.entities.get("space", ""), image.entities.get("res", "")
    template = template_at_hand(OutputSpace(space, int(resolution)))
    if template is not None:
        brain = mask_on_grid(template.mask, like)
        return {
            "brain mask of the template": brain,
            "edge of its brightest 40 %": bright_tissue(on_grid(template.brain, like), brain),
        }
    mask = folder.first("mask", space=space, res=resolution, desc="brain")
    if mask is None:
        return {}
    return {"brain mask of the participant": mask_on_grid(load(mask.path), like)}
