"""How well the configurations classify: the table of scores, and what stands below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from bids_xai.reports.blocks import Block, Items, Subheading, TableBlock
from bids_xai.reports.study.calibration import calibration
from bids_xai.reports.study.confusion import confusion
from bids_xai.reports.study.rows import grouped
from bids_xai.reports.study_files import StudyFiles, baselines, section, split_words
from bids_xai.tables.numbers import MISSING, count, number, plural
from bids_xai.tables.predictions import PERFORMANCE_SUMMARY, PerformanceSummary

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
def performance(study: StudyFiles) -> list[Block]:
    """Return the table of scores, what is taken for what, and whether probabilities come true."""
    rows = study.rows(PERFORMANCE_SUMMARY)
    if not rows:
        blocks: list[Block] = [study.missing(PERFORMANCE_SUMMARY)]
    else:
        blocks = [_scores_table(study, rows), *_baseline_notes(study)]
    if len(study.names) > 2:
        blocks += [Subheading("Confusion matrices"), *confusion(study)]
    return [*blocks, Subheading("Calibration"), *calibration(study)]


def _scores_table(study: StudyFiles, rows: Sequence[PerformanceSummary]) -> TableBlock:
    """Lines and columns as in Table I of Tinauer et al. 2025, with the balanced accuracy."""
    metrics = METRICS | ({"macro_auc": "Macro AUC"} if len(study.names) > 2 else {})
    flags: dict[str, tuple[bool | None, ...]] = {
        configuration.id: (configuration.skull_strip, configuration.relevance_guided)
        for configuration in study.configurations
    }
    flags |= dict.fromkeys(baselines(study), (None, None))
    tested = {row.configuration: row.n_splits for row in rows if row.metric == "accuracy"}
    uneven = len(set(tested.values())) > 1
    by_name = grouped(rows, lambda row: row.configuration)
    lines = []
    for name, settings in flags.items():
        scores = {row.metric: row for row in by_name.get(name, ())}
        lines.append(
            (
                name,
                *map(number, settings),
                *((count(tested.get(name, 0)),) if uneven else ()),
                *(_score(scores, metric) for metric in metrics),
            )
        )
    header = ("Id", "Skull-stripping", "Relevance-guided", *(("Splits",) if uneven else ()))
    caption = f"{_caption(study, rows)} {_meanings(study)}"
    return TableBlock(caption, (*header, *metrics.values()), tuple(lines))


def _caption(study: StudyFiles, rows: Sequence[PerformanceSummary]) -> str:
    splits = max(row.n_splits for row in rows)
    if splits == 1:
        return "Test set of a single split."
    caption = (
        f"Test sets of {split_words(study, splits)}: mean ± standard deviation, below it "
        "[2.5, 97.5 percentile]."
    )
    of_measures = [row for row in rows if row.metric in (*METRICS, "macro_auc")]
    by_name = grouped(of_measures, lambda row: row.configuration).values()
    if any(len({row.n_splits for row in lines}) > 1 for lines in by_name):
        caption += " A test set that lacks a class is excluded from the measures that need it."
    return caption


def _meanings(study: StudyFiles) -> str:
    negative, positive = study.classes
    if len(study.names) == 2:
        return (
            f"Sensitivity = share of {positive} classified correctly, specificity = share of "
            f"{negative} classified correctly. AUC: area under the receiver operating "
            "characteristic curve."
        )
    return (
        f"Balanced accuracy = mean over the {len(study.names)} classes of the share classified "
        f"correctly. Sensitivity = share of {positive} classified correctly, specificity = share "
        f"of the others not predicted as {positive}. AUC: area under the receiver operating "
        f"characteristic curve of {positive} against the others; macro AUC: the mean of such areas "
        "over all classes."
    )


def _score(scores: Mapping[str, PerformanceSummary], metric: str) -> str:
    """``64.2 ± 6.5 %`` with ``[53.5, 76.9]`` below, areas as ``0.64 ± 0.06`` and ``[0.53, 0.77]``.

    scores : lines of a configuration, by metric
    """
    row = scores.get(metric)
    if row is None or row.mean is None:
        return MISSING
    digits, unit, factor = (2, "", 1.0) if metric in _AREAS else (1, " %", 100.0)
    if row.sd is None:
        return f"{row.mean * factor:.{digits}f}{unit}"
    spread = f"{row.mean * factor:.{digits}f} ± {row.sd * factor:.{digits}f}{unit}"
    low, high = (
        "nan" if value is None else f"{value * factor:.{digits}f}"
        for value in (row.percentile_2_5, row.percentile_97_5)
    )
    between = f"[{low}, {high}]"
    return Markup(" <br>").join(text.replace(" ", _TOGETHER) for text in (spread, between))


def _baseline_notes(study: StudyFiles) -> list[Block]:
    lines = []
    for name, baseline in baselines(study).items():
        if baseline is None:
            continue
        n = baseline.pca
        reduced = f", at most {plural(n, 'principal component')}" if n else ""
        lines.append(
            f"Baseline {name}: support vector machine ({baseline.kernel} kernel) "
            f"on {_FEATURES.get(baseline.features, baseline.features)}{reduced}; chosen by "
            "cross-validation within the training participants of each split."
        )
    return [Items(tuple(lines))] if lines else []
