"""Methods texts, ready for a paper: of each session (in its stamp), of a run (``CITATION.md``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bids_xai
from bids_xai.bids.files import write_text
from bids_xai.settings import EMBEDDED_TEMPLATE, RELEVANCE_RESOLUTION, RunSettings

if TYPE_CHECKING:
    from bids_xai.models.card import ModelCard

_PACKAGES = ("antspyx", "nibabel", "nipype", "numpy", "pybids", "scipy")
_MODEL_PACKAGES = ("nibabel", "nipype", "numpy", "torch")
_NETWORKS = {
    "graz": "Tinauer et al. 2025",
    "boehle": "Boehle et al. 2019",
    "rieke": "Rieke et al. 2018",
    "sixtyfour": "Eitel et al. 2019",
    **dict.fromkeys(("vgg-a", "vgg-b", "vgg-a-pif", "vgg-b-pif", "patch"), "Eitel et al. 2021"),
}
_GUIDANCE = "Tinauer et al. 2025"
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
# as the table of attribution methods, and that of networks above, name them
_MODEL_REFERENCES = {
    "Bach et al. 2015": "Bach S et al. (2015). On pixel-wise explanations for non-linear "
    "classifier decisions by layer-wise relevance propagation. PLoS ONE 10(7):e0130140. "
    "doi:10.1371/journal.pone.0130140",
    "Boehle et al. 2019": "Böhle M et al. (2019). Layer-wise relevance propagation for explaining "
    "deep neural network decisions in MRI-based Alzheimer's disease classification. Frontiers in "
    "Aging Neuroscience 11:194. doi:10.3389/fnagi.2019.00194",
    "Eitel and Ritter 2019": "Eitel F, Ritter K (2019). Testing the robustness of attribution "
    "methods for convolutional neural networks in MRI-based Alzheimer's disease classification. "
    "Lecture Notes in Computer Science 11797:3–11. doi:10.1007/978-3-030-33850-3_1",
    "Eitel et al. 2019": "Eitel F et al. (2019). Uncovering convolutional neural network decisions "
    "for diagnosing multiple sclerosis on conventional MRI using layer-wise relevance propagation. "
    "NeuroImage: Clinical 24:102003. doi:10.1016/j.nicl.2019.102003",
    "Eitel et al. 2021": "Eitel F et al. (2021). Patch individual filter layers in CNNs to harness "
    "the spatial homogeneity of neuroimaging data. Scientific Reports 11:24447. "
    "doi:10.1038/s41598-021-03785-9",
    "Montavon et al. 2017": "Montavon G et al. (2017). Explaining nonlinear classification "
    "decisions with deep Taylor decomposition. Pattern Recognition 65:211–222. "
    "doi:10.1016/j.patcog.2016.11.008",
    "Montavon et al. 2019": "Montavon G et al. (2019). Layer-wise relevance propagation: an "
    "overview. Lecture Notes in Computer Science 11700:193–209. doi:10.1007/978-3-030-28954-6_10",
    "Rieke et al. 2018": "Rieke J et al. (2018). Visualizing convolutional networks for MRI-based "
    "diagnosis of Alzheimer's disease. Lecture Notes in Computer Science 11038:24–31. "
    "arXiv:1808.02874",
    "Selvaraju et al. 2017": "Selvaraju RR et al. (2017). Grad-CAM: visual explanations from deep "
    "networks via gradient-based localization. ICCV 2017:618–626. doi:10.1109/ICCV.2017.74",
    "Shrikumar et al. 2016": "Shrikumar A et al. (2016). Not just a black box: learning important "
    "features through propagating activation differences. arXiv:1605.01713",
    "Simonyan et al. 2014": "Simonyan K et al. (2014). Deep inside convolutional networks: "
    "visualising image classification models and saliency maps. arXiv:1312.6034",
    "Smilkov et al. 2017": "Smilkov D et al. (2017). SmoothGrad: removing noise by adding noise. "
    "arXiv:1706.03825",
    "Springenberg et al. 2015": "Springenberg JT et al. (2015). Striving for simplicity: the all "
    "convolutional net. arXiv:1412.6806",
    "Sundararajan et al. 2017": "Sundararajan M et al. (2017). Axiomatic attribution for deep "
    "networks. Proceedings of Machine Learning Research 70:3319–3328",
    "Tinauer et al. 2025": "Tinauer C et al. (2025). Identifying Alzheimer's disease prediction "
    "strategies of convolutional neural network classifiers using R2* maps and spectral clustering",
    "Zeiler and Fergus 2014": "Zeiler MD, Fergus R (2014). Visualizing and understanding "
    "convolutional networks. Lecture Notes in Computer Science 8689:818–833. "
    "doi:10.1007/978-3-319-10590-1_53",
    "Zhou et al. 2016": "Zhou B et al. (2016). Learning deep features for discriminative "
    "localization. CVPR 2016:2921–2929. doi:10.1109/CVPR.2016.319",
}


@dataclass(frozen=True)
class Methods:
    """What was done, in whole sentences; ``versions``: package → version; full references."""

    paragraphs: tuple[str, ...]
    versions: Mapping[str, str]
    references: tuple[str, ...]

    @property
    def plain(self) -> dict[str, Any]:
        """The same as JSON holds it, for the stamp of a session."""
        return asdict(self)

    @classmethod
    def of_stamp(cls, stamp: Mapping[str, Any]) -> Methods | None:
        """What the stamp of a session tells of its methods, ``None`` where it tells nothing."""
        found = stamp.get("methods")
        if not found:
            return None
        return cls(tuple(found["paragraphs"]), found["versions"], tuple(found["references"]))


def preprocessing_methods(settings: RunSettings) -> Methods:
    """Return how a run with these settings preprocesses a session."""
    return Methods(
        tuple(_paragraphs(settings)),
        _versions(_PACKAGES),
        tuple(_REFERENCES[name] for name in _cited(settings)),
    )


def explanation_methods(settings: RunSettings, card: ModelCard) -> Methods:
    """Return how a run with these settings predicts and explains with the model of a card."""
    from bids_xai.attribution import METHODS

    sources = [METHODS[name].source for name in settings.attribution]
    network = _NETWORKS.get(card.architecture, "")
    said = " ".join([*sources, network, _GUIDANCE if card.relevance_guided else ""])
    methods = [f"{n} ({s})" for n, s in zip(settings.attribution, sources, strict=True)]
    return Methods(
        (_model_words(card, network), _relevance_words(settings, methods)),
        _versions(_MODEL_PACKAGES),
        tuple(text for name, text in _MODEL_REFERENCES.items() if name in said),
    )


def software(versions: Mapping[str, str]) -> str:
    """The sentence that tells the versions."""
    return f"Software: {', '.join(f'{name} {number}' for name, number in versions.items())}."


def write_citation(settings: RunSettings, card: ModelCard | None = None) -> Path:
    """Write ``<out>/logs/CITATION.md`` for this run and return its path.

    card : of the model that the run uses. Equal settings and packages give equal bytes.
    """
    parts = [preprocessing_methods(settings)]
    if card is not None:
        parts.append(explanation_methods(settings, card))
    versions = {name: number for part in parts for name, number in part.versions.items()}
    paragraphs = [
        "# Methods",
        *(paragraph for part in parts for paragraph in part.paragraphs),
        software(versions),
        "# References",
        *(reference for part in parts for reference in part.references),
    ]
    text = "\n\n".join(paragraphs) + "\n"
    return write_text(settings.output_dir / "logs" / "CITATION.md", text)


def _model_words(card: ModelCard, network: str) -> str:
    source = f" ({network})" if network else ""
    versions = ", ".join(f"{name} {number}" for name, number in card.versions.items())
    guided = (
        f" Its training rewarded relevance inside the brain mask (relevance guidance, {_GUIDANCE})."
        if card.relevance_guided
        else ""
    )
    stripped = ", multiplied by its brain mask," if card.skull_strip else ""
    grid = " × ".join(str(n) for n in card.input_shape)
    return (
        f"A trained model predicted the class ({', '.join(card.classes)}): study {card.study}, "
        f"configuration {card.configuration}, split {card.split}, SHA-256 of its weights "
        f"{card.weights_sha256[:16] or 'not known'}. Its network is {card.architecture}{source}, "
        f"trained with seed {card.seed}{f' ({versions})' if versions else ''}. Its input is "
        f"{card.suffix} in {card.space} space{stripped} on {grid} voxels.{guided}"
    )


def _relevance_words(settings: RunSettings, methods: Iterable[str]) -> str:
    target = f" for the class {settings.target}" if settings.target else ""
    scaled = ", then scaled to the sum it had before" if settings.renormalise else ""
    return (
        f"Relevance{target} was computed by {'; '.join(methods)}. It was brought to the template "
        f"{settings.output_spaces[0].template} at {RELEVANCE_RESOLUTION} mm by linear "
        f"interpolation{scaled}, and summed over the regions of atlases."
    )


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


def _versions(packages: Iterable[str]) -> dict[str, str]:
    return {"bids_xai": bids_xai.__version__, **{name: version(name) for name in packages}}
