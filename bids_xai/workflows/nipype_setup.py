"""Nipype's configuration and plugins for a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from bids_xai.bids.files import write_text
from bids_xai.settings import RunSettings


def plugin_of(settings: RunSettings) -> Any:
    """Return the plugin that runs the steps of a session on this machine."""
    from nipype.pipeline.plugins import LinearPlugin, MultiProcPlugin

    return (
        LinearPlugin() if settings.nprocs == 1 else MultiProcPlugin(multiproc_arguments(settings))
    )


def multiproc_arguments(settings: RunSettings) -> dict[str, Any]:
    """Return the arguments of nipype's ``MultiProc`` plugin."""
    memory = {"memory_gb": settings.mem_mb / 1024} if settings.mem_mb else {}
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
