"""What failed in a step: kept in ``group/<study>/problems.json`` until the step succeeds, and shown
on the page."""

from __future__ import annotations

from bids_xai.bids.problems import keep_problems, read_problems
from bids_xai.errors import InterruptedRunError, OtherRunError, error_text
from bids_xai.group.context import LOG, GroupContext
from bids_xai.group.report import forget_page
from bids_xai.reports.study_files import problems_file


def forget(context: GroupContext, step: str) -> None:
    """A step succeeded: what it left undone before is mended, as far as this run was about it."""
    file, label = problems_file(context.output_dir, context.study.name), _label(context, step)
    before = read_problems(file)
    mended = {label} if label != step else {name for name in before if name.split()[0] == step}
    keep_problems(file, before, {k: text for k, text in before.items() if k not in mended})


def report_failure(context: GroupContext, step: str, error: Exception) -> None:
    """Remember what failed and write the page of what is there; the error itself comes first."""
    if isinstance(error, (InterruptedRunError, OtherRunError)):
        return
    file = problems_file(context.output_dir, context.study.name)
    try:
        before = read_problems(file)
        keep_problems(file, before, before | {_label(context, step): error_text(error)})
        from bids_xai.reports.study.page import draw_group_page

        forget_page(context.folder)
        page, _ = draw_group_page(context.output_dir, context.study.name)
    except Exception as trouble:  # the page is an extra here
        LOG.warning("the page could not be written: %s", error_text(trouble))
    else:
        if (context.folder / "cohort.tsv").is_file():
            LOG.info("existing results are shown in %s", page)


def _label(context: GroupContext, step: str) -> str:
    """``explain``; for a part of the trainings ``train --configuration A --split 0``."""
    if step != "train":
        return step
    selected = {
        "--configuration": context.settings.configuration,
        "--split": context.settings.split,
    }
    parts = [f"{name} {' '.join(map(str, values))}" for name, values in selected.items() if values]
    return " ".join([step, *parts])
