"""How heatmaps were computed, checked and clustered, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bids_xai.attribution import METHODS
from bids_xai.reports.study.methods.words import listed, options_words, value_words
from bids_xai.reports.study.spray.analyses import SPACES, embedding_name
from bids_xai.reports.study_files import StudyFiles
from bids_xai.studies.tables import Attribution, Quality, Spray

_EMBEDDINGS = {"tsne": "van der Maaten and Hinton 2008", "umap": "McInnes et al. 2018"}
_STARTS = {
    "softmax": "all softmax outputs",
    "probability": "the probability of one class",
    "logit": "the logit of one class",
}


def attribution_words(attribution: Attribution, positive: str) -> str:
    """Return the methods and the class they explain; positive : name of that class."""
    methods = [
        method_words(name, attribution.options.get(name) or {}) for name in attribution.methods
    ]
    target = {
        "positive": positive,
        "predicted": "the predicted class",
        "true": "the true class",
    }.get(attribution.target, attribution.target)
    return (
        f"Test scans were explained by {'; '.join(methods)}. Methods that start at one class "
        f"explain {target}."
    )


def method_words(name: str, options: Mapping[str, Any]) -> str:
    """Return a method with its start and source.

    options : of the study; those of a variant name its method
    """
    base = str(options.get("method", name))
    method = METHODS.get(base)
    shown = {key: value for key, value in options.items() if key not in ("method", "start")}
    if method is None:
        return f"{name}{options_words(shown)}"
    start = _STARTS.get(str(options.get("start", method.start)), options.get("start"))
    title = name if base == name else f"{name}, which is {base}"
    return f"{title}{options_words(shown)}, starting at {start} ({method.source})"


def quality_words(quality: Quality) -> str:
    """Return how the heatmaps were checked; empty where they were not."""
    sentences = []
    if quality.scans:
        sentences.append(
            f"Heatmaps were checked by perturbation (Samek et al. 2017) of at most {quality.scans} "
            f"test scans per configuration, with cubes of {value_words(quality.cube_mm)} mm and "
            f"{quality.random_orders} random orders."
        )
    if quality.randomization_scans:
        sentences.append(
            "They were checked by weight randomisation (Adebayo et al. "
            f"2018) on at most {quality.randomization_scans} scans per configuration."
        )
    return " ".join(sentences)


def spray_words(spray: Spray, study: StudyFiles) -> str:
    """Return how heatmaps were clustered and embedded."""
    spaces = listed(SPACES.get(space, space) for space in spray.spaces)
    source = _EMBEDDINGS.get(spray.embedding, "")
    return (
        f"Heatmaps were clustered by SpRAy (Lapuschkin et al. 2019) in {spaces}, at "
        f"{value_words(spray.voxel_mm)} mm, with {spray.neighbours} nearest neighbours (features: "
        f"{spray.features}); the eigengap (von Luxburg 2007) gave the number of clusters, at "
        f"most {spray.max_clusters}. Stability is from {spray.bootstraps} bootstrap samples. "
        f"The embedding is by {embedding_name(study)}{f' ({source})' if source else ''}."
    )
