"""Settings: spaces, defaults, and what is written into the run log."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from bids_xai.settings import OutputSpace, RunSettings, to_toml


@pytest.mark.parametrize(
    ("text", "space"),
    [("A1", OutputSpace("A1", 2)), ("MNI152NLin6Asym:res-1", OutputSpace("MNI152NLin6Asym", 1))],
)
def test_output_space(text: str, space: OutputSpace) -> None:
    assert OutputSpace.parse(text) == space
    assert OutputSpace.parse(str(space)) == space


@pytest.mark.parametrize(
    "text", ["", "A:res-0", "A:1", "A:res-x", "A b", "A:den-2", "Ä", "A:res-²"]
)
def test_broken_output_space(text: str) -> None:
    with pytest.raises(ValueError, match="NAME"):
        OutputSpace.parse(text)


def test_the_log_can_be_read_back() -> None:
    settings = RunSettings(Path("/a"), Path('/b "c"\\d'), "participant", split=(1, 2), sloppy=True)
    control = "".join(map(chr, range(33))) + "\x7f"
    assert tomllib.loads(to_toml({"a": [control, 0.5]})) == {"a": [control, 0.5]}
    read = tomllib.loads(to_toml(settings.as_plain()))
    assert read["output_dir"] == '/b "c"\\d'
    assert read["split"] == [1, 2]
    assert read["sloppy"] is True
    assert read["output_spaces"] == ["MNI152NLin2009cAsym:res-2"]


def test_work_folder_and_threads() -> None:
    settings = RunSettings(Path("/a"), Path("/b"), "group", nprocs=3)
    assert settings.work_folder == Path("/b/work")
    assert settings.training_threads == 3
    assert RunSettings(Path("/a"), Path("/b"), "group", omp_nthreads=2).training_threads == 2
