"""Templates and atlases by name: the one door to this package."""

from bids_xai.templates.atlas_spec import AtlasSpec, parse_atlas
from bids_xai.templates.atlases import Atlas, atlas_files, load_atlas, load_atlas_spec
from bids_xai.templates.template import Template, load_head, load_mask, load_template

__all__ = [
    "Atlas",
    "AtlasSpec",
    "Template",
    "atlas_files",
    "load_atlas",
    "load_atlas_spec",
    "load_head",
    "load_mask",
    "load_template",
    "parse_atlas",
]
