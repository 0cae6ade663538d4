"""All settings and versions that the study file on disk records."""

from __future__ import annotations

from bids_xai.reports.blocks import Block, Details, TableBlock
from bids_xai.reports.study.methods.words import flattened, value_words
from bids_xai.reports.study_files import StudyFiles, section
from bids_xai.tables.numbers import number


@section("Settings and versions")
def settings(study: StudyFiles) -> list[Block]:
    """Return the settings and versions that the study file on disk records."""
    description = study.description
    if not description.is_written:
        return [study.missing_file("study.json", "cohort")]
    rows = (
        ("Template", number(description.template)),
        ("Resolution", number(description.resolution)),
        ("Method", number(description.method)),
        ("Atlas", number(description.atlas)),
        ("Seed", number(description.seed)),
    )
    blocks: list[Block] = [TableBlock("Settings", ("Setting", "Value"), rows)]
    versions = description.versions
    if versions:
        lines = tuple((name, f"v{v}" if v[:1].isdigit() else v) for name, v in versions.items())
        blocks.append(TableBlock("Versions", ("Software", "Version"), lines))
    values = flattened(description.recorded_settings)
    if values:
        caption = "Every key of the study file, including defaults that it does not set"
        cells = tuple((key, value_words(value)) for key, value in values)
        table = TableBlock(caption, ("Key", "Value"), cells)
        blocks.append(Details(f"All {len(cells)} settings of the study", (table,)))
    return blocks
