"""Methods texts, ready for a paper: of each session (in its stamp), of a run (``CITATION.md``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bids_xai
from bids_xai.bids.files import write_text
from bids_xai.reports.session_references import MODEL_REFERENCES, PREPROCESSING_REFERENCES
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
    f"{EMBEDDED_TEMPLATE} (Fonov 2011), transferred by registration and refined by the "
    "intensities of the tissue.",
    "derivatives": "its brain mask was taken from another dataset where that has one, else it is "
    f"the mask of the template {EMBEDDED_TEMPLATE} (Fonov 2011), transferred by registration and "
    "refined by the intensities of the tissue.",
    "synthstrip": "its brain mask was computed by SynthStrip (Hoopes 2022).",
}
_NORMALISATIONS = {
    "none": "The centre of the T1-weighted image was aligned with that of the template, "
    "with no other transform",
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
    "The option --sloppy was set: registrations had few iterations, and the template's mask "
    "was transferred by an affine transform alone. Such results are for tests, not for analysis."
)


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
        """Return what the stamp of a session says of its methods, ``None`` where it does not."""
        entry = stamp.get("methods")
        if not entry:
            return None
        paragraphs, references = (tuple(entry.get(key, ())) for key in ("paragraphs", "references"))
        return cls(paragraphs, entry.get("versions", {}), references)


def preprocessing_methods(settings: RunSettings) -> Methods:
    """Return how a run with these settings preprocesses a session."""
    return Methods(
        tuple(_paragraphs(settings)),
        _versions(_PACKAGES),
        tuple(PREPROCESSING_REFERENCES[name] for name in _cited(settings)),
    )


def explanation_methods(settings: RunSettings, card: ModelCard) -> Methods:
    """Return how a run with these settings predicts and explains with the model of a card."""
    from bids_xai.attribution import METHODS

    sources = [METHODS[name].source for name in settings.attribution]
    network = _NETWORKS.get(card.architecture, "")
    cited = " ".join([*sources, network, _GUIDANCE if card.relevance_guided else ""])
    methods = [f"{n} ({s})" for n, s in zip(settings.attribution, sources, strict=True)]
    return Methods(
        (_model_words(card, network), _relevance_words(settings, methods)),
        _versions(_MODEL_PACKAGES),
        tuple(text for name, text in MODEL_REFERENCES.items() if name in cited),
    )


def software(versions: Mapping[str, str]) -> str:
    """Return the sentence that names the versions."""
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
    paragraphs = [_anatomy(settings)]
    if "megre" in settings.inputs:
        paragraphs.append(_relaxometry(settings))
    if "FLAIR" in settings.inputs:
        paragraphs.append(_FLAIR)
    maps = [name for name in settings.inputs if name not in ("megre", "T1w", "FLAIR")]
    if maps:
        paragraphs.append(
            f"Precomputed maps ({', '.join(maps)}) were assumed to be aligned with the T1-weighted "
            "image by their headers and resampled by linear interpolation."
        )
    paragraphs.append(_normalisation(settings))
    return [*paragraphs, _SLOPPY] if settings.sloppy else paragraphs


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
        "in air onwards were excluded."
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
    is_used = {
        "syn": settings.registration == "nonlinear" and settings.registration_engine == "ants",
        "greedy": settings.registration == "nonlinear" and settings.registration_engine == "greedy",
        "templateflow": _fetches(settings),
        "arlo": settings.r2star_method == "arlo",
        "numart2s": settings.r2star_method == "numart2s",
        "synthstrip": settings.brain_mask == "synthstrip",
        "valverde": bool(settings.derivatives),
    }
    return [name for name in PREPROCESSING_REFERENCES if is_used.get(name, True)]


@cache
def _versions(packages: tuple[str, ...]) -> Mapping[str, str]:
    """Looked up once: every session says them."""
    return {"bids_xai": bids_xai.__version__, **{name: version(name) for name in packages}}
