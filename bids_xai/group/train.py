"""Step ``train``: one network a configuration and split, from the same initial weights a split."""

from __future__ import annotations

import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch

import bids_xai
from bids_xai.bids.files import remove_if_empty
from bids_xai.bids.stamps import fingerprint, is_current, write_stamp
from bids_xai.core.splits import check_no_leakage, split_hash
from bids_xai.group.context import LOG, GroupContext, Scan, load_scans, load_splits
from bids_xai.interfaces.explain import choose_device
from bids_xai.interfaces.network_grid import common_shape, load_network_input
from bids_xai.models import build_model
from bids_xai.models.card import ModelCard, save_model
from bids_xai.studies.schema import Configuration
from bids_xai.training.loop import EpochRecord, train
from bids_xai.training.recipe import Recipe
from bids_xai.training.volumes import VolumeFile, VolumeFiles, save_array

_PACKAGES = ("torch", "numpy", "zennit")


def run(context: GroupContext) -> list[Path]:
    """Train what is not up to date; return the model cards."""
    scans, splits = load_scans(context), load_splits(context)
    shape = common_shape([scan.map_file for scan in scans], context.study.input.voxel_mm or None)
    work = context.settings.work_folder.resolve() / "group"
    work.mkdir(parents=True, exist_ok=True)
    cards: list[Path] = []
    # a folder of this process's own: job-array tasks share the work folder
    with tempfile.TemporaryDirectory(dir=work, prefix=f"{context.study.name}-") as cache:
        for configuration in context.study.configurations:
            if configuration.id not in context.selected_configurations:
                continue
            for split in context.selected_splits:
                members = splits[split]
                cards.append(
                    _train_one(context, configuration, split, members, scans, shape, Path(cache))
                )
    remove_if_empty(work, work.parent)
    return cards


def training_digest(
    context: GroupContext,
    configuration: Configuration,
    split: int,
    members: dict[str, str],
    scans: list[Scan],
    shape: tuple[int, int, int],
) -> str:
    """Return the fingerprint of everything a trained model depends on."""
    study = context.study.as_plain()
    options = {key: study[key] for key in ("input", "model", "training", "target")}
    files = [file for scan in scans for file in (scan.map_file, scan.mask_file)]
    return fingerprint(
        files,
        {
            **options,
            "version": bids_xai.__version__,
            "configuration": [configuration.skull_strip, configuration.relevance_guided],
            "split": split,
            "members": split_hash(members),
            "classes": {scan.name: scan.class_name for scan in scans},
            "shape": shape,
            "seed": context.settings.random_seed,
        },
    )


def _train_one(
    context: GroupContext,
    configuration: Configuration,
    split: int,
    members: dict[str, str],
    scans: list[Scan],
    shape: tuple[int, int, int],
    cache: Path,
) -> Path:
    folder = context.model_folder(configuration.id, split)
    digest = training_digest(context, configuration, split, members, scans, shape)
    stamp = folder / "stamp.json"
    if is_current(stamp, digest, folder):
        LOG.info("training %s, split %d: up to date", configuration.id, split)
        return folder / "model.json"
    participants = [scan.participant for scan in scans]
    check_no_leakage(participants, [members[name] for name in participants])
    _forget_other_run(folder, digest)
    files = _fit(context, configuration, split, members, scans, shape, cache, folder)
    write_stamp(stamp, digest, folder, files)
    (folder / _RUN).unlink(missing_ok=True)
    return folder / "model.json"


_RUN = "run.txt"


def _forget_other_run(folder: Path, digest: str) -> None:
    """Keep the checkpoint of an interrupted run of the same training, drop any other."""
    marker = folder / _RUN
    if not marker.is_file() or marker.read_text() != digest:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    marker.write_text(digest)


def _fit(
    context: GroupContext,
    configuration: Configuration,
    split: int,
    members: dict[str, str],
    scans: list[Scan],
    shape: tuple[int, int, int],
    cache: Path,
    folder: Path,
) -> list[Path]:
    study, seed = context.study, context.settings.random_seed
    device = choose_device(context.settings.device)
    torch.set_num_threads(context.settings.training_threads)
    data = {
        name: _volumes(context, configuration, shape, cache,
                       [scan for scan in scans if members[scan.participant] == name])
        for name in ("train", "validation")
    }  # fmt: skip
    model = build_model(study.model.architecture, shape, 2, seed=_weight_seed(seed, split))
    recipe = Recipe(
        epochs=study.training.epochs,
        batch_size=study.training.batch_size,
        accumulate=study.training.accumulate,
        learning_rate=study.training.learning_rate,
        patience=study.training.plateau.patience,
        min_delta=study.training.plateau.min_delta,
        factor=study.training.plateau.factor,
        min_learning_rate=study.training.plateau.min,
        reset_weights=study.training.plateau.reset_weights,
        relevance_guided=configuration.relevance_guided,
        guidance_weight=study.training.guidance_weight,
        guidance_after=study.training.guidance_after,
        seed=seed,
    )
    LOG.info(
        "training %s, split %d: %d + %d scans of %s voxels on %s",
        configuration.id, split, len(data["train"]), len(data["validation"]),
        "×".join(map(str, shape)), device,
    )  # fmt: skip

    def progress(record: EpochRecord) -> None:
        if record.epoch % 10 == 0 or record.epoch == recipe.epochs:
            LOG.info(
                "  epoch %d/%d  loss %.3f  validation %.3f  inside the mask %.0f %%  (%.1f s left)",
                record.epoch, recipe.epochs, record.train_loss, record.validation_loss,
                100 * record.inner_mask_share, (recipe.epochs - record.epoch) * record.seconds,
            )  # fmt: skip

    result = train(
        model, data["train"], data["validation"], recipe,
        folder=folder, device=device, progress=progress,
    )  # fmt: skip
    voxel = study.input.voxel_mm
    best = result.history[result.best_epoch - 1]
    card = ModelCard(
        architecture=study.model.architecture,
        input_shape=shape,
        voxel_mm=(voxel, voxel, voxel) if voxel else None,
        suffix=study.input.suffix,
        space=study.input.space,
        scale=study.input.scale,
        maximum=study.input.maximum or None,
        skull_strip=configuration.skull_strip,
        classes=(study.target.negative, study.target.positive),
        seed=seed,
        study=study.name,
        configuration=configuration.id,
        split=split,
        split_hash=split_hash(members),
        relevance_guided=configuration.relevance_guided,
        metrics={
            "best_epoch": result.best_epoch,
            "validation_loss": result.best_validation_loss,
            "validation_balanced_accuracy": best.validation_balanced_accuracy,
            "inner_mask_share": best.inner_mask_share,
        },
        versions={"bids_xai": bids_xai.__version__}
        | {package: version(package) for package in _PACKAGES},
    )
    written = save_model(folder, model, card)
    return [written, folder / "model.safetensors", folder / "training.tsv"]


def _weight_seed(seed: int, split: int) -> int:
    """Initial weights differ between splits and are shared by the configurations of a split."""
    return 1000 * seed + split


def _volumes(
    context: GroupContext,
    configuration: Configuration,
    shape: tuple[int, int, int],
    cache: Path,
    scans: list[Scan],
) -> VolumeFiles:
    kind = "stripped" if configuration.skull_strip else "whole"
    entries = []
    for scan in scans:
        files = (cache / f"{scan.name}_{kind}.npy", cache / f"{scan.name}_mask.npy")
        if not all(file.is_file() for file in files):
            _cache_scan(context, configuration, shape, scan, *files)
        label = int(scan.class_name == context.study.target.positive)
        entries.append(VolumeFile(*files, label))
    return VolumeFiles(entries)


def _cache_scan(
    context: GroupContext,
    configuration: Configuration,
    shape: tuple[int, int, int],
    scan: Scan,
    volume_file: Path,
    mask_file: Path,
) -> None:
    volume, mask = load_network_input(
        scan.map_file,
        scan.mask_file,
        shape=shape,
        voxel_mm=context.study.input.voxel_mm or None,
        scale=context.study.input.scale,
        maximum=context.study.input.maximum or None,
        skull_strip=configuration.skull_strip,
    )
    save_array(volume_file, volume.data)
    save_array(mask_file, mask.data.astype("uint8"))
