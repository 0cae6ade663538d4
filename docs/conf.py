"""Sphinx configuration. Builds without a network; what code can tell is read from the code."""

import sys
from pathlib import Path

import bids_xai

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "bids_xai"
author = "The bids_xai developers"
copyright = "The bids_xai developers, Apache-2.0"
version = release = bids_xai.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "from_code",
    "walls",
    "plain_docstrings",
    "mathml",
]
exclude_patterns = ["_build", "_ext"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_type_aliases = {
    name: name for name in ("Floats", "Ints", "Bools", "Affine", "Tensor", "nn.Module")
}
python_maximum_signature_line_length = 80

html_theme = "furo"
html_title = f"bids_xai {release}"
html_math_renderer = "mathml"
html_copy_source = False
html_show_sphinx = False
