"""The methods text of a run, ready for a paper: ``logs/CITATION.md``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import bids_xai
from bids_xai.bids.files import write_text
from bids_xai.settings import EMBEDDED_TEMPLATE

_PACKAGES = ("antspyx", "nibabel", "nipype", "numpy", "pybids", "scipy")
_ESTIMATORS = {
    "nlls": "by nonlinear least squares on the magnitudes",
    "loglin": "by linear least squares on the log magnitudes, weighted by the squared magnitudes",
}
_SLOPPY = (
    "The option --sloppy was set: registrations had few iterations, and the template's mask was "
    "carried over by an affine transform alone. Such results are for tests, not for analysis."
)
_REFERENCES = {
    "bids": "Gorgolewski KJ et al. (2016). The brain imaging data structure, a format for "
    "organizing and describing outputs of neuroimaging experiments. Scientific Data 3:160044. "
    "doi:10.1038/sdata.2016.44",
    "nipype": "Gorgolewski K et al. (2011). Nipype: a flexible, lightweight and extensible "
    "neuroimaging data processing framework in Python. Frontiers in Neuroinformatics 5:13. "
    "doi:10.3389/fninf.2011.00013",
    "n4": "Tustison NJ et al. (2010). N4ITK: improved N3 bias correction. IEEE Transactions on "
    "Medical Imaging 29(6):1310–1320. doi:10.1109/TMI.2010.2046908",
    "syn": "Avants BB et al. (2008). Symmetric diffeomorphic image registration with "
    "cross-correlation: evaluating automated labeling of elderly and neurodegenerative brain. "
    "Medical Image Analysis 12(1):26–41. doi:10.1016/j.media.2007.06.004",
    "fonov": "Fonov V et al. (2011). Unbiased average age-appropriate atlases for pediatric "
    "studies. NeuroImage 54(1):313–327. doi:10.1016/j.neuroimage.2010.07.033",
    "templateflow": "Ciric R et al. (2022). TemplateFlow: FAIR-sharing of multi-scale, "
    "multi-species brain models. Nature Methods 19:1568–1571. doi:10.1038/s41592-022-01681-2",
}


def write_citation(
    output_dir: Path, r2star_method: str, spaces: Sequence[str], sloppy: bool
) -> Path:
    """Write ``<out>/logs/CITATION.md`` and return its path.

    spaces : output spaces as ``NAME:res-N``; equal arguments and packages give equal bytes
    """
    fetched = any(space.partition(":")[0] != EMBEDDED_TEMPLATE for space in spaces)
    cited = [name for name in _REFERENCES if fetched or name != "templateflow"]
    paragraphs = [
        "# Methods",
        _processing(r2star_method),
        _normalisation(spaces, fetched),
        *([_SLOPPY] if sloppy else []),
        _software(),
        "# References",
        *(_REFERENCES[name] for name in cited),
    ]
    return write_text(output_dir / "logs" / "CITATION.md", "\n\n".join(paragraphs) + "\n")


def _processing(r2star_method: str) -> str:
    how = _ESTIMATORS.get(r2star_method, f"by the method {r2star_method}")
    return (
        "Data organised by the Brain Imaging Data Structure (Gorgolewski 2016) were processed with "
        f"bids_xai {bids_xai.__version__}, built on Nipype (Gorgolewski 2011). R2* and S0 maps "
        "were estimated from the magnitude images of the multi-echo gradient echo, S(t) = S0 "
        f"exp(-t R2*), voxel by voxel {how}. The T1-weighted image was corrected for intensity "
        "inhomogeneity with N4 (Tustison 2010); its brain mask is the mask of the template "
        f"{EMBEDDED_TEMPLATE} (Fonov 2011), carried over by registration and adjusted to the "
        "intensities of the tissue."
    )


def _normalisation(spaces: Sequence[str], fetched: bool) -> str:
    source = ", from TemplateFlow (Ciric 2022)" if fetched else ""
    return (
        "The first echo was registered rigidly to the T1-weighted image by mutual information, and "
        "the skull-stripped T1-weighted image to the template by an affine and a symmetric "
        "diffeomorphic transform (ANTs SyN, Avants 2008). Maps were resampled by linear "
        f"interpolation. Output spaces (a resolution after each){source}: {', '.join(spaces)}."
    )


def _software() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return f"Software: bids_xai {bids_xai.__version__}, {packages}."
