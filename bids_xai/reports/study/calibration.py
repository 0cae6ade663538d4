"""Whether predicted probabilities come true."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bids_xai.figures.calibration import Reliability, calibration_curves
from bids_xai.reports.blocks import Block, TableBlock, embedded
from bids_xai.reports.study.rows import grouped
from bids_xai.reports.study_files import StudyFiles, titles_of
from bids_xai.tables.numbers import count
from bids_xai.tables.predictions import CALIBRATION, CalibrationBin


def calibration(study: StudyFiles) -> list[Block]:
    """Return reliability curves, and a table of Brier scores and calibration errors."""
    titles, positive = titles_of(study), study.classes[1]
    by_name = grouped(study.rows(CALIBRATION), lambda row: row.configuration)
    panels, rows = {}, []
    for name in titles:
        if name in by_name:
            bins = sorted(by_name[name], key=lambda row: row.bin_number)
            panels[titles[name]] = _reliability(bins)
            rows.append((name, *_scores(bins)))
    if not rows:
        return [study.missing(CALIBRATION)]
    image = calibration_curves(panels, positive)
    described = (
        f"Observed share of {positive} against the predicted probability, {', '.join(panels)}"
    )
    caption = (
        "Each mark is a bin with about the same number of test scans of all splits, ordered by "
        f"the predicted probability of {positive}. Below the dotted line the probability is too "
        "high, above it too low."
    )
    header = ("Id", "Test scans", "Brier score", "Brier score, no model", "ECE")
    meanings = (
        "Brier score: mean squared difference of probability and truth, 0 is perfect. No model: "
        f"always predicting the share of {positive} among these scans. ECE, expected calibration "
        "error: mean distance of the marks from the dotted line. A scan tested in several splits "
        "counts in each."
    )
    return [embedded(image, described, caption), TableBlock(meanings, header, tuple(rows))]


def _reliability(bins: Sequence[CalibrationBin]) -> Reliability:
    return Reliability(
        np.array([row.predicted for row in bins], float),
        np.array([row.observed for row in bins], float),
        f"Brier {_text(bins[0].brier)}\nECE {_text(bins[0].expected_error)}",
    )


def _scores(bins: Sequence[CalibrationBin]) -> tuple[str, ...]:
    """Test scans, Brier score, that of a constant probability, and calibration error."""
    n = np.array([row.n for row in bins], float)
    observed = np.array([row.observed for row in bins], float)
    base = float((n * observed).sum() / n.sum())
    scores = (bins[0].brier, base * (1 - base), bins[0].expected_error)
    return (count(float(n.sum())), *map(_text, scores))


def _text(score: float | None) -> str:
    return "nan" if score is None else f"{score:.3f}"
