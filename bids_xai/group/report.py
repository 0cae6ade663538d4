"""Step ``report``: the group page, from files only."""

from __future__ import annotations

from pathlib import Path

from bids_xai.group.context import GroupContext
from bids_xai.group.units import Unit, Units
from bids_xai.reports.study.page_inputs import STAMP, page_inputs
from bids_xai.tables.predictions import PREDICTIONS


def run(context: GroupContext) -> list[Path]:
    """Write ``group_<study>.html`` where anything that it shows has changed; return its path.

    ``--reports-only`` asks for it whatever has changed. A page with something that could not be
    drawn is drawn again every time. Raises as :meth:`GroupContext.predictions`.
    """
    output_dir, study = context.output_dir, context.study.name
    if context.settings.reports_only:
        forget_page(context.folder)
    unit = Unit(
        f"page of {study}",
        context.folder / STAMP,
        (),
        page_inputs(output_dir, study),
        root=output_dir,
        shares_folder=True,
        step="report",
    )
    Units(output_dir).run(unit, lambda: _draw(context))
    return [output_dir / f"group_{study}.html"]


def forget_page(folder: Path) -> None:
    """Have the page of a study drawn by the next run whose steps succeed; folder : the study's."""
    (folder / STAMP).unlink(missing_ok=True)


def _draw(context: GroupContext) -> list[Path]:
    """Draw the page; return it with its viewer and what that needs, as far as they exist."""
    output_dir, study = context.output_dir, context.study.name
    if (context.folder / PREDICTIONS.file).is_file():
        context.predictions()  # refused where they are of another cohort or of other models
    from bids_xai.reports.study.page import write_group_page
    from bids_xai.reports.viewer import FOLDER, study_page

    forget_page(context.folder)  # until the page is whole
    page = write_group_page(output_dir, study)
    viewer = study_page(output_dir, study)
    shared = (output_dir / FOLDER).glob("*") if viewer.is_file() else ()
    return [page, *(file for file in (viewer, *shared) if file.is_file())]
