"""What the page of a study is drawn from: all that decides on what it shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bids_xai.bids.stamps import code_state, file_states
from bids_xai.errors import UserError
from bids_xai.reports.study_description import StudyDescription
from bids_xai.reports.study_files import StudyFiles
from bids_xai.reports.volumes import flow_home
from bids_xai.settings import EMBEDDED_TEMPLATE

STAMP = "report_stamp.json"
"""Lies in the folder of the study."""
_NOT_SHOWN = ("relevance",)
"""Folders of a study that no section opens: heatmaps of single scans, the most files by far."""
_LIBRARIES = ("jinja2", "matplotlib", "nilearn", "scipy")
"""They draw, and nilearn brings the embedded template."""


def page_inputs(output_dir: Path, study: str) -> dict[str, Any]:
    """Return what the page depends on, as JSON can hold it: equal inputs give equal pages.

    Files count by name, size and time of change. Of the study's folder and its models all count,
    whether a section opens them or not: a file that is new or gone changes what is shown, too.
    What steps left undone, the settings and the versions lie in files of that folder.
    """
    try:
        files = StudyFiles.at(output_dir, study)
    except UserError:  # the page says so
        files = StudyFiles(output_dir, study, StudyDescription())
    own = [files.folder / name for name in (STAMP, *_NOT_SHOWN)]
    return {
        "study": study,
        "files": [
            *file_states(output_dir, files.folder, leave_out=own),
            *file_states(output_dir, files.models),
        ],
        "template": sorted(_template_states(files)),
        "code": code_state(*_LIBRARIES),
    }


def _template_states(files: StudyFiles) -> Iterator[str]:
    """The template's files and tables of atlases, and what stands in for it on the page.

    The embedded template is part of a library.
    """
    template = files.description.template
    if not template or template == EMBEDDED_TEMPLATE:
        return
    home = flow_home()
    for folder in sorted(home.glob("tpl-*")):
        of_template = folder.name == f"tpl-{template}"
        yield from (
            state
            for state in file_states(home, folder)
            if of_template or state.partition(":")[0].endswith(".tsv")
        )
    for folder in sorted(files.output_dir.glob("sub-*/**/anat")):
        states = file_states(files.output_dir, folder)
        yield from (state for state in states if f"_space-{template}_" in state)
