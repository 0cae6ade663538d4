"""Step ``train``: one network a configuration and split, from the same initial weights a split."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bids_xai.bids.claims import in_use, remove_unused
from bids_xai.bids.files import remove_if_empty
from bids_xai.core.cohort.splits import check_no_leakage
from bids_xai.errors import UserError
from bids_xai.group.context import LOG, GroupContext
from bids_xai.group.train.inputs import Resources, SplitTraining
from bids_xai.group.train.search import Draw, draws_of, keep_best
from bids_xai.group.units import Units
from bids_xai.runtime.device import check_device, choose_device
from bids_xai.runtime.progress import Progress
from bids_xai.settings import RunSettings
from bids_xai.stages.network_grid import common_shape
from bids_xai.training.signals import stop_requests


def run(context: GroupContext) -> list[Path]:
    """Train what is not up to date; return the model cards."""
    settings = context.settings
    trainings = read(context)
    progress = Progress("trainings", len(trainings))
    units = Units(context.models_folder, progress)
    check_device(settings.device)
    folder = volume_folder(settings.work_folder, context.study.name)
    if "WORLD_SIZE" in os.environ or not units.keep([t.unit() for t in trainings]):
        _train(trainings, progress, settings, folder)  # torch, slow to load, is asked only here
    elif not folder.exists():
        return [training.card_file for training in trainings]
    whole_study = partial(read, context.of_all_runs)
    _tidy_up(folder, settings.clean_workdir or _all_done(whole_study, units))
    return [training.card_file for training in trainings]


def _train(
    trainings: Sequence[SplitTraining], progress: Progress, settings: RunSettings, folder: Path
) -> None:
    """Train what is not up to date, with the processes that torchrun started.

    folder : of the training volumes; there is at least one training
    """
    from bids_xai.training.processes import current_processes, process_group

    with (
        in_use(folder),
        process_group(choose_device(settings.device)) as device,
        stop_requests() as stop,
    ):
        resources = Resources(
            folder,
            device,
            settings.training_threads,
            settings.tensorboard,
            settings.mem_mb * 2**20 if settings.mem_mb else None,
        )
        units = Units(trainings[0].models_folder, progress, current_processes())
        for training in trainings:
            train_split(training, resources, units, progress)
            if stop:
                raise stop.error(training.card_file)


def volume_folder(work: Path, study: str) -> Path:
    """Where the training volumes of a study lie: all runs with one work folder share them."""
    return work.resolve() / "group" / "volumes" / study


def _tidy_up(folder: Path, is_over: bool) -> None:
    """Remove training volumes that are not needed any more.

    Where other processes use them, they stay for the last of these to remove.
    """
    if not is_over:
        LOG.info("training volumes are kept for the trainings to come [%s]", folder)
    elif remove_unused(folder):
        remove_if_empty(*folder.parents[:3])


def _all_done(read_trainings: Callable[[], list[SplitTraining]], units: Units) -> bool:
    """Whether all trainings of the study are up to date, those of other runs included."""
    try:
        return all(units.is_current(training.unit()) for training in read_trainings())
    except (UserError, OSError):  # inputs of another configuration are not there yet
        return False


def read(context: GroupContext) -> list[SplitTraining]:
    """Return the trainings of this run, split by split of each configuration.

    Raises :class:`NoInputError` and :class:`BadDataError` for tables and maps that are missing or
    damaged, and for a configuration or split that the study does not have.
    """
    scans, splits = context.scans(), context.splits()
    selected_splits = context.selected_splits(len(splits))
    selected_configurations = context.selected_configurations
    trainings = []
    for configuration in context.study.configurations:
        if configuration.id not in selected_configurations:
            continue
        study = context.study.of(configuration)
        of_configuration = tuple(context.scans_of(configuration, scans))
        maps = [scan.map_file for scan in of_configuration]
        shape = common_shape(maps, study.input.voxel_mm or None)
        trainings += [
            SplitTraining(
                study=study,
                template=context.template,
                configuration=configuration,
                split=split,
                members=splits[split],
                scans=of_configuration,
                shape=shape,
                folder=context.model_folder(configuration.id, split),
                models_folder=context.models_folder,
                seed=context.settings.random_seed,
            )
            for split in selected_splits
        ]
    return trainings


def train_split(
    training: SplitTraining, resources: Resources, units: Units, progress: Progress
) -> bool:
    """Do a training unless it is up to date; tell whether it was done now.

    Raises :class:`BadDataError` for a participant in two sets, and what :func:`fit_network` does.
    """

    def make() -> list[Path]:
        from bids_xai.group.train.fit import fit_network, save_network

        participants = [scan.participant for scan in training.scans]
        check_no_leakage(participants, [training.members[label] for label in participants])
        if training.study.search.draws:
            return _search(training, resources, progress)
        network = fit_network(training, training.study, training.folder, resources, progress)
        return save_network(training.folder, network) if units.team.leads else []

    return units.run(training.unit(), make)


def _search(training: SplitTraining, resources: Resources, progress: Progress) -> list[Path]:
    """Train every draw, keep the files of the best by validation."""
    from bids_xai.group.train.fit import fit_network, save_network
    from bids_xai.training.processes import current_processes

    leads = current_processes().leads
    n_draws = training.study.search.draws
    draws: list[Draw] = []
    for number, study in enumerate(draws_of(training.study, (training.weight_seed,))):
        folder = _draw_folder(training, number)
        title = f"draw {number + 1} of {n_draws}"
        LOG.info("training %s: %s", training.title, title)
        network = fit_network(
            training, study, folder, resources, progress, draw=title, share=1 / n_draws
        )
        files = save_network(folder, network) if leads else []
        draws.append(Draw(study, network.result, files))
    if not leads:
        return []
    moved, table = keep_best(draws, training.folder)
    for number in range(n_draws):
        shutil.rmtree(_draw_folder(training, number), ignore_errors=True)
    return [*moved, *table]


def _draw_folder(training: SplitTraining, number: int) -> Path:
    return training.folder / f"draw-{number}"
