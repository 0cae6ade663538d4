"""Tables as text frames, until the pages of participants read records."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids_xai.errors import BadDataError

MISSING = "n/a"
_SCAN = ("participant_id", "session_id")


@dataclass(frozen=True)
class Kind:
    """What a table must have; other columns are read as text."""

    step: str
    text: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    optional_numbers: tuple[str, ...] = ()


KINDS: Mapping[str, Kind] = {
    "cohort.tsv": Kind("cohort", (*_SCAN, "class", "included", "reason"), (), ("age",)),
    "splits.tsv": Kind("cohort", ("participant_id", "split", "set")),
    "balance.tsv": Kind(
        "cohort",
        ("name",),
        tuple(
            f"{measure}_{when}"
            for when in ("before", "after")
            for measure in (
                "mean_treated",
                "sd_treated",
                "mean_control",
                "sd_control",
                "smd",
                "variance_ratio",
            )
        ),
    ),
    "training.tsv": Kind(
        "train",
        (),
        ("epoch", "train_ce", "validation_ce", "validation_balanced_accuracy"),
        ("inner_mask_share",),
    ),
    "predictions.tsv": Kind(
        "explain",
        (*_SCAN, "configuration", "split", "true_class", "predicted_class", "outcome"),
        ("probability",),
        ("inner_mask_share",),
    ),
    "search.tsv": Kind(
        "train",
        ("values", "kept"),
        ("draw", "validation_loss", "validation_balanced_accuracy", "epochs", "seconds"),
    ),
    "performance.tsv": Kind("explain", ("configuration", "split"), ("n_test", "accuracy")),
    "performance_summary.tsv": Kind(
        "explain",
        ("configuration", "metric"),
        ("mean", "sd", "percentile_2_5", "percentile_97_5", "n_splits"),
    ),
    "comparisons.tsv": Kind(
        "explain",
        ("configuration_a", "configuration_b"),
        ("n", "only_a_correct", "only_b_correct", "p_value", "p_holm"),
        ("n_splits", "mean_difference", "p_wilcoxon", "p_wilcoxon_holm"),
    ),
    "roc.tsv": Kind(
        "explain",
        ("configuration",),
        ("fpr", "tpr", "percentile_2_5", "percentile_97_5", "n_splits"),
    ),
    "calibration.tsv": Kind(
        "explain",
        ("configuration",),
        ("bin", "n", "predicted", "observed", "brier", "expected_error"),
    ),
    "confusion.tsv": Kind("explain", ("configuration", "true_class", "predicted_class"), ("n",)),
    "gain.tsv": Kind(
        "atlas",
        ("configuration", "method", "atlas", "index", "name", "group", "merged"),
        ("n", "n_voxels"),
        (
            *("mean_sum", "mean_density", "mean_share", "gain"),
            *("density_q025", "density_q500", "density_q975"),
        ),
    ),
    "overlap.tsv": Kind(
        "atlas",
        ("comparison", "configuration", "method", "group", "a", "b", "atlas", "merged", "metric"),
        (),
        ("value",),
    ),
    "fingerprints.tsv": Kind(
        "atlas",
        (*_SCAN, "configuration", "method", "atlas", "merged", "individual", "index", "name"),
        ("probability", "cosine_distance", "n_candidates"),
        ("density",),
    ),
    "biology.tsv": Kind(
        "atlas",
        ("configuration", "method", "atlas", "name", "group", "measure", "source"),
        ("n",),
        ("r", "p_value", "p_holm", "n_permutations", "mean"),
    ),
    "summary.tsv": Kind(
        "trust", ("configuration", "split", "method", "check", "region", "passed", "verdict")
    ),
    "aopc.tsv": Kind(
        "trust", ("configuration", "method", "participant_id", "order", "step", "aopc")
    ),
    "randomization.tsv": Kind(
        "trust",
        (
            *("configuration", "method", "participant_id", "mode", "layer"),
            *("ssim", "spearman", "spearman_abs"),
        ),
    ),
    "localization.tsv": Kind(
        "trust",
        (
            *("configuration", "method", "participant_id", "region", "outcome"),
            *("mass_accuracy", "rank_accuracy", "pointing_game", "chance"),
        ),
    ),
    "verdicts.tsv": Kind("spray", ("configuration", "space", "finding", "verdict", "examples")),
    "confounds.tsv": Kind(
        "spray",
        (
            *("cluster", "covariate", "test", "effect_size", "effect_within"),
            *("p", "q", "q_within", "n", "counts"),
        ),
    ),
    "covariates.tsv": Kind("spray", ("scan",)),
    "eigenvalues.tsv": Kind("spray", ("index",), ("eigenvalue", "gap")),
    "clusters.tsv": Kind("spray", (*_SCAN, "split", "cluster", "true_class", "outcome")),
    "embedding.tsv": Kind("spray", (*_SCAN, "cluster", "outcome"), ("x", "y")),
    "prediction.tsv": Kind("participant", ("model", "class"), (), ("probability",)),
    "region.tsv": Kind(
        "participant", ("method", "atlas", "index", "name"), ("n_voxels",), ("density", "share")
    ),
}


def read_table(path: Path, kind: str | None = None) -> Any:
    """Return the table as a pandas data frame, ``None`` where there is no file or no line.

    kind : key of :data:`KINDS`; default the file name. Text stays text (``01`` is not 1);
        in number columns ``n/a`` becomes NaN.
    Raises :class:`BadDataError` naming the file and the column that is missing or no number.
    """
    wanted = KINDS[kind or path.name]
    frame = _read_text(path, wanted)
    if frame is None:
        return None
    for column in (*wanted.numbers, *wanted.optional_numbers):
        if column in frame.columns:
            frame[column] = _numbers(frame[column], path, column)
    return frame


def _read_text(path: Path, wanted: Kind) -> Any:
    """The table as text with its columns checked, ``None`` where there is no file or no line."""
    import pandas as pd

    if not path.is_file():
        return None
    try:
        frame = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:
        raise BadDataError(
            f"cannot read the table ({error})", file=path, fix="make the table again"
        ) from error
    absent = [c for c in (*wanted.text, *wanted.numbers) if c not in frame.columns]
    if absent:
        raise BadDataError(
            f"the table lacks the columns {', '.join(absent)}",
            file=path,
            fix=f"run the step {wanted.step} again",
        )
    return frame if len(frame) else None


def _numbers(values: Any, path: Path, column: str) -> list[float]:
    try:
        return [math.nan if v in (MISSING, "") else float(v) for v in values]
    except ValueError as error:
        raise BadDataError(
            f"the column {column} holds something that is no number ({error})",
            file=path,
            fix="make the table again",
        ) from error
