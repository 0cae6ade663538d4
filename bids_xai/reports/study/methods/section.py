"""How the study was done, from the settings that its ``study.json`` holds.

Every sentence follows from a recorded setting; what is not recorded is not said.
"""

from __future__ import annotations

from collections.abc import Mapping

from bids_xai.reports.blocks import Block, Items, Subheading, Text
from bids_xai.reports.references import cited
from bids_xai.reports.study.methods.cohort import cohort_words, splits_words, target_words
from bids_xai.reports.study.methods.heatmaps import attribution_words, quality_words, spray_words
from bids_xai.reports.study.methods.training import configurations_words, training_words
from bids_xai.reports.study_files import StudyFiles, section


@section("Methods")
def methods(study: StudyFiles) -> list[Block]:
    """Return the methods in words, ready for a paper, and the papers to cite."""
    if not study.description.is_written:
        return [study.missing_file("study.json", "cohort")]
    if not study.settings.target.column:
        return [Text("study.json contains no settings: run the step “cohort” again.", "note")]
    settings, description = study.settings, study.description
    paragraphs = [
        target_words(study),
        cohort_words(settings.cohort),
        splits_words(settings.splits),
        training_words(settings.training, settings.model),
        configurations_words(study.configurations, settings.training),
        attribution_words(settings.attribution, study.classes[1]),
        quality_words(settings.quality),
        spray_words(settings.spray, study),
        software_words(description.versions, description.seed, description.sloppy),
    ]
    blocks: list[Block] = [Text(paragraph) for paragraph in paragraphs if paragraph]
    references = tuple(f"{reference}." for reference in cited(" ".join(paragraphs)))
    return [*blocks, Subheading("References"), Items(references)]


def software_words(versions: Mapping[str, str], seed: int | None, sloppy: bool) -> str:
    """Return versions and seed, and that the run was for tests only."""
    names = ", ".join(f"{name} {version}" for name, version in versions.items())
    parts = [f"Software: {names}."] if names else []
    parts += [f"Random seed: {seed}."] if seed is not None else []
    if sloppy:
        parts.append("The run was made with --sloppy: use its results for tests only.")
    return " ".join(parts)
