"""``--dry-run``: who would be in, how many trainings, and what memory one takes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from bids_xai.errors import BadDataError
from bids_xai.group.cohort.assignment import SETS
from bids_xai.group.cohort.step import CohortPlan, plan, read
from bids_xai.group.context import LOG, GroupContext
from bids_xai.group.train.memory import check_memory, training_size
from bids_xai.group.train.transfer import start_folder
from bids_xai.runtime.free_memory import host_bytes
from bids_xai.stages.network_grid import common_shape
from bids_xai.studies.tables import Configuration, Study


def say_what_would_be_done(context: GroupContext, steps: Sequence[str]) -> None:
    """Log the cohort, the splits, the trainings and an estimate of their memory."""
    cohort = plan(read(context), details=logging.INFO)
    sizes = Counter(cohort.splits[0].values())
    LOG.info(
        "%d split(s); the first has %s",
        len(cohort.splits),
        ", ".join(f"{sizes[name]} participants in {name}" for name in SETS),
    )
    splits = context.selected_splits(len(cohort.splits))
    for configuration in context.study.configurations:
        if configuration.id in context.selected_configurations:
            _say_configuration(context, cohort, configuration, len(splits))
    draws = max(1, context.study.search.draws)
    trainings = len(context.selected_configurations) * len(splits) * draws
    LOG.info(
        "would run %s: %d training(s)%s",
        ", ".join(steps),
        trainings,
        f", {draws} draws each" if draws > 1 else "",
    )


def _say_configuration(
    context: GroupContext, cohort: CohortPlan, configuration: Configuration, splits: int
) -> None:
    study = context.study.of(configuration)
    maps = [candidate.files.map for candidate in cohort.selection.included]
    _check_inputs(context, study)
    shape = common_shape(maps, study.input.voxel_mm or None)
    size = training_size(study, shape, guided=configuration.relevance_guided)
    LOG.info(
        "configuration %s: %s on %s voxels, %s parameters, %d split(s), about %.1f GB per training",
        configuration.id,
        study.model.architecture,
        "×".join(map(str, shape)),
        f"{size.weights:,}",
        splits,
        size.step_bytes(study.training.batch_size) / 1e9,
    )
    free = context.settings.mem_mb * 2**20 if context.settings.mem_mb else host_bytes()
    try:
        check_memory(size, free, configuration.id)
    except BadDataError as error:  # the trainings may be for another machine
        LOG.warning("%s", error)


def _check_inputs(context: GroupContext, study: Study) -> None:
    """Raise :class:`NoInputError` where a configuration's own maps or first weights are missing.

    study : as the configuration sees it; weights of this very study may be trained by the run
    """
    context.map_source.maps(study.input)
    transfer = study.training.transfer
    if transfer is not None and transfer.model.partition("/")[0] != study.name:
        start_folder(transfer, context.models_folder, 0)
