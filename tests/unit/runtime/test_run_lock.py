"""One run at a time in a folder: living runs are respected, dead ones are not."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from bids_xai.errors import OtherRunError
from bids_xai.runtime import run_lock
from bids_xai.runtime.run_lock import ENDING, Owner, alone_in

HOLD = """
import sys, time
from pathlib import Path
from bids_xai.runtime.run_lock import alone_in
with alone_in(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
TAKE_TURNS = """
import sys, time
from pathlib import Path
from bids_xai.errors import OtherRunError
from bids_xai.runtime.run_lock import alone_in
folder, start = Path(sys.argv[1]), float(sys.argv[2])
inside = folder.with_name("inside")
time.sleep(max(0.0, start - time.time()))
for _ in range(150):
    try:
        with alone_in(folder):
            inside.open("x").close()  # fails where two are inside
            time.sleep(0.0005)
            inside.unlink()
            print("in", flush=True)
    except OtherRunError:
        pass
"""


def lock_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}{ENDING}")


def write_lock(folder: Path, **changes: Any) -> Path:
    """A lock as another process would have left it."""
    lock = lock_of(folder)
    lock.write_text(json.dumps(asdict(replace(Owner.here(), **changes))))
    return lock


def ended_process() -> int:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "study"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lock, "SILENCE_S", 0.3)
    monkeypatch.setattr(run_lock, "_LOOK_S", 0.02)


def test_a_living_run_is_named_and_a_killed_one_replaced(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        before = lock_of(folder).read_text()
        with pytest.raises(OtherRunError) as caught, alone_in(folder):
            pytest.fail("two runs in one folder")
        for part in (f"process {other.pid} on {socket.gethostname()}", "since 20"):
            assert part in caught.value.problem
        assert caught.value.file == str(lock_of(folder))
        assert lock_of(folder).read_text() == before
        other.kill()
    assert lock_of(folder).is_file()
    with alone_in(folder):
        assert json.loads(lock_of(folder).read_text())["process"] == os.getpid()
    assert list(folder.parent.iterdir()) == []


def test_the_same_folder_twice_in_one_process_is_refused_and_another_is_not(folder: Path) -> None:
    with alone_in(folder), alone_in(folder.with_name("other")):
        with pytest.raises(OtherRunError, match=f"process {os.getpid()}"), alone_in(folder):
            pass
        assert lock_of(folder).is_file()
    with pytest.raises(ZeroDivisionError), alone_in(folder):
        raise ZeroDivisionError
    assert not lock_of(folder).exists()


def test_a_number_of_a_process_that_was_used_again_is_not_the_run(folder: Path) -> None:
    write_lock(folder, process=1, started=-1)
    with alone_in(folder):
        pass


def test_where_the_system_says_no_start_the_number_counts(folder: Path) -> None:
    write_lock(folder, process=os.getpid(), started=None)
    with pytest.raises(OtherRunError), alone_in(folder):
        pass
    write_lock(folder, process=ended_process(), started=None)
    with alone_in(folder):
        pass


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("changes", [{"host": "elsewhere"}, {"machine": "another container"}])
def test_a_run_of_another_machine_is_respected_while_it_beats(
    folder: Path, changes: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However old its last beat is by the clock here, and whether or not its number lives here."""
    lock = write_lock(folder, process=ended_process(), **changes)
    os.utime(lock, (0, 0))
    started = time.monotonic()
    with alone_in(folder):
        assert time.monotonic() - started >= run_lock.SILENCE_S
    write_lock(folder, process=ended_process(), **changes)
    os.utime(lock, (0, 0))
    monkeypatch.setattr(run_lock, "SILENCE_S", 60.0)
    beat = threading.Timer(0.2, os.utime, (lock,))
    beat.start()
    with pytest.raises(OtherRunError, match="another run is working here"), alone_in(folder):
        pass
    beat.join()
    assert lock.is_file()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("text", ["", "{", '{"host": 1}', "[1]"])
def test_a_lock_that_says_nothing_is_watched(folder: Path, text: str) -> None:
    lock_of(folder).write_text(text)
    with alone_in(folder):
        pass


def test_a_lock_is_touched_while_it_is_held(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lock, "BEAT_S", 0.02)
    with alone_in(folder):
        os.utime(lock_of(folder), (0, 0))
        end = time.monotonic() + 10
        while lock_of(folder).stat().st_mtime == 0:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_run_that_was_taken_for_dead_leaves_the_lock_of_the_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(run_lock, "BEAT_S", 0.02)
    with alone_in(folder):
        lock = write_lock(folder, host="elsewhere")
        end = time.monotonic() + 10
        while not caplog.messages:
            assert time.monotonic() < end
            time.sleep(0.01)
    assert "works here, too" in caplog.text
    assert lock.is_file()


def test_where_no_lock_can_be_made_the_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with alone_in(tmp_path / "file" / "study"):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_a_disk_that_is_full_leaves_no_empty_lock(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, opened, plain_open = lock_of(folder), [], Path.open

    def full(path: Path, mode: str = "r", **options: Any) -> Any:
        if path != lock:
            return plain_open(path, mode, **options)
        path.touch()
        opened.append(mode)
        return Path("/dev/full").open("w", **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with alone_in(folder):
            assert not lock.exists()
    assert opened == ["x"]


def test_who_is_slower_to_take_over_puts_the_lock_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between reading a stale lock and moving it away another run may have taken it over."""
    lock = write_lock(folder, process=ended_process())
    rename = os.rename

    def late(source: Path, target: Path) -> None:
        monkeypatch.undo()
        write_lock(folder, process=os.getpid(), since="just now")
        rename(source, target)

    monkeypatch.setattr(os, "rename", late)
    with pytest.raises(OtherRunError, match="just now"), alone_in(folder):
        pass
    assert json.loads(lock.read_text())["since"] == "just now"
    assert list(folder.parent.iterdir()) == [lock]


def test_of_many_that_find_a_stale_lock_one_at_a_time_is_inside(folder: Path) -> None:
    """Fails where taking over and giving back leave a moment for two."""
    write_lock(folder, process=ended_process(), started=None)
    command = [sys.executable, "-c", TAKE_TURNS, str(folder), str(time.time() + 1.5)]
    runs = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    results = [run.communicate() for run in runs]
    assert [error for _, error in results if "FileExistsError" in error] == []
    assert all(run.returncode == 0 for run in runs), results
    assert sum(text.count("in") for text, _ in results) > 10
