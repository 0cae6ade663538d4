"""Step ``report``: the group page, from files only."""

from __future__ import annotations

from pathlib import Path

from bids_xai.group.context import GroupContext
from bids_xai.reports.study.page import write_group_page


def run(context: GroupContext) -> list[Path]:
    """Write ``group_<study>.html``."""
    return [write_group_page(context.output_dir, context.study.name)]
