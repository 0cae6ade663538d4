"""How the study was done, from the settings that its ``study.json`` holds; all settings; versions.

Every sentence follows from a recorded setting; what is not recorded is not said.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from bids_xai.attribution import METHODS
from bids_xai.reports.blocks import Block, Details, Items, Subheading, Table, Text
from bids_xai.reports.references import cited
from bids_xai.reports.study.spray import SPACES, embedding_name
from bids_xai.reports.study_files import Study, section
from bids_xai.studies import tables
from bids_xai.tables.numbers import number, plural

_DIGITS = 6
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
_STUDIES = {
    "tinauer2025": "Tinauer et al. 2025",
    "boehle2019": "Boehle et al. 2019",
    "rieke2018": "Rieke et al. 2018",
    "eitel2019": "Eitel et al. 2019",
    "eitel2019-pretraining": "Eitel et al. 2019",
    "eitel-ritter2019": "Eitel and Ritter 2019",
    "eitel2021-pif": "Eitel et al. 2021",
    "klingenberg2021": "Klingenberg et al. 2021",
    "cam-lrp-thesis": "CAM and LRP thesis",
    "cam-lrp-digits": "CAM and LRP thesis",
}
_OPTIMIZERS = {
    "adam": "Adam (Kingma and Ba 2015)",
    "adamw": "AdamW (Loshchilov and Hutter 2019)",
    "sgd": "stochastic gradient descent",
}
_EMBEDDINGS = {"tsne": "van der Maaten and Hinton 2008", "umap": "McInnes et al. 2018"}
_SCALINGS = {
    "minmax": "Every map was scaled to 0 … 1.",
    "zscore": "Every voxel was standardised by mean and standard deviation over training scans.",
}
_STARTS = {
    "softmax": "all softmax outputs",
    "probability": "the probability of one class",
    "logit": "the logit of one class",
}

_AXES = ("left to right", "back to front", "down to up")

Settings = Mapping[str, Any]


@section("Methods")
def methods(study: Study) -> list[Block]:
    """Return the methods in words, ready for a paper, and the papers to cite."""
    if not study.description:
        return [study.missing("study.json", "cohort")]
    if not study.settings("target"):
        return [Text("study.json holds no settings: run the step “cohort” again.", "note")]
    paragraphs = [
        _target(study),
        _cohort(study),
        _splits(study),
        _training(study),
        _configurations(study),
        _attribution(study),
        _quality(study),
        _spray(study),
        _software(study),
    ]
    blocks: list[Block] = [Text(paragraph) for paragraph in paragraphs if paragraph]
    references = cited(" ".join(paragraphs))
    return [*blocks, Subheading("References"), Items(tuple(f"{one}." for one in references))]


def _table(study: Study, name: str, default: Any) -> dict[str, Any]:
    """A recorded table; keys that an older version did not know have their default."""
    return {**dataclasses.asdict(default), **study.settings(name)}


def _target(study: Study) -> str:
    column = study.settings("target").get("column", "")
    table = study.settings("target").get("table", "participants")
    made = _table(study, "input", tables.Input())
    after = _STUDIES.get(study.name)
    others = [name for name in study.names if name != study.classes[1]]
    parts = [
        f"The study {study.name}{f' (after {after})' if after else ''} trained networks to "
        f"tell {study.classes[1]} (positive class) from {_listed(others)}, by the column {column} "
        f"of {table}.tsv. Input: {made['suffix']} maps in {SPACES.get(made['space'])}",
        f", resampled to {_n(made['voxel_mm'])} mm voxels." if made["voxel_mm"] else ".",
    ]
    return f"{''.join(parts)} {_scaling(made)}"


def _scaling(made: Settings) -> str:
    if made["scaling"] != "fixed":
        return _SCALINGS[made["scaling"]]
    cut = f"cut at {_n(made['maximum'])} and " if made["maximum"] else ""
    return f"Values were {cut}divided by {_n(made['scale'])}."


def _cohort(study: Study) -> str:
    made = _table(study, "cohort", tables.Cohort())
    found = []
    if made["include"]:
        found.append(f"Participants were included where {made['include']}.")
    if made["exclude_failed_qc"]:
        found.append("Scans with quality figures outside their limits were left out.")
    if made["match"]:
        caliper = f", within {_n(made['caliper'])} standard deviations of the logit"
        within = caliper if made["caliper"] else ""
        found.append(
            f"The classes were matched 1:1 by propensity score on {_listed(made['match'])}{within}."
        )
    under = made["undersample"]
    if under:
        within = under["sex"] if under["equalise"] == "classes" else "class"
        found.append(
            f"Participants were drawn so that {under['equalise']} are equally frequent in every "
            f"band of {_n(under['bin_years'])} years of {under['age']}, within each {within}."
        )
    return " ".join(found)


def _splits(study: Study) -> str:
    made = _table(study, "splits", tables.Splits())
    if made["scheme"] == "fixed":
        text = "Training, validation and test sets were given by a file."
    elif made["scheme"] == "kfold":
        text = f"Participants were shared out to {made['folds']} folds; each fold was tested once"
        text += f", {made['repeats']} times." if made["repeats"] > 1 else "."
    else:
        text = f"Participants were shared out at random, {plural(made['repeats'], 'time')}: "
        text += _shares(made)
    if made["stratify"]:
        text += f" The sets were stratified by class and {_listed(made['stratify'])}."
    if made["repetitions"] > 1:
        text += (
            f" Every split was trained {made['repetitions']} times from different initial weights."
        )
    if made["test_baseline_only"]:
        text += " Only the first session of a participant was tested."
    return f"{text} All scans of a participant are in one set."


def _shares(made: Settings) -> str:
    if made["counts"]:
        validation, test = made["counts"][:2]
        return f"{validation} of each class for validation, {test} for test, the others to train."
    train, validation, test = (f"{100 * share:g} %" for share in made["fractions"])
    return f"within each class {train} for training, {validation} for validation, {test} for test."


def _training(study: Study) -> str:
    made = _table(study, "training", tables.Training())
    network = _table(study, "model", tables.Model())
    momentum = f", momentum {_n(made['momentum'])}" if made["optimizer"] == "sgd" else ""
    decay = f", weight decay {_n(made['weight_decay'])}" if made["weight_decay"] else ""
    text = (
        f"The network {_network(network['architecture'])}{_options(network['options'])} was "
        f"trained with {_OPTIMIZERS[made['optimizer']]}{momentum} for at most {made['epochs']} "
        f"epochs, with learning rate {_n(made['learning_rate'])}{decay} and "
        f"{made['batch_size'] * made['accumulate']} scans a step."
    )
    plateau, stop = made["plateau"], made["early_stopping"]
    if plateau["patience"]:
        text += (
            f" After {plateau['patience']} epochs without a lower validation loss, the learning "
            f"rate was multiplied by {_n(plateau['factor'])} (at least {_n(plateau['min'])})"
        )
        text += ", and the best weights so far were restored." if plateau["reset_weights"] else "."
    if stop["patience"]:
        metric = str(stop["metric"]).replace("_", " ")
        text += f" Training stopped after {stop['patience']} epochs without a better {metric}."
    if made["class_weights"] == "balanced":
        text += " The classes were weighted by their inverse frequency."
    return text + _changes(made) + " The weights of the best epoch by validation were kept."


def _changes(made: Settings) -> str:
    """Augmentation and transfer, where the study has them."""
    text, changes = "", made["augmentation"]
    if changes["flip_axes"]:
        directions = _listed([_AXES[axis] for axis in changes["flip_axes"]])
        text += f" Training maps were mirrored by chance {directions}."
    if changes["shift_voxels"]:
        text += f" Training maps were moved by up to {changes['shift_voxels']} voxels."
    if made["transfer"]:
        text += f" Training started from the weights of {made['transfer']['model']}."
    return text


def _network(name: str) -> str:
    return f"{name} ({_NETWORKS[name]})" if name in _NETWORKS else name


def _options(options: Settings) -> str:
    """``(beta 0.5, start logit)``, nothing for none."""
    listed = ", ".join(f"{key} {_n(value)}" for key, value in options.items())
    return f" ({listed})" if listed else ""


def _configurations(study: Study) -> str:
    made = _table(study, "training", tables.Training())
    lines = [f"Configuration {one.get('id')}: {_differs(one)}." for one in study.configurations]
    text = " ".join(lines)
    if any(one.get("relevance_guided") for one in study.configurations):
        later = (
            f", after {plural(made['guidance_after'], 'epoch')} without it"
            if made["guidance_after"]
            else ""
        )
        text += (
            " Relevance guidance (Tinauer et al. 2025) adds to the loss the relevance inside the "
            f"mask ({made['guidance_mask']}) with weight −{_n(made['guidance_weight'])}{later}."
        )
    return text


def _differs(one: Settings) -> str:
    words = ["maps without the skull" if one.get("skull_strip") else "maps as they are"]
    words.append("relevance guided" if one.get("relevance_guided") else "not relevance guided")
    for table in ("input", "model", "training"):
        words += [f"{table}.{key} {_n(value)}" for key, value in _flat(one.get(table) or {})]
    return ", ".join(words)


def _attribution(study: Study) -> str:
    made = _table(study, "attribution", tables.Attribution())
    found = [_method(str(name), made["options"].get(name) or {}) for name in made["methods"]]
    target = {
        "positive": study.classes[1],
        "predicted": "the predicted class",
        "true": "the true class",
    }.get(made["target"], made["target"])
    return (
        f"Test scans were explained by {'; '.join(found)}. Methods that start at one class explain "
        f"{target}."
    )


def _method(name: str, options: Settings) -> str:
    """A method with its start and source; a variant of a study names its method among its keys."""
    base = str(options.get("method", name))
    known = METHODS.get(base)
    shown = {key: value for key, value in options.items() if key not in ("method", "start")}
    if known is None:
        return f"{name}{_options(shown)}"
    start = _STARTS.get(str(options.get("start", known.start)), options.get("start"))
    called = name if base == name else f"{name}, which is {base}"
    return f"{called}{_options(shown)}, starting at {start} ({known.source})"


def _quality(study: Study) -> str:
    made = _table(study, "quality", tables.Quality())
    found = []
    if made["scans"]:
        found.append(
            f"Heatmaps were checked by perturbation (Samek et al. 2017) of {made['scans']} test "
            f"scans a configuration at most, with cubes of {_n(made['cube_mm'])} mm and "
            f"{made['random_orders']} random orders."
        )
    if made["randomization_scans"]:
        found.append(
            "They were checked by random weights (Adebayo et al. 2018) on "
            f"{made['randomization_scans']} scans a configuration at most."
        )
    return " ".join(found)


def _spray(study: Study) -> str:
    made = _table(study, "spray", tables.Spray())
    spaces = _listed([SPACES.get(space, space) for space in made["spaces"]])
    source = _EMBEDDINGS.get(made["embedding"], "")
    return (
        f"Heatmaps were clustered by SpRAy (Lapuschkin et al. 2019) in {spaces}, at "
        f"{_n(made['voxel_mm'])} mm, with {made['neighbours']} nearest neighbours (features: "
        f"{made['features']}); the eigengap (von Luxburg 2007) gave the number of clusters, at "
        f"most {made['max_clusters']}. Stability is from {made['bootstraps']} bootstrap samples. "
        f"The embedding is by {embedding_name(study)}{f' ({source})' if source else ''}."
    )


def _software(study: Study) -> str:
    seed = study.description.get("seed")
    versions = ", ".join(f"{name} {version}" for name, version in _versions(study).items())
    parts = [f"Software: {versions}."] if versions else []
    parts += [f"Random seed: {seed}."] if seed is not None else []
    if study.description.get("sloppy"):
        parts.append("The run was made with --sloppy: use its results for tests only.")
    return " ".join(parts)


def _versions(study: Study) -> dict[str, str]:
    found = study.description.get("versions", {})
    found = found if isinstance(found, dict) else {"bids_xai": found}
    return {str(name): str(version) for name, version in found.items()}


@section("Settings and versions")
def settings(study: Study) -> list[Block]:
    """Return the settings and versions that the study file on disk records."""
    if not study.description:
        return [study.missing("study.json", "cohort")]
    shown = ("template", "resolution", "method", "atlas", "seed")
    rows = [(key.capitalize(), number(study.description.get(key))) for key in shown]
    blocks: list[Block] = [Table("Settings", ("Setting", "Value"), tuple(rows))]
    versions = _versions(study)
    if versions:
        lines = tuple((name, f"v{v}" if v[:1].isdigit() else v) for name, v in versions.items())
        blocks.append(Table("Versions", ("Software", "Version"), lines))
    every = tuple((key, _n(value)) for key, value in _flat(study.description.get("settings") or {}))
    if every:
        caption = "Every key of the study file, with the defaults that it does not name"
        folded = Table(caption, ("Key", "Value"), every)
        blocks.append(Details(f"All {len(every)} settings of the study", (folded,)))
    return blocks


def _flat(values: Settings, prefix: str = "") -> list[tuple[str, Any]]:
    """``training.plateau.patience`` → 5, one a value; lists of tables by their ids."""
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            found += _flat(value, f"{name}.")
        elif isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
            for place, one in enumerate(value):
                found += _flat(one, f"{name}.{one.get('id', place)}.")
        else:
            found.append((name, value))
    return found


def _n(value: Any) -> str:
    """A value of a setting in words; – for none."""
    if value is None or value in ("", [], (), {}):
        return "–"
    return number(value, _DIGITS)


def _listed(names: Any) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *first, last = [str(name) for name in names]
    return f"{', '.join(first)} and {last}" if first else last
