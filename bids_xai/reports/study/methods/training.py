"""How the networks of a study were trained, in words."""

from __future__ import annotations

from collections.abc import Iterable

from bids_xai.reports.study.methods.words import flattened, listed, options_words, value_words
from bids_xai.reports.study_description import ConfigurationDescription
from bids_xai.studies.tables import EarlyStopping, Model, Plateau, Training
from bids_xai.tables.numbers import plural

_NETWORKS = {
    "graz": "Tinauer et al. 2025",
    "boehle": "Boehle et al. 2019",
    "rieke": "Rieke et al. 2018",
    "sixtyfour": "Eitel et al. 2019",
    "vgg-a": "Eitel et al. 2021",
    "vgg-b": "Eitel et al. 2021",
    "vgg-a-pif": "Eitel et al. 2021",
    "vgg-b-pif": "Eitel et al. 2021",
    "patch": "Eitel et al. 2021",
    "gap3": "CAM and LRP thesis",
    "gap6": "CAM and LRP thesis",
}
_OPTIMIZERS = {
    "adam": "Adam (Kingma and Ba 2015)",
    "adamw": "AdamW (Loshchilov and Hutter 2019)",
    "sgd": "stochastic gradient descent",
}
_AXES = ("left–right", "posterior–anterior", "inferior–superior")


def training_words(training: Training, model: Model) -> str:
    """Return the network and the recipe that its weights come from."""
    sgd = training.optimizer == "sgd"
    momentum = f", momentum {value_words(training.momentum)}" if sgd else ""
    decay = f", weight decay {value_words(training.weight_decay)}" if training.weight_decay else ""
    text = (
        f"The network {_network(model.architecture)}{options_words(model.options)} was "
        f"trained with {_OPTIMIZERS[training.optimizer]}{momentum} for at most {training.epochs} "
        f"epochs, with learning rate {value_words(training.learning_rate)}{decay} and "
        f"{training.batch_size * training.accumulate} scans per step."
    )
    text += _plateau(training.plateau) + _stopping(training.early_stopping)
    if training.class_weights == "balanced":
        text += " The classes were weighted by their inverse frequency."
    return text + _changes(training) + " The weights of the best epoch by validation were kept."


def _network(name: str) -> str:
    return f"{name} ({_NETWORKS[name]})" if name in _NETWORKS else name


def _plateau(plateau: Plateau) -> str:
    if not plateau.patience:
        return ""
    restored = ", and the best weights so far were restored." if plateau.reset_weights else "."
    return (
        f" After {plateau.patience} epochs without a lower validation loss, the learning "
        f"rate was multiplied by {value_words(plateau.factor)} (at least "
        f"{value_words(plateau.min)}){restored}"
    )


def _stopping(stopping: EarlyStopping) -> str:
    if not stopping.patience:
        return ""
    metric = stopping.metric.replace("_", " ")
    return f" Training stopped after {stopping.patience} epochs without a better {metric}."


def _changes(training: Training) -> str:
    """Augmentation and transfer, where the study has them."""
    text, changes = "", training.augmentation
    if changes.flip_axes:
        directions = listed(_AXES[axis] for axis in changes.flip_axes)
        axes = "axis" if len(changes.flip_axes) == 1 else "axes"
        text += f" Training maps were mirrored at random along the {directions} {axes}."
    if changes.shift_voxels:
        text += f" Training maps were shifted by up to {changes.shift_voxels} voxels."
    if changes.skull_strip:
        probability = value_words(changes.skull_strip)
        text += f" Training maps were skull-stripped with probability {probability}."
    if training.transfer is not None:
        text += f" Training started from the weights of {training.transfer.model}."
    return text


def configurations_words(
    configurations: Iterable[ConfigurationDescription], training: Training
) -> str:
    """Return how the configurations differ, and what guides the guided ones."""
    configurations = list(configurations)
    text = " ".join(f"Configuration {entry.id}: {_differs(entry)}." for entry in configurations)
    if not any(entry.relevance_guided for entry in configurations):
        return text
    later = (
        f", after {plural(training.guidance_after, 'epoch')} without it"
        if training.guidance_after
        else ""
    )
    return (
        f"{text} Relevance guidance (Tinauer et al. 2025) adds to the loss the relevance inside "
        f"the mask ({training.guidance_mask}) with weight "
        f"−{value_words(training.guidance_weight)}{later}."
    )


def _differs(entry: ConfigurationDescription) -> str:
    words = ["maps without the skull" if entry.skull_strip else "maps as they are"]
    words.append("relevance guided" if entry.relevance_guided else "not relevance guided")
    tables = {"input": entry.input, "model": entry.model, "training": entry.training}
    changes = flattened({name: table for name, table in tables.items() if table})
    return ", ".join([*words, *(f"{key} {value_words(value)}" for key, value in changes)])
