"""Settings: spaces, defaults, and what is written into the run log."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from bids_xai import settings
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


@pytest.mark.parametrize(
    ("variables", "quota", "count"),
    [
        ({}, None, 8),
        ({"SLURM_CPUS_PER_TASK": "3"}, None, 3),
        ({"NSLOTS": "2"}, None, 2),
        ({"PBS_NP": "4", "NCPUS": "6"}, None, 4),
        ({"NSLOTS": "none"}, None, 8),
        ({"NSLOTS": "0"}, None, 8),
        ({"NSLOTS": "64"}, None, 8),
        ({}, "200000 100000\n", 2),
        ({}, "50000 100000\n", 1),
        ({}, "max 100000\n", 8),
        ({"NSLOTS": "3"}, "200000 100000\n", 2),
    ],
)
def test_no_more_processors_are_taken_than_were_granted(
    variables: dict[str, str],
    quota: str | None,
    count: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name in settings._GRANTED:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(settings, "_QUOTA", tmp_path / "cpu.max")
    if quota is not None:
        (tmp_path / "cpu.max").write_text(quota)
    assert settings.available_cpus() == count


def test_the_log_can_be_read_back() -> None:
    chosen = RunSettings(Path("/a"), Path('/b "c"\\d'), "participant", split=(1, 2), sloppy=True)
    control = "".join(map(chr, range(33))) + "\x7f"
    assert tomllib.loads(to_toml({"a": [control, 0.5]})) == {"a": [control, 0.5]}
    read = tomllib.loads(to_toml(chosen.as_plain()))
    assert read["output_dir"] == '/b "c"\\d'
    assert read["split"] == [1, 2]
    assert read["sloppy"] is True
    assert read["output_spaces"] == ["MNI152NLin2009cAsym:res-2"]


def test_work_folder_and_threads() -> None:
    chosen = RunSettings(Path("/a"), Path("/b"), "group", nprocs=3)
    assert chosen.work_folder == Path("/b/work")
    assert chosen.training_threads == 3
    assert RunSettings(Path("/a"), Path("/b"), "group", omp_nthreads=2).training_threads == 2
