"""Where the folders of a run must not lie."""

from __future__ import annotations

from bids_xai.settings import RunSettings
from bids_xai.workflows.rules import OptionRule


def _output_in_input(settings: RunSettings) -> bool:
    """Whether the output lies inside the input, but not among its derivatives."""
    source, output = settings.bids_dir.resolve(), settings.output_dir.resolve()
    return source in output.parents and "derivatives" not in output.relative_to(source).parts


def _work_in_input(settings: RunSettings) -> bool:
    """Whether the work folder that was asked for is the input or lies inside it."""
    source, work = settings.bids_dir.resolve(), settings.work_folder.resolve()
    return settings.work_dir is not None and (work == source or source in work.parents)


FOLDER_RULES: tuple[OptionRule[RunSettings], ...] = (
    OptionRule(
        lambda run: run.bids_dir.resolve() == run.output_dir.resolve(),
        "the output folder is the input folder",
        "choose another output folder",
        lambda run: run.output_dir.resolve(),
    ),
    OptionRule(
        _output_in_input,
        "the output folder lies inside the input folder",
        "choose another output folder, or one below derivatives/",
        lambda run: run.output_dir.resolve(),
    ),
    OptionRule(
        _work_in_input,
        "the work folder lies inside the input folder",
        "choose another one",
        lambda run: run.work_folder.resolve(),
    ),
)
