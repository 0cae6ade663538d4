"""The file of ``--use-plugin``: which of nipype's plugins runs the graph, and how.

.. code-block:: yaml

    plugin: SLURM
    plugin_args:
      sbatch_args: --partition=short --mem=6G --time=2:00:00
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bids_xai.errors import BadDataError, NoInputError, UsageError

PLUGINS = ("Linear", "MultiProc", "SLURM", "PBS", "SGE", "LSF", "Condor", "OAR")
"""Those of nipype that run the graph here or by a batch system, and wait for its end (those called
Graph and DAGMan do not wait)."""


@dataclass(frozen=True)
class Plugin:
    """A plugin by nipype's name, and its arguments."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


def read_plugin(file: Path) -> Plugin:
    """Read a plugin file.

    Raises :class:`NoInputError` for a missing file, :class:`BadDataError` for one that is no YAML,
    :class:`UsageError` for what the file must not say.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NoInputError("no plugin file", file=file, fix="give an existing file") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadDataError(
            f"the plugin file cannot be read: {error}", file=file, fix="write YAML for nipype"
        ) from error
    if not isinstance(content, dict) or not set(content) <= {"plugin", "plugin_args"}:
        raise UsageError(
            "the plugin file has other keys than plugin and plugin_args",
            file=file,
            fix="write plugin: NAME, and the arguments below plugin_args:",
        )
    name, arguments = content.get("plugin"), content.get("plugin_args") or {}
    if name not in PLUGINS:
        raise UsageError(f"no plugin '{name}'", file=file, fix=f"choose from {', '.join(PLUGINS)}")
    if not isinstance(arguments, dict):
        raise UsageError(
            "plugin_args is not a table", file=file, fix="write one 'name: value' per line below it"
        )
    return Plugin(str(name), arguments)
