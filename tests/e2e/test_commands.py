"""How the other files here start commands: as processes, with what belongs to a process."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import begin, command, fresh, server, simulate

SIMULATE = "bids_xai.cli.simulate"
LONG = ("--n-participants", "500")


def test_a_command_says_and_returns_what_it_does_in_a_new_interpreter() -> None:
    for words in (["--version"], ["--nonsense"], ["/nowhere", "/nowhere/out", "group"]):
        assert command(*words) == fresh(*words)
    assert command("--version").out.startswith("bids_xai ")
    assert simulate("--kind", "unknown").status == 64


def test_an_exception_that_nobody_catches_is_a_traceback_and_1() -> None:
    started = server().start("no_such_module", [])
    assert started.wait(60) == 1
    assert started.err.endswith("ModuleNotFoundError: No module named 'no_such_module'\n")


def test_folder_and_environment_are_those_of_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "60")
    narrow, wide = (begin("--help", env=env) for env in (None, {"COLUMNS": "200"}))
    assert [process.wait(60) for process in (narrow, wide)] == [0, 0]
    assert max(map(len, narrow.out.splitlines())) < 80 < max(map(len, wide.out.splitlines()))
    assert simulate("here", "--kind", "digits", "--n-participants", 10).status == 0
    assert (tmp_path / "here" / "participants.tsv").is_file()


@pytest.mark.parametrize("name", ["terminate", "kill_all"])
def test_a_signal_ends_a_command_and_no_other(tmp_path: Path, name: str) -> None:
    ended, other = (
        server().start(SIMULATE, [str(tmp_path / folder), *LONG]) for folder in ("a", "b")
    )
    with pytest.raises(subprocess.TimeoutExpired):
        ended.wait(0.5)
    assert os.getpgid(ended.pid) == ended.pid != os.getpgid(0)
    getattr(ended, name)()
    expected = {"terminate": signal.SIGTERM, "kill_all": signal.SIGKILL}[name]
    assert ended.wait(60) == -expected
    assert other.poll() is None
    other.kill_all()
    assert other.wait(60) == -signal.SIGKILL
