"""How the trainings of the configurations went, and how much relevance lies inside the mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bids_xai.arrays import Floats
from bids_xai.figures.panels import Curve
from bids_xai.figures.training import TrainingRun, share_curves, training_curves
from bids_xai.reports.blocks import Block, TableBlock, Text, embedded
from bids_xai.reports.study.rows import grouped
from bids_xai.reports.study_files import StudyFiles, section
from bids_xai.tables.numbers import MISSING, count, mean_sd, percent
from bids_xai.tables.predictions import PERFORMANCE_SUMMARY, PREDICTIONS, PerformanceSummary
from bids_xai.tables.training import SEARCH, TRAINING, EpochRecord, SearchDraw

_TOGETHER = "\N{NO-BREAK SPACE}"


@section("Training")
def training(study: StudyFiles) -> list[Block]:
    """Return the training curves of all configurations, how long it took, and random searches."""
    return [_training_curves(study), *_convergence(study), *_searches(study)]


def _training_curves(study: StudyFiles) -> Block:
    runs = study.training()
    if not runs:
        return _no_training(study)
    curves = {name: [_curves(epochs) for epochs in splits] for name, splits in runs.items()}
    longest = max(epochs[-1].epoch for splits in runs.values() for epochs in splits)
    described = (
        f"Cross entropy and balanced accuracy over up to {longest} epochs for configurations "
        f"{', '.join(runs)}"
    )
    caption = (
        "Thin: one split. Thick: mean of the splits still in training at that epoch. Dotted: "
        "chance level."
    )
    return embedded(training_curves(curves, 1 / len(study.names)), described, caption)


def _curves(epochs: Sequence[EpochRecord]) -> TrainingRun:
    return TrainingRun(
        epoch=_array([epoch.epoch for epoch in epochs]),
        train_ce=_array([epoch.train_ce for epoch in epochs]),
        validation_ce=_array([epoch.validation_ce for epoch in epochs]),
        validation_balanced_accuracy=_array(
            [epoch.validation_balanced_accuracy for epoch in epochs]
        ),
    )


def _array(values: Sequence[float | None]) -> Floats:
    """Values with NaN for none."""
    return np.array(values, float)


def _convergence(study: StudyFiles) -> list[Block]:
    """Epochs and duration, mean ± sd over the splits."""
    by_name = grouped(study.rows(PERFORMANCE_SUMMARY), lambda row: row.configuration)
    if not by_name:
        return [study.missing(PERFORMANCE_SUMMARY)]
    lines = []
    for name in study.identifiers:
        metrics = {row.metric: row for row in by_name.get(name, ())}
        epochs = metrics.get("epochs")
        if epochs is not None:
            spreads = (_spread(metrics, metric) for metric in ("epochs", "seconds"))
            lines.append((name, count(epochs.n_splits), *spreads))
    if not lines:
        return [Text("Epochs and duration of the training were not recorded.", "note")]
    caption = (
        "Until training ended: epochs and duration, mean ± standard deviation over splits. After "
        "a random search: of the training that was kept. Durations are comparable only "
        "between trainings on the same machine."
    )
    return [TableBlock(caption, ("Configuration", "Splits", "Epochs", "Duration"), tuple(lines))]


def _spread(metrics: Mapping[str, PerformanceSummary], metric: str) -> str:
    """Mean ± sd; seconds in the unit that suits the mean."""
    row = metrics.get(metric)
    if row is None or row.mean is None:
        return MISSING
    divisor, unit = _unit(row.mean) if metric == "seconds" else (1.0, "")
    spread = "" if row.sd is None else f" ± {row.sd / divisor:.1f}"
    return f"{row.mean / divisor:.1f}{spread}{unit}".replace(" ", _TOGETHER)


def _unit(seconds: float) -> tuple[float, str]:
    if seconds < 120:
        return 1.0, " s"
    return (60.0, " min") if seconds < 7200 else (3600.0, " h")


def _searches(study: StudyFiles) -> list[Block]:
    """What a random search drew and kept, one line a training."""
    lines = []
    for name in study.identifiers:
        for file in study.training_files(name, SEARCH):
            draws = SEARCH.read(file)
            if draws:
                lines.append((f"{name}, {file.parent.name.replace('-', ' ')}", *_search(draws)))
    if not lines:
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
        "Random search: the values kept, selected on the validation scans alone, and their "
        "balanced accuracy there next to the lowest and highest of all draws"
    )
    return [TableBlock(caption, header, tuple(lines))]


def _search(draws: Sequence[SearchDraw]) -> tuple[str, ...]:
    best = next((draw for draw in draws if draw.is_best), None)
    accuracies = [
        draw.validation_balanced_accuracy
        for draw in draws
        if draw.validation_balanced_accuracy is not None
    ]
    among = f"{percent(min(accuracies))} to {percent(max(accuracies))}" if accuracies else MISSING
    seconds = sum(draw.seconds for draw in draws if draw.seconds is not None)
    divisor, unit = _unit(seconds)
    return (
        str(len(draws)),
        MISSING if best is None else best.values,
        MISSING if best is None else percent(best.validation_balanced_accuracy),
        among.replace(" ", _TOGETHER),
        f"{seconds / divisor:.1f}{unit}".replace(" ", _TOGETHER),
    )


@section("Relevance inside the mask")
def mask_share(study: StudyFiles) -> list[Block]:
    """Return how much of the relevance lies inside the mask, during training and on test scans."""
    blocks: list[Block] = []
    runs = study.training()
    curves = {name: _share_curves(splits) for name, splits in runs.items()}
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


def _share_curves(splits: Sequence[Sequence[EpochRecord]]) -> list[Curve]:
    """Epochs and shares of the splits that have any share."""
    return [
        (
            _array([epoch.epoch for epoch in epochs]),
            _array([epoch.inner_mask_share for epoch in epochs]),
        )
        for epochs in splits
        if any(epoch.inner_mask_share is not None for epoch in epochs)
    ]


def _test_share(study: StudyFiles) -> Block:
    by_name = grouped(study.rows(PREDICTIONS), lambda row: row.configuration)
    if not by_name:
        return study.missing(PREDICTIONS)
    lines = []
    for name in study.identifiers:
        shares = [
            100.0 * row.inner_mask_share
            for row in by_name.get(name, ())
            if row.inner_mask_share is not None
        ]
        least = percent(min(shares) / 100.0) if shares else MISSING
        lines.append((name, str(len(shares)), mean_sd(shares), least))
    header = ("Configuration", "Heatmaps", "Mean ± sd (%)", "Lowest")
    caption = "Share of relevance inside the brain mask, heatmaps of the test scans"
    return TableBlock(caption, header, tuple(lines))


def _no_training(study: StudyFiles) -> Text:
    text = (
        f"Not available: no models/{study.name}/<configuration>/split-<k>/{TRAINING.file}. "
        "The step “train” writes it (--steps train)."
    )
    return Text(text, "note")
