"""The plugin file: what it may say."""

from __future__ import annotations

from pathlib import Path

import pytest
from nipype.pipeline import plugins

from bids_xai.errors import BadDataError, NoInputError, UsageError
from bids_xai.workflows.plugin import PLUGINS, Plugin, read_plugin


def write(folder: Path, text: str) -> Path:
    file = folder / "plugin.yml"
    file.write_text(text)
    return file


def test_name_and_arguments(tmp_path: Path) -> None:
    text = "plugin: SLURM\nplugin_args:\n  sbatch_args: --mem=6G\n  max_jobs: 9\n"
    assert read_plugin(write(tmp_path, text)) == Plugin(
        "SLURM", {"sbatch_args": "--mem=6G", "max_jobs": 9}
    )
    assert read_plugin(write(tmp_path, "plugin: Linear\n")) == Plugin("Linear")


def test_all_plugins_are_nipypes() -> None:
    assert all(hasattr(plugins, f"{name}Plugin") for name in PLUGINS)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("plugin: [", BadDataError, "cannot be read"),
        ("- SLURM", UsageError, "other keys"),
        ("plugin: SLURM\nargs: 1", UsageError, "other keys"),
        ("plugin: SLURMGraph", UsageError, "no plugin 'SLURMGraph'"),  # does not wait
        ("plugin: Slurm", UsageError, "no plugin 'Slurm'"),
        ("plugin: SLURM\nplugin_args: fast", UsageError, "not a table"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, text: str, error: type[Exception], words: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(error, match=words) as raised:
        read_plugin(file)
    assert str(file) in str(raised.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match="no plugin file"):
        read_plugin(tmp_path / "plugin.yml")
