"""One training: the volumes, the network and its recipe put together, trained and saved."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from bids_xai.group.context import LOG
from bids_xai.group.train.card import model_card
from bids_xai.group.train.inputs import Resources, SplitTraining
from bids_xai.group.train.memory import check_memory, training_size
from bids_xai.group.train.progress import EpochsOfTraining
from bids_xai.group.train.recipe import order_seed, recipe_of
from bids_xai.group.train.transfer import take_over
from bids_xai.group.volumes import input_rule, training_volumes, with_statistics
from bids_xai.models import build
from bids_xai.models.card import WEIGHTS, ModelCard, save_model
from bids_xai.runtime.device import machine_of
from bids_xai.runtime.progress import Progress
from bids_xai.stages.network_grid import InputRule, save_statistics
from bids_xai.studies.tables import Study
from bids_xai.training.board import board
from bids_xai.training.loop import TrainingResult, train
from bids_xai.training.processes import current_processes
from bids_xai.training.volumes import VolumeFiles


@dataclass(frozen=True)
class FittedNetwork:
    """A trained network, what is to be known of it, and how maps become its input."""

    model: nn.Module
    card: ModelCard
    rule: InputRule
    result: TrainingResult


def fit_network(
    training: SplitTraining,
    study: Study,
    folder: Path,
    resources: Resources,
    progress: Progress,
    *,
    draw: str = "",
    share: float = 1.0,
) -> FittedNetwork:
    """Train a network; its checkpoints and ``training.tsv`` go into a folder.

    study : that of the training, or the draw of a search
    draw : title of the draw; share : what it is of a training that ``progress`` counts
    Raises what :func:`bids_xai.training.loop.train` raises, and :class:`BadDataError` where a
    scan to be tested has been seen by the weights that the training starts from, or memory is
    far too short.
    """
    torch.set_num_threads(resources.n_threads)
    LOG.debug("training %s with %d thread(s)", training.title, torch.get_num_threads())
    size = training_size(study, training.shape, guided=training.configuration.relevance_guided)
    check_memory(size, resources.free_bytes, training.title)
    folder.mkdir(parents=True, exist_ok=True)
    rule = with_statistics(
        input_rule(study.input, training.configuration.skull_strip, training.shape),
        training.of_set("train"),
    )
    train_data, validation_data = (
        training_volumes(study, rule, training.of_set(name), resources.cache)
        for name in ("train", "validation")
    )
    model, seen_before = _initial_network(training, study)
    title, end = ", ".join(filter(None, (training.title, draw))), progress.done + share
    epochs = EpochsOfTraining(title, study.training.epochs, share, progress, None)
    result = _trained(
        training, study, folder, resources, model, (train_data, validation_data), epochs
    )
    progress.reach(end)  # it may have stopped early
    machine = machine_of(resources.device)
    card = model_card(training, study, rule, result, seen_before, machine)
    return FittedNetwork(model, card, rule, result)


def _initial_network(training: SplitTraining, study: Study) -> tuple[nn.Module, tuple[str, ...]]:
    """The network before training, and the participants that its weights have seen."""
    model = build(
        study.model.architecture,
        training.shape,
        len(study.target.names),
        seed=training.weight_seed,
        **study.model.options,
    )
    folder, transfer = training.start_folder, study.training.transfer
    if folder is None or transfer is None:
        return model, ()
    tested = {scan.participant for scan in training.of_set("test")}
    return model, take_over(model, folder, transfer.layers, tested, training.title)


def _trained(
    training: SplitTraining,
    study: Study,
    folder: Path,
    resources: Resources,
    model: nn.Module,
    data: tuple[VolumeFiles, VolumeFiles],
    epochs: EpochsOfTraining,
) -> TrainingResult:
    """Train the model in place; data : for training and for validation."""
    LOG.info(
        "training %s: %d + %d scans of %s voxels on %s",
        training.title,
        *(len(volumes) for volumes in data),
        "×".join(map(str, training.shape)),
        resources.device,
    )
    recipe = recipe_of(
        study,
        relevance_guided=training.configuration.relevance_guided,
        seed=order_seed(training.seed, training.split, study.splits.repetitions),
    )
    writes_curves = resources.tensorboard and current_processes().leads
    with board(folder) if writes_curves else nullcontext() as curves:
        result = train(
            model,
            *data,
            recipe,
            folder=folder,
            device=resources.device,
            progress=replace(epochs, curves=curves),
            memory_bytes=resources.memory_bytes,
        )
    if result.constant:
        LOG.warning(
            "training %s: the network gives every validation scan the same probabilities; it has "
            "learnt nothing (try another learning rate, or more epochs)",
            training.title,
        )
    return result


def save_network(folder: Path, network: FittedNetwork) -> list[Path]:
    """Write a trained network beside the log of its training; return all files, the card first."""
    written = [save_model(folder, network.model, network.card)]
    if network.rule.statistics is not None:
        written.append(save_statistics(folder, network.rule.statistics))
    return [*written, folder / WEIGHTS, folder / "training.tsv"]
