"""The page of a study, from the files of its group steps and its models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bids_xai.bids.files import write_text
from bids_xai.reports import (
    group_agreement,
    group_biology,
    group_cohort,
    group_comparisons,
    group_maps,
    group_performance,
    group_quality,
    group_regions,
    group_spray,
    group_training,
)
from bids_xai.reports.page import Items, Section, render
from bids_xai.reports.study import Study
from bids_xai.reports.viewers import write_study_viewer

_SECTIONS = (
    group_cohort.summary,
    group_cohort.cohort,
    group_performance.performance,
    group_performance.roc,
    group_comparisons.comparisons,
    group_training.training,
    group_training.mask_share,
    group_maps.mean_heatmaps,
    group_regions.regions,
    group_agreement.agreement,
    group_biology.biology,
    group_quality.trust,
    group_spray.spectral,
    group_cohort.limits,
    group_cohort.settings,
)


def write_group_page(output_dir: Path, study: str, problems: Sequence[str] = ()) -> Path:
    """Write ``<out>/group_<study>.html``, self-contained, and return its path.

    problems : shown on top; one sentence each

    A table that is missing leaves a remark in its section that names the step that makes it.
    Raises :class:`BadDataError` for a table that lacks a column or holds text for a number.
    """
    opened = Study.at(output_dir, study)
    write_study_viewer(opened)
    lead = "bids_xai group report, made from tables and maps on disk; nothing is loaded from afar."
    top = [Section("Problems", (Items(tuple(problems), "problem"),))] if problems else []
    page = render(f"Study {study}", lead, [*top, *(section(opened) for section in _SECTIONS)])
    return write_text(output_dir / f"group_{study}.html", page)
