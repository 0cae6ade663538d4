"""The page of a study, from the files of its group steps and its models."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from markupsafe import Markup

from bids_xai.bids.files import write_text
from bids_xai.bids.problems import read_problems
from bids_xai.errors import error_text
from bids_xai.reports.blocks import Items, Section, Text, render
from bids_xai.reports.study.agreement import agreement
from bids_xai.reports.study.biology import biology
from bids_xai.reports.study.cohort import cohort
from bids_xai.reports.study.comparisons import comparisons
from bids_xai.reports.study.maps import mean_heatmaps
from bids_xai.reports.study.methods.section import methods
from bids_xai.reports.study.methods.settings import settings
from bids_xai.reports.study.performance import performance
from bids_xai.reports.study.regions import regions
from bids_xai.reports.study.roc import roc
from bids_xai.reports.study.spray.section import spectral
from bids_xai.reports.study.summary import limits, summary
from bids_xai.reports.study.training import mask_share, training
from bids_xai.reports.study.trust import trust
from bids_xai.reports.study.viewer import write_study_viewer
from bids_xai.reports.study_description import StudyDescription
from bids_xai.reports.study_files import SectionMaker, StudyFiles, problems_file
from bids_xai.tables.cohort import COHORT
from bids_xai.tables.numbers import plural

LOG = logging.getLogger("bids_xai")
Result = TypeVar("Result")

_SECTIONS = (
    summary,
    cohort,
    performance,
    roc,
    comparisons,
    training,
    mask_share,
    mean_heatmaps,
    regions,
    agreement,
    biology,
    trust,
    spectral,
    limits,
    methods,
    settings,
)
_SLOPPY = (
    "Made with --sloppy: few epochs and splits, coarse voxels. Do not use any of it as a result; "
    "run the same command without --sloppy."
)
_MOST_PAIRS = 10
_NEAR_COPIES = (
    "Maps of different participants are more alike than those of two people: {} (correlation of "
    "what distinguishes them from the mean map). If they are one person, results on them are no "
    "test: give them one participant id, and run the study again."
)
_SLOPPY_SCANS = (
    "{} had coarse masks and registrations, since the participant level ran with --sloppy. Run it "
    "again without, then the group level."
)
_NOTHING_YET = (
    "The study did not start, so there are no results to show. Correct what is named above and "
    "run the same command again."
)
_LEAD = "bids_xai group report, made from tables and maps on disk. It works offline."


def write_group_page(output_dir: Path, study: str) -> Path:
    """Write ``<out>/group_<study>.html``, self-contained, and return its path.

    What steps left in ``problems.json`` stands on top. A table that is missing leaves a remark in
    its section that names the step that makes it. A section that cannot be drawn says why, and
    the others are drawn.
    Raises, after the page is written, the first error that a section or the viewer met.
    """
    page, errors = draw_group_page(output_dir, study)
    if errors:
        LOG.warning("%s is written, with what failed", page)
        raise errors[0]
    return page


def draw_group_page(output_dir: Path, study: str) -> tuple[Path, list[Exception]]:
    """Write the page as :func:`write_group_page`; return its path and what could not be drawn."""
    drawing = _Drawing()
    empty = StudyFiles(output_dir, study, StudyDescription())
    opened = drawing.attempt("", lambda: StudyFiles.at(output_dir, study), lambda _: empty)
    file = problems_file(output_dir, study)
    failures = drawing.attempt("", lambda: read_problems(file), _no_failures)
    drawing.attempt("Viewer of the mean heatmaps: ", lambda: write_study_viewer(opened), _no_viewer)
    refused = "cohort" in failures and not (opened.folder / COHORT.file).is_file()
    sections = [] if refused else [drawing.section(make, opened) for make in _SECTIONS]
    problems = (
        *_sloppy(opened),
        *_near_copies(opened),
        *(
            f"The step {step} failed, and it has not succeeded since: {message}"
            for step, message in failures.items()
        ),
        *drawing.problems,
    )
    blocks = (Items(problems, "problem"), *((Text(_NOTHING_YET, "note"),) if refused else ()))
    top = [Section("Problems", blocks)] if problems else []
    page = render(f"Study {study}", _LEAD, [*top, *sections])
    return write_text(output_dir / f"group_{study}.html", page), drawing.errors


def _sloppy(study: StudyFiles) -> list[str]:
    """What not to take for a result."""
    scans = study.description.sloppy_scans
    remarks = [_SLOPPY] if study.description.sloppy else []
    return remarks + ([_SLOPPY_SCANS.format(plural(scans, "scan"))] if scans else [])


def _near_copies(study: StudyFiles) -> list[str]:
    """Who may be one person under two names, and so in training and in test."""
    pairs = study.description.near_copies
    if not pairs:
        return []
    named = ", ".join(
        f"{pair.first} and {pair.second} ({pair.correlation:.2f})" for pair in pairs[:_MOST_PAIRS]
    )
    more = f" and {plural(len(pairs) - _MOST_PAIRS, 'more pair')}" * (len(pairs) > _MOST_PAIRS)
    return [_NEAR_COPIES.format(named + more)]


class _Drawing:
    """Collects what fails while a page is drawn, so that the rest of it still is."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.problems: list[str] = []

    def attempt(
        self,
        what: str | Markup,
        make: Callable[[], Result],
        otherwise: Callable[[Exception], Result],
    ) -> Result:
        """What ``make`` returns; where it fails, note it after ``what``, and take the other."""
        try:
            return make()
        except Exception as error:
            self.errors.append(error)
            self.problems.append(Markup("{}{}").format(what, error_text(error)))
            return otherwise(error)

    def section(self, make: SectionMaker, study: StudyFiles) -> Section:
        """Return a section, or one of the same title that says why there is no more of it."""
        link = Markup('<a href="#{}">{}</a>: ').format(make.anchor, make.title)

        def failed(error: Exception) -> Section:
            return Section(make.title, (Text(f"Not drawn: {error_text(error)}", "problem"),))

        return self.attempt(link, lambda: make(study), failed)


def _no_failures(_: Exception) -> dict[str, str]:
    return {}


def _no_viewer(_: Exception) -> None:
    return None
