"""How well the configurations classify: scores, calibration, confusion, ROC curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from bids_xai.figures.calibration import Reliability, calibration_curves
from bids_xai.figures.confusion import confusion_matrices
from bids_xai.figures.panels import Curve
from bids_xai.figures.roc import RocPanel, roc_bands, roc_curves
from bids_xai.reports.blocks import Block, Items, Subheading, Table, embedded
from bids_xai.reports.study_files import Study, baselines, section, split_words, titles_of
from bids_xai.tables.numbers import MISSING, count, number, percent, plural

METRICS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "auc": "AUC",
}
_AREAS = ("auc", "macro_auc")
_TOGETHER = "\N{NO-BREAK SPACE}"
_FEATURES = {
    "volume": "the network's input, voxel by voxel",
    "regions": "the mean of the map in every region of the atlas",
    "lesion-load": "the volume of the lesions",
}


@section("Performance")
def performance(study: Study) -> list[Block]:
    """Return the table of scores, what is taken for what, and whether probabilities come true."""
    table = study.table("performance_summary.tsv")
    if table is None:
        blocks: list[Block] = [study.missing("performance_summary.tsv")]
    else:
        blocks = [_scores_table(study, table), *_baseline_notes(study)]
    if len(study.names) > 2:
        blocks += [Subheading("What is taken for what"), *_confusion(study)]
    return [*blocks, Subheading("Calibration"), *_calibration(study)]


def _scores_table(study: Study, table: Any) -> Table:
    """Lines and columns as in Table I of Tinauer et al. 2025, with the balanced accuracy."""
    metrics = dict(METRICS)
    if len(study.names) > 2:
        metrics["macro_auc"] = "Macro AUC"
    flags: dict[str, Mapping[str, Any]] = {str(c.get("id", "")): c for c in study.configurations}
    flags |= {name: {} for name in baselines(study)}
    tested = table[table["metric"] == "accuracy"].set_index("configuration")["n_splits"]
    uneven = tested.nunique() > 1
    rows = []
    for name, about in flags.items():
        mine = table[table["configuration"] == name].set_index("metric")
        rows.append(
            (
                name,
                *(number(about.get(key, MISSING)) for key in ("skull_strip", "relevance_guided")),
                *((count(float(tested.get(name, 0))),) if uneven else ()),
                *(_score(mine, metric) for metric in metrics),
            )
        )
    header = ("Id", "Skull-stripping", "Relevance-guided", *(("Splits",) if uneven else ()))
    caption = f"{_caption(study, table)} {_meanings(study)}"
    return Table(caption, (*header, *metrics.values()), tuple(rows))


def _caption(study: Study, table: Any) -> str:
    splits = int(table["n_splits"].max())
    if splits == 1:
        return "Test set of a single split."
    caption = (
        f"Test sets of {split_words(study, splits)}: mean ± standard deviation, below it "
        "[2.5, 97.5 percentile]."
    )
    of_measures = table[table["metric"].isin([*METRICS, "macro_auc"])]
    least = of_measures.groupby("configuration")["n_splits"].min()
    most = of_measures.groupby("configuration")["n_splits"].max()
    if (least < most).any():
        caption += " A test set that lacks a class is left out of the measures that need it."
    return caption


def _meanings(study: Study) -> str:
    negative, positive = study.classes
    if len(study.names) == 2:
        return (
            f"Sensitivity = share of {positive} found, specificity = share of {negative} found. "
            "AUC: area under the receiver operating characteristic curve."
        )
    return (
        f"Balanced accuracy = mean over the {len(study.names)} classes of the share found. "
        f"Sensitivity = share of {positive} found, specificity = share of the others not taken "
        f"for {positive}. AUC: area under the receiver operating characteristic curve of "
        f"{positive} against the others; macro AUC: the mean of such areas over all classes."
    )


def _score(mine: Any, metric: str) -> str:
    """``64.2 ± 6.5 %`` with ``[53.5, 76.9]`` below, areas as ``0.64 ± 0.06`` and ``[0.53, 0.77]``.

    mine : lines of one configuration, by metric
    """
    if metric not in mine.index:
        return MISSING
    plain = metric in _AREAS
    names = ("mean", "sd", "percentile_2_5", "percentile_97_5")
    line = mine.loc[metric]
    mean, sd, low, high = (float(line[name]) * (1.0 if plain else 100.0) for name in names)
    if np.isnan(mean):
        return MISSING
    digits, unit = (2, "") if plain else (1, " %")
    if np.isnan(sd):
        return f"{mean:.{digits}f}{unit}"
    spread = f"{mean:.{digits}f} ± {sd:.{digits}f}{unit}"
    between = f"[{low:.{digits}f}, {high:.{digits}f}]"
    return Markup(" <br>").join(text.replace(" ", _TOGETHER) for text in (spread, between))


def _baseline_notes(study: Study) -> list[Block]:
    described = {name: about for name, about in baselines(study).items() if about}
    if not described:
        return []
    lines = []
    for name, about in described.items():
        features = str(about.get("features", ""))
        components = int(about.get("pca", 0))
        reduced = f", at most {plural(components, 'principal component')}" if components else ""
        lines.append(
            f"Baseline {name}: support vector machine ({about.get('kernel', 'linear')} kernel) "
            f"on {_FEATURES.get(features, features)}{reduced}; chosen by cross-validation "
            "within the training participants of each split."
        )
    return [Items(tuple(lines))]


def _confusion(study: Study) -> list[Block]:
    table = study.table("confusion.tsv")
    if table is None:
        return [study.missing("confusion.tsv")]
    titles, names = titles_of(study), list(study.names)
    counts = {}
    for name in titles:
        mine = table[table["configuration"] == name]
        if len(mine):
            square = mine.pivot_table("n", "true_class", "predicted_class", aggfunc="sum")
            counts[name] = square.reindex(names, axis=0).reindex(names, axis=1).fillna(0).to_numpy()
    if not counts:
        return [study.missing("confusion.tsv")]
    image = confusion_matrices({titles[name]: square for name, square in counts.items()}, names)
    described = f"Confusion matrices ({', '.join(counts)}); the table below holds their numbers"
    once = "The test sets of all splits together: a scan tested in several splits counts in each."
    caption = f"Lines: true class. Columns: predicted class. {once}"
    rows = [
        (f"{name}, {truth}", *(_of_all(n, line.sum()) for n in line))
        for name, square in counts.items()
        for truth, line in zip(names, square, strict=True)
    ]
    header = ("Id and true class", *(f"Taken for {name}" for name in names))
    return [
        embedded(image, described, caption),
        Table(f"Test scans by true and predicted class. {once}", header, tuple(rows)),
    ]


def _of_all(part: float, whole: float) -> str:
    return f"{part:.0f} ({percent(part / whole if whole else None, 0)})"


def _calibration(study: Study) -> list[Block]:
    table = study.table("calibration.tsv")
    if table is None:
        return [study.missing("calibration.tsv")]
    titles, positive = titles_of(study), study.classes[1]
    panels, rows = {}, []
    for name, title in titles.items():
        mine = table[table["configuration"] == name].sort_values("bin")
        if not len(mine):
            continue
        n, observed = mine["n"].to_numpy(), mine["observed"].to_numpy()
        brier, error = float(mine["brier"].iloc[0]), float(mine["expected_error"].iloc[0])
        note = f"Brier {brier:.3f}\nECE {error:.3f}"
        panels[title] = Reliability(mine["predicted"].to_numpy(), observed, note)
        base = float((n * observed).sum() / n.sum())
        rows.append(
            (name, count(n.sum()), f"{brier:.3f}", f"{base * (1 - base):.3f}", f"{error:.3f}")
        )
    if not rows:
        return [study.missing("calibration.tsv")]
    image = calibration_curves(panels, positive)
    described = f"Observed share of {positive} over the predicted probability, {', '.join(panels)}"
    caption = (
        "Marks hold about equally many test scans of all splits, in the order of the predicted "
        f"probability of {positive}. Below the dotted line the probability is too high, above it "
        "too low."
    )
    header = ("Id", "Test scans", "Brier score", "Brier score, no model", "ECE")
    about = (
        "Brier score: mean squared difference of probability and truth, 0 is perfect. No model: "
        f"always giving the share of {positive} among these scans. ECE, expected calibration "
        "error: mean distance of the marks from the dotted line. A scan tested in several splits "
        "counts in each."
    )
    return [embedded(image, described, caption), Table(about, header, tuple(rows))]


@section("ROC curves")
def roc(study: Study) -> list[Block]:
    """Return the ROC curves of all test sets."""
    table = study.table("roc.tsv")
    return [_roc_of_splits(study) if table is None else _roc_with_bands(study, table)]


def _roc_with_bands(study: Study, table: Any) -> Block:
    titles = titles_of(study)
    bands = {}
    for name, title in titles.items():
        mine = table[table["configuration"] == name].sort_values("fpr", kind="stable")
        if len(mine):
            fpr, tpr, low, high = (
                mine[column].to_numpy()
                for column in ("fpr", "tpr", "percentile_2_5", "percentile_97_5")
            )
            splits = int(mine["n_splits"].max())
            bands[title] = RocPanel(fpr, tpr, low, high, splits, _area(study, name))
    if not bands:
        return study.missing("roc.tsv")
    positive = study.classes[1]
    against = "the others" if len(study.names) > 2 else study.classes[0]
    described = f"Receiver operating characteristic, {', '.join(bands)}"
    line = (
        "Line: mean sensitivity over the test sets at equal specificity. Band: 2.5 to 97.5 "
        "percentile over the test sets, rate by rate."
        if max(band.n_splits for band in bands.values()) > 1
        else "Line: the one test set there is."
    )
    caption = f"{positive} against {against}. {line} The dotted diagonal is chance."
    without = [title for title in titles.values() if title not in bands]
    if without:
        caption += f" Without a test set of both classes: {', '.join(without)}."
    return embedded(roc_bands(bands), described, caption)


def _area(study: Study, name: str) -> str:
    """``AUC 0.64 ± 0.06``; nothing where the table has none."""
    table = study.table("performance_summary.tsv")
    if table is None:
        return ""
    mine = table[(table["configuration"] == name) & (table["metric"] == "auc")]
    if not len(mine) or np.isnan(mine["mean"].iloc[0]):
        return ""
    mean, sd = float(mine["mean"].iloc[0]), float(mine["sd"].iloc[0])
    return f"AUC {mean:.2f}" if np.isnan(sd) else f"AUC {mean:.2f} ± {sd:.2f}"


def _roc_of_splits(study: Study) -> Block:
    """The curves from the predictions themselves, where there is no table of curves."""
    table = study.table("predictions.tsv")
    if table is None or not study.identifiers:
        return study.missing("predictions.tsv")
    titles = titles_of(study)
    curves = {
        title: _roc_of(study, table[table["configuration"] == name])
        for name, title in titles.items()
    }
    described = f"Receiver operating characteristic, {', '.join(curves)}"
    caption = (
        "Thin: one test set. Thick: mean sensitivity at equal specificity. The dotted diagonal is "
        "chance."
    )
    return embedded(roc_curves(curves), described, caption)


def _roc_of(study: Study, table: Any) -> list[Curve]:
    """Return one curve for each split whose test set has both classes."""
    curves = []
    for _, part in table[table["probability"].notna()].groupby("split"):
        # of more classes, FN is any wrong one of the others, too
        positive = (
            part["true_class"] == study.classes[1]
            if len(study.names) > 2
            else part["outcome"].isin(("TP", "FN"))
        )
        truth = positive.to_numpy()
        if truth.any() and not truth.all():
            curves.append(roc_points(truth, part["probability"].to_numpy()))
    return curves


def roc_points(truth: Any, probability: Any) -> Curve:
    """Return false and true positive rates, one point for each different threshold.

    truth : (n,) bool, both classes occur; probability : (n,) of the positive class
    """
    order = np.argsort(-probability, kind="stable")
    truth, probability = truth[order], probability[order]
    last = np.append(np.flatnonzero(np.diff(probability)), len(truth) - 1)
    found, false = np.cumsum(truth)[last], np.cumsum(~truth)[last]
    fpr: Any = np.concatenate([[0.0], false / (~truth).sum()])
    tpr: Any = np.concatenate([[0.0], found / truth.sum()])
    return fpr, tpr
