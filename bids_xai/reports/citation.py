"""The methods text of a run, ready for a paper: ``logs/CITATION.md``."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import bids_xai
from bids_xai.bids.files import write_text
from bids_xai.settings import EMBEDDED_TEMPLATE, RunSettings

_PACKAGES = ("antspyx", "nibabel", "nipype", "numpy", "pybids", "scipy")
_ESTIMATORS = {
    "nlls": "by nonlinear least squares on the magnitudes",
    "loglin": "by linear least squares on the log magnitudes, weighted by the squared magnitudes",
    "arlo": "by auto-regression on linear operations (ARLO, Pei 2015)",
    "numart2s": "by trapezoidal integration of the decay (NumART2*, Hagberg 2002)",
}
_ARTICLES = {"rigid": "a rigid", "affine": "an affine"}
_MASKS = {
    "auto": "its brain mask is the mask of the template "
    f"{EMBEDDED_TEMPLATE} (Fonov 2011), carried over by registration and adjusted to the "
    "intensities of the tissue.",
    "derivatives": "its brain mask was taken from another dataset where that has one, else it is "
    f"the mask of the template {EMBEDDED_TEMPLATE} (Fonov 2011), carried over by registration and "
    "adjusted to the intensities of the tissue.",
    "synthstrip": "its brain mask was found by SynthStrip (Hoopes 2022).",
}
_NORMALISATIONS = {
    "none": "The centre of the T1-weighted image was laid onto that of the template, with no "
    "other transform",
    "linear": "The skull-stripped T1-weighted image was registered to the template by an affine "
    "transform (ANTs)",
    "nonlinear": "The skull-stripped T1-weighted image was registered to the template by an "
    "affine transform (ANTs) and a diffeomorphic one ",
}
_ENGINES = {
    "ants": "(ANTs SyN, Avants 2008, cross-correlation)",
    "greedy": "(greedy, Yushkevich 2016, normalised cross-correlation)",
}
_FLAIR = (
    "The FLAIR image was corrected for intensity inhomogeneity with N4, registered rigidly to the "
    "T1-weighted image by mutual information and resampled by linear interpolation."
)
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
    "greedy": "Yushkevich PA et al. (2016). Fast automatic segmentation of hippocampal subfields "
    "and medial temporal lobe subregions in 3 Tesla and 7 Tesla T2-weighted MRI. Alzheimer's & "
    "Dementia 12(7S):P126–P127. doi:10.1016/j.jalz.2016.06.205",
    "arlo": "Pei M et al. (2015). Algorithm for fast monoexponential fitting based on "
    "auto-regression on linear operations (ARLO) of data. Magnetic Resonance in Medicine "
    "73(2):843–850. doi:10.1002/mrm.25137",
    "numart2s": "Hagberg GE et al. (2002). Real-time quantification of T2* changes using "
    "multiecho planar imaging and numerical methods. Magnetic Resonance in Medicine "
    "48(5):877–882. doi:10.1002/mrm.10283",
    "synthstrip": "Hoopes A et al. (2022). SynthStrip: skull-stripping for any brain image. "
    "NeuroImage 260:119474. doi:10.1016/j.neuroimage.2022.119474",
    "valverde": "Valverde S et al. (2014). A white matter lesion-filling approach to improve "
    "brain tissue volume measurements. NeuroImage: Clinical 6:86–92. "
    "doi:10.1016/j.nicl.2014.08.016",
    "fonov": "Fonov V et al. (2011). Unbiased average age-appropriate atlases for pediatric "
    "studies. NeuroImage 54(1):313–327. doi:10.1016/j.neuroimage.2010.07.033",
    "templateflow": "Ciric R et al. (2022). TemplateFlow: FAIR-sharing of multi-scale, "
    "multi-species brain models. Nature Methods 19:1568–1571. doi:10.1038/s41592-022-01681-2",
}


def write_citation(settings: RunSettings) -> Path:
    """Write ``<out>/logs/CITATION.md`` for this run and return its path.

    Equal settings and packages give equal bytes.
    """
    paragraphs = [
        "# Methods",
        *_paragraphs(settings),
        f"Software: {_software()}.",
        "# References",
        *(_REFERENCES[name] for name in _cited(settings)),
    ]
    text = "\n\n".join(paragraphs) + "\n"
    return write_text(settings.output_dir / "logs" / "CITATION.md", text)


def _paragraphs(settings: RunSettings) -> list[str]:
    found = [_anatomy(settings)]
    if "megre" in settings.inputs:
        found.append(_relaxometry(settings))
    if "FLAIR" in settings.inputs:
        found.append(_FLAIR)
    maps = [name for name in settings.inputs if name not in ("megre", "T1w", "FLAIR")]
    if maps:
        found.append(
            f"Precomputed maps ({', '.join(maps)}) were taken to lie on the T1-weighted image by "
            "their headers and resampled by linear interpolation."
        )
    found.append(_normalisation(settings))
    return [*found, _SLOPPY] if settings.sloppy else found


def _anatomy(settings: RunSettings) -> str:
    return (
        "Data organised by the Brain Imaging Data Structure (Gorgolewski 2016) were processed with "
        f"bids_xai {bids_xai.__version__}, built on Nipype (Gorgolewski 2011). The T1-weighted "
        "image was corrected for intensity inhomogeneity with N4 (Tustison 2010); "
        + _MASKS[settings.brain_mask]
    )


def _relaxometry(settings: RunSettings) -> str:
    how = _ESTIMATORS[settings.r2star_method]
    if settings.rician:
        how = "by maximum likelihood under Rician noise whose level was measured in air"
    cut = (
        f" Echoes from the first below {settings.noise_floor:g} standard deviations of the noise "
        "in air on were left out."
        if settings.noise_floor
        else ""
    )
    return (
        "R2* and S0 maps were estimated from the magnitude images of the multi-echo gradient "
        f"echo, S(t) = S0 exp(-t R2*), voxel by voxel {how}.{cut} The first echo was registered "
        f"to the T1-weighted image by {_ARTICLES[settings.megre_transform]} transform, by mutual "
        "information, and R2* maps were resampled by linear interpolation."
    )


def _normalisation(settings: RunSettings) -> str:
    source = ", from TemplateFlow (Ciric 2022)" if _fetches(settings) else ""
    spaces = ", ".join(str(space) for space in settings.output_spaces)
    how = _NORMALISATIONS[settings.registration]
    if settings.registration == "nonlinear":
        how += _ENGINES[settings.registration_engine]
    return f"{how}. Output spaces (a resolution after each){source}: {spaces}."


def _fetches(settings: RunSettings) -> bool:
    return any(space.template != EMBEDDED_TEMPLATE for space in settings.output_spaces)


def _cited(settings: RunSettings) -> list[str]:
    wanted = {
        "syn": settings.registration == "nonlinear" and settings.registration_engine == "ants",
        "greedy": settings.registration == "nonlinear" and settings.registration_engine == "greedy",
        "templateflow": _fetches(settings),
        "arlo": settings.r2star_method == "arlo",
        "numart2s": settings.r2star_method == "numart2s",
        "synthstrip": settings.brain_mask == "synthstrip",
        "valverde": bool(settings.derivatives),
    }
    return [name for name in _REFERENCES if wanted.get(name, True)]


def _software() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return f"bids_xai {bids_xai.__version__}, {packages}"
