"""Whether probabilities come true, against the predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from study_cases import StudyCase, cells, of_kind

from bids_xai.reports.blocks import TableBlock
from bids_xai.reports.study.performance import performance
from bids_xai.reports.study_files import StudyFiles


def test_calibration_shows_bins_scores_and_the_score_of_a_constant(
    two: StudyFiles, quick: dict[str, tuple[Any, ...]]
) -> None:
    section = performance(two)
    (panels, positive) = quick["calibration_curves"]
    assert (list(panels)[-1], positive) == ("Baseline nuclei", "AD")
    table = of_kind(section, TableBlock)[-1]
    case = StudyCase(two.output_dir)
    for name in ("A", "svm"):
        rows = [row for k in range(3) for row in case.scans(name, k)]
        truth = np.array([row["true_class"] == "AD" for row in rows])
        p = np.array([row["probability"] for row in rows])
        line = cells(table)[name]
        assert line["Test scans"] == "54"
        assert line["Brier score"] == f"{np.mean((p - truth) ** 2):.3f}"
        # always giving the share of patients
        constant = np.full(truth.shape, truth.mean())
        assert line["Brier score, no model"] == f"{np.mean((constant - truth) ** 2):.3f}"
        bins = panels["Configuration A" if name == "A" else "Baseline svm"]
        assert bins.note == f"Brier {line['Brier score']}\nECE {line['ECE']}"
        order = np.argsort(p)[:5]
        assert bins.predicted[0] == pytest.approx(p[order].mean(), rel=1e-6)
        assert bins.observed[0] == pytest.approx(truth[order].mean(), rel=1e-6)
