"""Nipype's configuration and plugins for a run, and how many sessions fit into memory."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bids_xai.bids.files import write_text
from bids_xai.runtime.free_memory import host_bytes
from bids_xai.settings import RunSettings
from bids_xai.workflows.jobs import SessionJob

LOG = logging.getLogger(__name__)


def plugin_of(settings: RunSettings) -> Any:
    """Return the plugin that runs the steps of a session on this machine."""
    from nipype.pipeline.plugins import LinearPlugin, MultiProcPlugin

    return (
        LinearPlugin() if settings.nprocs == 1 else MultiProcPlugin(multiproc_arguments(settings))
    )


def multiproc_arguments(settings: RunSettings) -> dict[str, Any]:
    """Return the arguments of nipype's ``MultiProc`` plugin."""
    memory = {} if (given := memory_gb(settings)) is None else {"memory_gb": given}
    return {
        "n_procs": settings.nprocs,
        "mp_context": "forkserver",
        "raise_insufficient": False,
        "n_gpu_procs": 1,
        **memory,
    }


def configure_nipype(settings: RunSettings, crashes: Path) -> None:
    """Write nipype's configuration where this process and its workers read it (never HOME)."""
    level = "INFO" if settings.verbose >= 2 else "CRITICAL"
    options = {
        "logging": {
            "workflow_level": level,
            "interface_level": level,
            "utils_level": level,
            "log_to_file": "false",
        },
        "execution": {
            "crashdump_dir": str(crashes),
            "crashfile_format": "txt",
            "poll_sleep_duration": "0.2",
            "job_finished_timeout": "60",  # s that a network disk may take to show a result
            "stop_on_first_crash": str(settings.stop_on_first_crash).lower(),
            "remove_unnecessary_outputs": "false",
            "hash_method": "timestamp",
            "check_version": "false",
            "write_provenance": "false",
            "create_report": "false",
        },
    }
    lines = [
        line
        for section, values in options.items()
        for line in (f"[{section}]", *(f"{key} = {value}" for key, value in values.items()))
    ]
    write_text(crashes / "nipype.cfg", "\n".join(lines) + "\n")
    os.environ["NIPYPE_CONFIG_DIR"] = str(crashes)
    from nipype import config
    from nipype import logging as nipype_logging

    config.update_config(options)
    nipype_logging.update_logging(config)


def memory_gb(settings: RunSettings) -> float | None:
    """Memory in GiB for sessions: ``--mem-mb``, else what is free; None where nobody says."""
    if settings.mem_mb:
        return settings.mem_mb / 1024
    free = host_bytes()
    return None if free is None else free / 2**30


def workers_of(jobs: Sequence[SessionJob], settings: RunSettings) -> int:
    """How many sessions run at a time, by processes and memory."""
    needed = max(job.memory_gb for job in jobs)
    workers = min(settings.nprocs, len(jobs))
    if (given := memory_gb(settings)) is None or given >= needed * workers:
        return workers
    fitting = max(1, int(given / needed))
    level = logging.WARNING if settings.use_plugin is None else logging.DEBUG  # runs elsewhere
    LOG.log(
        level,
        "%d session(s) at a time instead of %d: each may take %.1f GB of memory, and there are "
        "%.1f GB; the rest wait",
        fitting,
        workers,
        needed,
        given,
    )
    return fitting
