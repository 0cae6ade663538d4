"""How the trainings of the configurations went, and how much relevance lies inside the mask."""

from __future__ import annotations

from typing import Any

import numpy as np

from bids_xai.figures.training import TrainingRun, share_curves, training_curves
from bids_xai.reports.blocks import Block, Table, Text, embedded
from bids_xai.reports.study_files import Study, natural, section
from bids_xai.tables.numbers import MISSING, count, mean_sd, percent, read_table

_TOGETHER = "\N{NO-BREAK SPACE}"
_RUN = ("epoch", "train_ce", "validation_ce", "validation_balanced_accuracy")


@section("Training")
def training(study: Study) -> list[Block]:
    """Return the training curves of all configurations, how long it took, and random searches."""
    return [_training_curves(study), *_convergence(study), *_searches(study)]


def _training_curves(study: Study) -> Block:
    runs = study.training()
    if not runs:
        return _no_training(study)
    arrays = {
        name: [TrainingRun(**{key: t[key].to_numpy() for key in _RUN}) for t in tables]
        for name, tables in runs.items()
    }
    longest = max(int(t["epoch"].max()) for tables in runs.values() for t in tables)
    described = (
        f"Cross entropy and balanced accuracy over up to {longest} epochs for configurations "
        f"{', '.join(runs)}"
    )
    caption = (
        "Thin: one split. Thick: mean of the splits still in training at that epoch. Dotted: "
        "chance."
    )
    return embedded(training_curves(arrays, 1 / len(study.names)), described, caption)


def _convergence(study: Study) -> list[Block]:
    """Epochs and duration, mean ± sd over the splits."""
    table = study.table("performance_summary.tsv")
    if table is None:
        return [study.missing("performance_summary.tsv")]
    rows = []
    for name in study.identifiers:
        mine = table[table["configuration"] == name].set_index("metric")
        if "epochs" in mine.index:
            splits = count(float(mine.loc["epochs", "n_splits"]))
            rows.append((name, splits, _spread(mine, "epochs"), _spread(mine, "seconds")))
    if not rows:
        return [Text("Epochs and duration of the training were not recorded.", "note")]
    caption = (
        "Until training ended: epochs and duration, mean ± standard deviation over splits. After "
        "a random search: of the training that was kept. Durations compare only between "
        "trainings on the same machine."
    )
    return [Table(caption, ("Configuration", "Splits", "Epochs", "Duration"), tuple(rows))]


def _spread(mine: Any, metric: str) -> str:
    """Mean ± sd; seconds in the unit that suits the mean."""
    if metric not in mine.index or np.isnan(mine.loc[metric, "mean"]):
        return MISSING
    mean, sd = float(mine.loc[metric, "mean"]), float(mine.loc[metric, "sd"])
    divisor, unit = _unit(mean) if metric == "seconds" else (1.0, "")
    spread = "" if np.isnan(sd) else f" ± {sd / divisor:.1f}"
    return f"{mean / divisor:.1f}{spread}{unit}".replace(" ", _TOGETHER)


def _unit(seconds: float) -> tuple[float, str]:
    if seconds < 120:
        return 1.0, " s"
    return (60.0, " min") if seconds < 7200 else (3600.0, " h")


def _searches(study: Study) -> list[Block]:
    """What a random search drew and kept, one line a training."""
    rows = []
    for name in study.identifiers:
        files = (study.models / name).glob("split-*/search.tsv")
        for file in sorted(files, key=lambda f: natural(f.parent.name)):
            table = read_table(file)
            if table is not None:
                rows.append((f"{name}, {file.parent.name.replace('-', ' ')}", *_search(table)))
    if not rows:
        return []
    header = (
        "Configuration",
        "Draws",
        "Kept",
        "Validation balanced accuracy",
        "Among all draws",
        "Duration of all",
    )
    caption = (
        "Random search: the values kept, by validation scans alone, and their balanced accuracy "
        "there beside the lowest and highest of all draws"
    )
    return [Table(caption, header, tuple(rows))]


def _search(table: Any) -> tuple[str, ...]:
    kept = table[table["kept"].str.lower() == "true"]
    accuracy = table["validation_balanced_accuracy"]
    among = f"{percent(accuracy.min())} to {percent(accuracy.max())}"
    seconds = float(table["seconds"].sum())
    divisor, unit = _unit(seconds)
    return (
        str(len(table)),
        str(kept["values"].iloc[0]) if len(kept) else MISSING,
        percent(float(kept["validation_balanced_accuracy"].iloc[0])) if len(kept) else MISSING,
        (MISSING if accuracy.isna().all() else among).replace(" ", _TOGETHER),
        f"{seconds / divisor:.1f}{unit}".replace(" ", _TOGETHER),
    )


@section("Relevance inside the mask")
def mask_share(study: Study) -> list[Block]:
    """Return how much of the relevance lies inside the mask, during training and on test scans."""
    blocks: list[Block] = []
    runs = study.training()
    curves = {
        name: [
            (t["epoch"].to_numpy(), t["inner_mask_share"].to_numpy())
            for t in tables
            if "inner_mask_share" in t.columns and t["inner_mask_share"].notna().any()
        ]
        for name, tables in runs.items()
    }
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
    return [*blocks, _test_share(study)]


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
