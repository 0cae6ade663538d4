"""The group level: steps in order; training and explaining are skipped while up to date."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import cast

from bids_xai.bids import run_log
from bids_xai.bids.layout import check_dataset
from bids_xai.bids.stamps import STAMP, write_stamp
from bids_xai.errors import NoInputError, UsageError
from bids_xai.group import STEPS
from bids_xai.group.coarse import coarsened
from bids_xai.group.context import LOG, GroupContext
from bids_xai.group.dry_run import say_what_would_be_done
from bids_xai.group.failures import forget, report_failure
from bids_xai.runtime.memory import keep_memory
from bids_xai.runtime.run_lock import alone_in
from bids_xai.runtime.threads import free_cpus
from bids_xai.settings import RunSettings
from bids_xai.studies.schema import load_study
from bids_xai.studies.shortened import shortened

_WITH_NETWORKS = frozenset({"train", "explain", "trust"})


def run_group(settings: RunSettings, *, threads_by_load: bool = False) -> Path | None:
    """Run the steps asked for; return the group page where the step ``report`` was among them.

    threads_by_load : networks get no more threads than there are idle processors now
    """
    if settings.use_plugin is not None:
        raise UsageError(
            "--use-plugin runs the participant level only",
            file=settings.use_plugin,
            fix="spread trainings by --configuration and --split in a job array",
        )
    study = load_study(settings.study)
    if settings.sloppy:
        LOG.warning("--sloppy: few epochs and splits, for trying things out; never for results")
        study = shortened(study)
    check_dataset(settings.bids_dir, settings.skip_bids_validation)
    context = GroupContext(settings, study, find_template(settings))
    if settings.sloppy:
        context = coarsened(context)
    steps = selected_steps(settings)
    if settings.dry_run:
        say_what_would_be_done(context, steps)
        return None
    _check_processes(steps)
    if os.environ.get("RANK", "0") == "0" or "WORLD_SIZE" not in os.environ:  # the one that writes
        run_log.begin(settings)
    keep_memory()
    if threads_by_load and _WITH_NETWORKS.intersection(steps):
        context = replace(context, settings=with_idle_threads(settings))
    with _alone(context, steps):
        return _run_steps(context, steps)


def _alone(context: GroupContext, steps: Sequence[str]) -> AbstractContextManager[None]:
    """Within it, no other run writes tables of the study.

    Runs that only train go side by side, each with its trainings.
    """
    return nullcontext() if steps == ["train"] else alone_in(context.folder)


def _run_steps(context: GroupContext, steps: Sequence[str]) -> Path | None:
    written: list[Path] = []
    for name in steps:
        started = time.monotonic()
        module, _, function = STEPS[name].partition(":")
        step = cast(
            "Callable[[GroupContext], list[Path]]", getattr(import_module(module), function)
        )
        try:
            written = step(context)
        except Exception as error:
            if name != "report":
                report_failure(context, name, error)
            raise
        _stamp_tables(context, name, written)
        forget(context, name)
        LOG.info("step %s: %.1f s", name, time.monotonic() - started)
    return written[-1] if "report" in steps else None


def _stamp_tables(context: GroupContext, step: str, written: Sequence[Path]) -> None:
    """Write down what the tables of a step hold, so that later steps refuse one cut short."""
    tables = [p for p in written if p.suffix == ".tsv" and p.is_relative_to(context.folder)]
    if tables:
        write_stamp(context.folder / f"{step}_{STAMP}", "", context.folder, tables, step=step)


def with_idle_threads(settings: RunSettings) -> RunSettings:
    """The settings with as many threads of a training as others leave processors free."""
    n_threads = free_cpus(settings.training_threads)
    if n_threads < settings.training_threads:
        LOG.info(
            "%d of %d processors are idle: networks run with %d thread(s), which may change the "
            "last digits of what they compute. --omp-nthreads N asks for another number.",
            *(n_threads, settings.training_threads, n_threads),
        )
    return replace(settings, omp_nthreads=n_threads)


def selected_steps(settings: RunSettings) -> list[str]:
    """Return the steps of a run in their order: those of ``--steps``, or all.

    Raises :class:`UsageError` for steps beside ``--reports-only``.
    """
    if settings.reports_only:
        if settings.steps:
            raise UsageError(
                "--reports-only and --steps cannot be combined", fix="omit one of the two"
            )
        return ["report"]
    return [name for name in STEPS if not settings.steps or name in settings.steps]


def _check_processes(steps: list[str]) -> None:
    """Raise :class:`UsageError` where torchrun started several processes for more than training."""
    if "WORLD_SIZE" not in os.environ:
        return
    from bids_xai.training.processes import n_started

    if n_started() > 1 and steps != ["train"]:
        raise UsageError(
            "several processes (torchrun) can only train",
            fix="add --steps train, and run the other steps in one process",
        )


def find_template(settings: RunSettings) -> str:
    """Return the template the derivatives were normalised to, empty where there are none.

    Where there are several, the first of ``--output-spaces`` that is among them counts.
    Raises :class:`NoInputError` where there are no derivatives at all.
    """
    pattern = "anat/*_from-T1w_to-*_mode-image_xfm.h5"
    root = settings.output_dir
    names = {
        path.name.split("_to-")[1].split("_")[0]
        for path in [*root.glob(f"sub-*/{pattern}"), *root.glob(f"sub-*/ses-*/{pattern}")]
    }
    if not names and any(root.glob("sub-*/**/anat/*.nii.gz")):
        LOG.warning("no transforms to a template: relevance stays on the grid of the maps")
        return ""
    if not names:
        raise NoInputError(
            "the output folder has no participant derivatives",
            file=root,
            fix="run the participant level first, into the same output folder",
        )
    preferred = [space.template for space in settings.output_spaces]
    return next((name for name in preferred if name in names), sorted(names)[0])
