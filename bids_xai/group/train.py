"""Step ``train``: one network a configuration and split, from the same initial weights a split."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import bids_xai
from bids_xai.bids.files import remove_if_empty
from bids_xai.bids.stamps import fingerprint, what_changed, write_stamp
from bids_xai.core.cohort.splits import check_no_leakage, split_hash
from bids_xai.errors import NoInputError
from bids_xai.group.context import LOG, GroupContext, Scan, load_scans, load_splits
from bids_xai.group.maps import scans_of
from bids_xai.group.search import Draw, best_draw, draws_of
from bids_xai.group.volumes import input_rule, training_volumes, with_statistics
from bids_xai.models import build
from bids_xai.models.card import WEIGHTS, ModelCard, save_model
from bids_xai.runtime.device import choose_device
from bids_xai.runtime.progress import Progress
from bids_xai.stages.network_grid import InputRule, common_shape, save_statistics
from bids_xai.studies.tables import Configuration, Study
from bids_xai.training.board import Board, board
from bids_xai.training.loop import EpochRecord, TrainingResult, train
from bids_xai.training.processes import current_processes, process_group
from bids_xai.training.recipe import Recipe
from bids_xai.training.signals import stop_requests
from bids_xai.training.transfer import check_disjoint, load_pretrained

_PACKAGES = ("torch", "numpy", "zennit")
_RUN = "run.txt"


@dataclass(frozen=True)
class Job:
    """One training: a configuration's own view of the study, a split, and its scans.

    members : participant label -> set; ``cache`` holds volumes of this run; ``device`` is where
        the network runs
    """

    context: GroupContext
    study: Study
    configuration: Configuration
    split: int
    members: dict[str, str]
    scans: list[Scan]
    shape: tuple[int, int, int]
    cache: Path
    device: torch.device

    @property
    def folder(self) -> Path:
        """Where the model goes."""
        return self.context.model_folder(self.configuration.id, self.split)

    @property
    def title(self) -> str:
        """``A, split 0``."""
        return f"{self.configuration.id}, split {self.split}"

    def of_set(self, name: str) -> list[Scan]:
        """The scans of a set."""
        return [scan for scan in self.scans if self.members[scan.participant] == name]

    @property
    def weight_seed(self) -> int:
        """Initial weights differ between splits and are shared by the configurations of a split."""
        return 1000 * self.context.settings.random_seed + self.split


def run(context: GroupContext) -> list[Path]:
    """Train what is not up to date; return the model cards."""
    every, splits = load_scans(context), load_splits(context)
    chosen = context.selected_splits(len(splits))
    watch = Progress("trainings", len(context.selected_configurations) * len(chosen))
    work = context.settings.work_folder.resolve() / "group"
    work.mkdir(parents=True, exist_ok=True)
    cards: list[Path] = []
    # a folder of this process's own: job-array tasks share the work folder
    with (
        tempfile.TemporaryDirectory(dir=work, prefix=f"{context.study.name}-") as cache,
        process_group(choose_device(context.settings.device)) as device,
        stop_requests() as stop,
    ):
        for configuration in context.study.configurations:
            if configuration.id not in context.selected_configurations:
                continue
            study = context.study.of(configuration)
            scans = scans_of(context, configuration, every)
            shape = common_shape([scan.map_file for scan in scans], study.input.voxel_mm or None)
            for split in chosen:
                job = Job(
                    context,
                    study,
                    configuration,
                    split,
                    splits[split],
                    scans,
                    shape,
                    Path(cache),
                    device,
                )
                cards.append(_train_one(job, watch))
                if stop:
                    raise stop.error(cards[-1])
    remove_if_empty(work, work.parent)
    return cards


def training_digest(job: Job) -> str:
    """Return the fingerprint of everything a trained model depends on."""
    study = job.study.as_plain()
    options = {key: study[key] for key in ("input", "model", "training", "target", "search")}
    files = [file for scan in job.scans for file in (scan.map_file, scan.mask_file)]
    start = _start_folder(job)
    if start is not None:
        files.append(start / WEIGHTS)
    return fingerprint(
        files,
        {
            **options,
            "version": bids_xai.__version__,
            "configuration": [job.configuration.skull_strip, job.configuration.relevance_guided],
            "split": job.split,
            "members": split_hash(job.members),
            "classes": {scan.name: scan.class_name for scan in job.scans},
            "shape": job.shape,
            "seed": job.context.settings.random_seed,
        },
    )


def _train_one(job: Job, watch: Progress) -> Path:
    digest = training_digest(job)
    stamp = job.folder / "stamp.json"
    changed = what_changed(stamp, digest, job.folder)
    if not changed:
        LOG.info("training %s: up to date", job.title)
        watch.skip()
        return job.folder / "model.json"
    LOG.debug("training %s, since %s", job.title, changed)
    participants = [scan.participant for scan in job.scans]
    check_no_leakage(participants, [job.members[name] for name in participants])
    processes = current_processes()
    if processes.leads:
        _forget_other_run(job.folder, digest)
    processes.wait()  # nobody looks for a checkpoint before that
    if job.study.search.draws:
        files = _search(job, watch)
    else:
        files = _fit(job, job.study, job.folder, watch)[1]
    if processes.leads:
        write_stamp(stamp, digest, job.folder, files)
        (job.folder / _RUN).unlink(missing_ok=True)
    processes.wait()
    return job.folder / "model.json"


def _forget_other_run(folder: Path, digest: str) -> None:
    """Keep the checkpoint of an interrupted run of the same training, drop any other."""
    marker = folder / _RUN
    if not marker.is_file() or marker.read_text() != digest:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    marker.write_text(digest)


def _search(job: Job, watch: Progress) -> list[Path]:
    """Train every draw, keep the files of the best by validation."""
    draws: list[Draw] = []
    for number, study in enumerate(draws_of(job.study, (job.weight_seed,))):
        folder = job.folder / f"draw-{number}"
        name = f"draw {number + 1} of {study.search.draws}"
        LOG.info("training %s: %s", job.title, name)
        result, files = _fit(job, study, folder, watch, name, 1 / study.search.draws)
        draws.append(Draw(study, result, files))
    if not current_processes().leads:
        return []
    kept, table = best_draw(draws, job.folder)
    for number in range(len(draws)):
        shutil.rmtree(job.folder / f"draw-{number}", ignore_errors=True)
    return [*kept, *table]


def _fit(
    job: Job, study: Study, folder: Path, watch: Progress, draw: str = "", whole: float = 1.0
) -> tuple[TrainingResult, list[Path]]:
    """Train one network into a folder; return what came out and the files written.

    draw : which draw of a search this is; whole : what it is of one of the trainings counted
    """
    torch.set_num_threads(job.context.settings.training_threads)
    LOG.debug("training %s with %d thread(s)", job.title, torch.get_num_threads())
    folder.mkdir(parents=True, exist_ok=True)
    rule = with_statistics(
        input_rule(study, job.configuration.skull_strip, job.shape), job.of_set("train")
    )
    data = {
        name: training_volumes(study, rule, job.of_set(name), job.cache)
        for name in ("train", "validation")
    }
    model = build(
        study.model.architecture,
        job.shape,
        len(study.target.names),
        seed=job.weight_seed,
        **study.model.options,
    )
    started_on = _transfer(job, study, model)
    recipe = recipe_of(study, job)
    LOG.info(
        "training %s: %d + %d scans of %s voxels on %s",
        job.title,
        len(data["train"]),
        len(data["validation"]),
        "×".join(map(str, job.shape)),
        job.device,
    )
    leads = current_processes().leads
    title, end = ", ".join(filter(None, (job.title, draw))), watch.done + whole
    with board(folder) if job.context.settings.tensorboard and leads else nullcontext() as curves:
        result = train(
            model,
            data["train"],
            data["validation"],
            recipe,
            folder=folder,
            device=job.device,
            progress=_Epochs(title, recipe.epochs, whole, watch, curves),
        )
    watch.reach(end)  # it may have stopped early
    if result.constant:
        LOG.warning(
            "training %s: the network gives every validation scan the same answer; it has learnt "
            "nothing (try another learning rate, or more epochs)",
            job.title,
        )
    if not leads:
        return result, []
    written = [save_model(folder, model, _card(job, study, rule, result, started_on))]
    if rule.statistics is not None:
        written.append(save_statistics(folder, rule.statistics))
    return result, [*written, folder / WEIGHTS, folder / "training.tsv"]


def recipe_of(study: Study, job: Job) -> Recipe:
    """The recipe of a training: the study's numbers, and a seed."""
    training = study.training
    return Recipe(
        epochs=training.epochs,
        batch_size=training.batch_size,
        accumulate=training.accumulate,
        optimizer=training.optimizer,
        learning_rate=training.learning_rate,
        momentum=training.momentum,
        weight_decay=training.weight_decay,
        patience=training.plateau.patience,
        min_delta=training.plateau.min_delta,
        factor=training.plateau.factor,
        min_learning_rate=training.plateau.min,
        reset_weights=training.plateau.reset_weights,
        stop_patience=training.early_stopping.patience,
        stop_metric=training.early_stopping.metric,
        stop_min_delta=training.early_stopping.min_delta,
        flip_axes=training.augmentation.flip_axes,
        shift_voxels=training.augmentation.shift_voxels,
        class_weights=training.class_weights,
        relevance_guided=job.configuration.relevance_guided,
        guidance_weight=training.guidance_weight,
        guidance_after=training.guidance_after,
        freeze=training.transfer.freeze if training.transfer else (),
        mixed_precision=training.mixed_precision,
        channels_last=training.channels_last,
        # repetitions of a split differ in the order of scans, too
        seed=job.context.settings.random_seed + job.split % study.splits.repetitions,
    )


@dataclass
class _Epochs:
    """Says how far all trainings are, and how one goes; with ``-v`` at every epoch.

    whole : what this training is of those that ``watch`` counts; less than 1 for a draw of several
    curves : is told of every epoch, too
    """

    title: str
    epochs: int
    whole: float
    watch: Progress
    curves: Board | None
    begun: bool = False

    def __call__(self, record: EpochRecord) -> None:
        """Take in an epoch that is over."""
        if self.curves is not None:
            self.curves(record)
        share = self.whole / self.epochs
        if not self.begun:  # those before are of an interrupted run
            self.begun = True
            self.watch.skip(share * (record.epoch - 1))
        inner = record.inner_mask_share
        inside = "" if inner is None else f", inside the mask {100 * inner:.0f} %"
        note = (
            f"{self.title}: epoch {record.epoch} of {self.epochs}, loss {record.train_loss:.3f}, "
            f"validation {record.validation_loss:.3f}{inside}"
        )
        LOG.debug("  %s", note)
        self.watch.step(share, note)


def _start_folder(job: Job) -> Path | None:
    """The folder of the model that a training starts from, ``None`` for random weights."""
    transfer = job.study.training.transfer
    if transfer is None:
        return None
    own = job.context.output_dir / "models" / transfer.model
    for folder in (own / f"split-{job.split}", own / "split-0", own, Path(transfer.model)):
        if (folder / "model.json").is_file():
            return folder
    raise NoInputError(
        f"no trained model '{transfer.model}' to start from",
        file=own,
        fix="train that study first, or give the folder of a model as training.transfer.model",
    )


def _transfer(job: Job, study: Study, model: torch.nn.Module) -> tuple[str, ...]:
    """Put in the weights to start from; return the participants that these have seen.

    Raises :class:`BadDataError` where one of them is to be tested.
    """
    folder = _start_folder(job)
    if folder is None or study.training.transfer is None:
        return ()
    found = load_pretrained(model, folder, layers=study.training.transfer.layers)
    check_disjoint(
        found.card.training_participants, {scan.participant for scan in job.of_set("test")}
    )
    LOG.info("training %s: starts from %s (%d tensors)", job.title, folder, len(found.copied))
    return found.card.training_participants


def _card(
    job: Job, study: Study, rule: InputRule, result: TrainingResult, started_on: tuple[str, ...]
) -> ModelCard:
    seen = {scan.participant for name in ("train", "validation") for scan in job.of_set(name)}
    return ModelCard(
        architecture=study.model.architecture,
        options=dict(study.model.options),
        input_shape=job.shape,
        voxel_mm=(rule.voxel_mm,) * 3 if rule.voxel_mm else None,
        suffix=study.input.suffix,
        space=study.input.space if study.input.space == "T1w" else job.context.template,
        scaling=rule.scaling,
        scale=rule.scale,
        maximum=rule.maximum,
        skull_strip=rule.skull_strip,
        classes=study.target.names,
        positive=study.target.positive_name,
        seed=job.context.settings.random_seed,
        study=study.name,
        configuration=job.configuration.id,
        split=job.split,
        split_hash=split_hash(job.members),
        training_participants=tuple(sorted(seen | set(started_on))),
        relevance_guided=job.configuration.relevance_guided,
        metrics=_metrics(result),
        versions={"bids_xai": bids_xai.__version__}
        | {package: version(package) for package in _PACKAGES},
    )


def _metrics(result: TrainingResult) -> dict[str, Any]:
    if not result.best_epoch:
        return {"best_epoch": 0}
    best = result.history[result.best_epoch - 1]
    found: dict[str, float | None] = {
        "best_epoch": result.best_epoch,
        "epochs": len(result.history),
        "seconds": round(sum(record.seconds for record in result.history), 3),
        "validation_loss": result.best_validation_loss,
        "validation_balanced_accuracy": best.validation_balanced_accuracy,
        "inner_mask_share": best.inner_mask_share,
    }
    return {key: value if value == value else None for key, value in found.items()}
