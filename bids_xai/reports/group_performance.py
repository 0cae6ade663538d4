"""How well the configurations classify, and how their training went."""

from __future__ import annotations

from typing import Any

import numpy as np

from bids_xai.figures.curves import Curve, roc_curves, share_curves, training_curves
from bids_xai.reports.page import Block, Section, Table, Text, embedded
from bids_xai.reports.study import Study
from bids_xai.reports.tables import MISSING, mean_sd, number, percent

METRICS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "auc": "AUC",
}
_TOGETHER = "\N{NO-BREAK SPACE}"
_RUN = ("epoch", "train_ce", "validation_ce", "validation_balanced_accuracy")


def performance(study: Study) -> Section:
    """Return the table of scores, one line a configuration."""
    table = study.table("performance_summary.tsv")
    if table is None:
        return Section("Performance", (study.missing("performance_summary.tsv"),))
    rows = tuple(_scores(study, c, table) for c in study.configurations)
    header = ("Configuration", "Skull-stripping", "Relevance-guided", *METRICS.values())
    splits = int(table["n_splits"].max())
    caption = (
        f"Test sets of {splits} random splits: mean ± standard deviation [2.5, 97.5 percentile]. "
        if splits > 1
        else "Test set of a single split. "
    )
    caption += (
        f"Sensitivity = share of {study.classes[1]} found, specificity = share of "
        f"{study.classes[0]} found. AUC: area under the receiver operating characteristic curve."
    )
    return Section("Performance", (Table(caption, header, rows),))


def _scores(study: Study, configuration: dict[str, Any], table: Any) -> tuple[str, ...]:
    identifier = str(configuration.get("id", ""))
    mine = table[table["configuration"] == identifier]
    cells = []
    for metric in METRICS:
        found = mine[mine["metric"] == metric]
        cells.append(_score(found.iloc[0], metric == "auc") if len(found) else MISSING)
    flags = (number(configuration.get(key)) for key in ("skull_strip", "relevance_guided"))
    return (identifier, *flags, *cells)


def _score(line: Any, plain: bool) -> str:
    """``64.2 ± 6.5 % [53.5, 76.9]``, or ``0.64 ± 0.06 [0.53, 0.77]`` where ``plain``."""
    names = ("mean", "sd", "percentile_2_5", "percentile_97_5")
    mean, sd, low, high = (float(line[name]) * (1.0 if plain else 100.0) for name in names)
    if np.isnan(mean):
        return MISSING
    digits, unit = (2, "") if plain else (1, " %")
    if np.isnan(sd):
        return f"{mean:.{digits}f}{unit}"
    spread = f"{mean:.{digits}f} ± {sd:.{digits}f}{unit}".replace(" ", _TOGETHER)
    return f"{spread} " + f"[{low:.{digits}f}, {high:.{digits}f}]".replace(" ", _TOGETHER)


def roc(study: Study) -> Section:
    """Return the ROC curves of all test sets."""
    table = study.table("predictions.tsv")
    if table is None or not study.identifiers:
        return Section("ROC curves", (study.missing("predictions.tsv"),))
    curves = {name: _roc_of(table[table["configuration"] == name]) for name in study.identifiers}
    image = roc_curves(curves)
    described = f"Receiver operating characteristic of configurations {', '.join(curves)}"
    caption = (
        "Thin: one test set. Thick: mean sensitivity at equal specificity. The dotted diagonal is "
        "chance."
    )
    return Section("ROC curves", (embedded(image, described, caption),))


def _roc_of(table: Any) -> list[Curve]:
    """Return one curve for each split whose test set has both classes."""
    curves = []
    for _, part in table[table["probability"].notna()].groupby("split"):
        truth = part["outcome"].isin(("TP", "FN")).to_numpy()
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


def comparisons(study: Study) -> Section:
    """Return the pairwise tests between configurations."""
    if len(study.identifiers) < 2:
        return Section("Comparisons", (Text("Only one configuration: nothing to compare."),))
    table = study.table("comparisons.tsv")
    if table is None:
        return Section("Comparisons", (study.missing("comparisons.tsv"),))
    rows = tuple(
        (
            f"{line.configuration_a} and {line.configuration_b}",
            f"{line.n:.0f}",
            f"{line.only_a_correct:.0f}",
            f"{line.only_b_correct:.0f}",
            _p(line.p_value),
            _p(line.p_holm),
        )
        for line in table.itertuples()
    )
    first, second = "Only first right", "Only second right"
    header = ("Configurations", "Participants", first, second, "p", "p (Holm)")
    caption = (
        "Exact McNemar test on participants that both tested, each counted once: its first test "
        "scan in the first split; Holm's correction for the number of pairs. A large p does not "
        "show that two configurations are equally good."
    )
    return Section("Comparisons", (Table(caption, header, rows),))


def _p(value: float) -> str:
    if np.isnan(value):
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def training(study: Study) -> Section:
    """Return the training curves of all configurations."""
    runs = study.training()
    if not runs:
        return Section("Training", (_no_training(study),))
    arrays = {
        name: [{key: t[key].to_numpy() for key in _RUN} for t in tables]
        for name, tables in runs.items()
    }
    longest = max(int(t["epoch"].max()) for tables in runs.values() for t in tables)
    described = (
        f"Cross entropy and balanced accuracy over up to {longest} epochs for configurations "
        f"{', '.join(runs)}"
    )
    caption = "Thin: one split. Thick: mean of the splits still in training at that epoch."
    return Section("Training", (embedded(training_curves(arrays), described, caption),))


def mask_share(study: Study) -> Section:
    """Return how much of the relevance lies inside the mask, during training and on test scans."""
    blocks: list[Block] = []
    runs = study.training()
    curves = {
        name: [(t["epoch"].to_numpy(), t["inner_mask_share"].to_numpy()) for t in tables
               if "inner_mask_share" in t.columns and t["inner_mask_share"].notna().any()]
        for name, tables in runs.items()
    }  # fmt: skip
    curves = {name: lines for name, lines in curves.items() if lines}
    if curves:
        described = f"Share of relevance in the mask over epochs, {', '.join(curves)}"
        caption = (
            "Share of all relevance that lies inside the brain mask during training. Thin: one "
            "split; thick: mean."
        )
        blocks.append(embedded(share_curves(curves), described, caption))
    elif runs:
        blocks.append(Text("The share was not recorded during training.", "note"))
    else:
        blocks.append(_no_training(study))
    return Section("Relevance inside the mask", (*blocks, _test_share(study)))


def _test_share(study: Study) -> Block:
    table = study.table("predictions.tsv")
    if table is None or "inner_mask_share" not in table.columns:
        return study.missing("predictions.tsv")
    rows = []
    for name in study.identifiers:
        share = 100.0 * table[table["configuration"] == name]["inner_mask_share"].dropna()
        least = percent(float(share.min()) / 100.0) if len(share) else MISSING
        rows.append((name, str(len(share)), mean_sd(share), least))
    header = ("Configuration", "Heatmaps", "Mean ± sd (%)", "Lowest")
    caption = "Share of relevance inside the brain mask, heatmaps of the test scans"
    return Table(caption, header, tuple(rows))


def _no_training(study: Study) -> Text:
    text = (
        f"Not available: no models/{study.name}/<configuration>/split-<k>/training.tsv. "
        "The step “train” makes it (--steps train)."
    )
    return Text(text, "note")
