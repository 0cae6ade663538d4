"""The fault campaign, on demand: ``make faults`` (FAULTS=1). Nothing may be silently wrong.

Every fault ends in one of three ways: survived, with the results of an undisturbed run to the byte;
told, in a message that names the file or the cause; or wrong, which fails. A table is printed
(``-s``), and each verdict with its reason is in the file that it names.

Another user is root without any capability, whose folder belongs to somebody else: so interpreters
below /root can be used. A disk that is full is a tmpfs; where none can be mounted, files of a
limited size (RLIMIT_FSIZE) stand for it.
"""

from __future__ import annotations

import itertools
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from conftest import Finished, command, on_demand, server, simulate
from fault_campaign import (
    LAST,
    STAGES,
    SURVIVED,
    Campaign,
    Verdict,
    copied,
    difference,
    flip,
    judged,
    kind_of,
    results,
    words,
    write_study,
    wrong,
)
from ready_processes import Command

pytestmark = on_demand("FAULTS", "the fault campaign takes minutes: make faults")

N_KILLS = 12
KILLED = ("participant", "train", "explain", "atlas", "quality", "spray", "report")
ORDER = list(STAGES)
NOBODY = 65534
OTHER_USER = ("setpriv", "--inh-caps=-all", "--bounding-set=-all")
DISK_WORDS = ("No space left", "File too large", "GB are free")


class Ground:
    """Undisturbed runs: the output folder before each stage, and the results after it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        made = simulate(
            *(root / "raw", "--n-participants", int(LAST), "--seed", 5, "--voxel-mm", 4),
            *("--sessions", 1),
        )
        assert made.status == 0, made.err
        write_study(root / "study.toml")
        out = root / "out"
        first = words(root, out, "participant")
        at = first.index("--participant-label")
        others = [f"{number:02d}" for number in range(1, int(LAST))]
        done = command(*first[: at + 1], *others, *first[at + 2 :])
        assert done.status == 0, done.err
        self.before, self.after, self.seconds = {}, {}, {}
        for stage in STAGES:
            self.before[stage] = copied(out, root / f"before-{stage}")
            began = time.monotonic()
            done = command(*words(root, out, stage))
            self.seconds[stage] = time.monotonic() - began
            assert done.status == 0, done.err
            self.after[stage] = results(out)
        self.out = out

    @contextmanager
    def begun(self, stage: str) -> Iterator[Path]:
        """A copy of the output folder as it was before a stage."""
        with tempfile.TemporaryDirectory(dir=self.root, ignore_cleanup_errors=True) as folder:
            yield copied(self.before[stage], Path(folder) / "out")

    def start(self, out: Path, *stages: str) -> Command:
        return server().start("bids_xai.cli.main", words(self.root, out, *stages))

    def run(self, out: Path, *stages: str) -> Finished:
        return command(*words(self.root, out, *stages))

    def compared(self, done: Finished, out: Path, stage: str, *names: str) -> Verdict:
        """What became of a run to the end of ``stage``."""
        return judged(done.status, done.err, difference(results(out), self.after[stage]), names)

    def wrote(self) -> dict[str, str]:
        """Each file at the end → the stage that wrote it."""
        stages: dict[str, str] = {}
        for stage, following in zip(ORDER, [*ORDER[1:], None], strict=True):
            folder = self.out if following is None else self.before[following]
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    stages.setdefault(str(path.relative_to(folder)), stage)
        return stages


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("campaign"))


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    tried = Campaign()
    yield tried
    file = Path(os.environ.get("FAULTS_FILE", tmp_path_factory.getbasetemp() / "faults.json"))
    tried.save(file)
    sys.stdout.write(f"\n\n{tried.table()}\nevery fault: {file}\n")


def _killed(ground: Ground, stage: str, share: float) -> Verdict:
    with ground.begun(stage) as out:
        process = ground.start(out, stage)
        try:
            process.wait(timeout=share * ground.seconds[stage])
        except subprocess.TimeoutExpired:
            process.kill_all()
        if process.wait() not in (0, -signal.SIGKILL):
            return wrong(f"status {process.returncode}")
        for begun in out.rglob(".tmp-*"):  # what is young might be another run's
            os.utime(begun, (1, 1))
        done = ground.run(out, stage)
        verdict = ground.compared(done, out, stage)
        return verdict if verdict.outcome == "survived" else wrong(verdict.why)


def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(
    ground: Ground, campaign: Campaign
) -> None:
    chance = random.Random(21)
    stages = [*KILLED, *chance.choices(KILLED, k=N_KILLS - len(KILLED))]
    faults = {}
    for number, stage in enumerate(stages, 1):
        share = chance.uniform(0.05, 0.95)
        faults[f"{number}, {stage} at {share:.0%}"] = partial(_killed, ground, stage, share)
    assert campaign.run("SIGKILL, then the same command", faults) == {}


def _size(folder: Path) -> int:
    """Bytes of a folder in pages, as a tmpfs counts them."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in files)


@contextmanager
def _small_disk(folder: Path, size: int) -> Iterator[Callable[[], object]]:
    """A file system of ``size`` bytes at ``folder``; what is given makes it large."""
    folder.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(line, capture_output=True, check=False).returncode:
        raise PermissionError("mount")
    try:
        yield lambda: subprocess.run(
            ["mount", "-o", "remount,size=2g", str(folder)], check=True, capture_output=True
        )
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def _full(ground: Ground, stage: str, share: float, mounts: bool) -> Verdict:
    following = ORDER[ORDER.index(stage) + 1] if stage != ORDER[-1] else None
    end = ground.out if following is None else ground.before[following]
    before, after = _size(ground.before[stage]), _size(end)
    with tempfile.TemporaryDirectory(dir=ground.root) as folder:
        out = Path(folder) / "disk" / "out"
        if not mounts:
            copied(ground.before[stage], out)
            limit = max(4096, int(share * 200_000))
            first = _limited(ground, out, stage, resource.RLIMIT_FSIZE, limit)
            return _told_then_right(ground, first, out, stage)
        size = before + max(4096, int(share * (after - before)))
        with _small_disk(out.parent, size + 4096) as enlarge:
            copied(ground.before[stage], out)
            first = ground.run(out, stage)
            verdict = ground.compared(first, out, stage, *DISK_WORDS)
            if verdict.outcome == "wrong":
                return verdict
            enlarge()
            return _then_right(ground, verdict, out, stage)


def _told_then_right(ground: Ground, first: Finished, out: Path, stage: str) -> Verdict:
    verdict = ground.compared(first, out, stage, *DISK_WORDS)
    return verdict if verdict.outcome == "wrong" else _then_right(ground, verdict, out, stage)


def _then_right(ground: Ground, verdict: Verdict, out: Path, stage: str) -> Verdict:
    """The verdict, if the same command does the rest once the fault is gone."""
    done = ground.run(out, stage)
    here, there = results(out), ground.after[stage]
    if stage != "report":  # a step that fails draws the page of the study
        here, there = ({k: v for k, v in d.items() if not _of_page(k)} for d in (here, there))
    again = judged(done.status, done.err, difference(here, there))
    return verdict if again.outcome == "survived" else wrong(f"afterwards {again.why}")


def _of_page(name: str) -> bool:
    return name.startswith(("group_quick", "viewer/"))


def _mounts(folder: Path) -> bool:
    try:
        with _small_disk(folder, 4096):
            return True
    except (PermissionError, FileNotFoundError):
        return False


def test_a_full_disk_is_told_in_every_step(
    ground: Ground, campaign: Campaign, tmp_path: Path
) -> None:
    mounts, chance = _mounts(tmp_path / "try"), random.Random(22)
    faults = {}
    for stage in STAGES:
        share = chance.uniform(0.1, 0.9)
        faults[f"{stage}, {share:.0%}"] = partial(_full, ground, stage, share, mounts)
    name = "a full tmpfs" if mounts else "RLIMIT_FSIZE (no tmpfs here)"
    assert campaign.run(f"{name}, then room", faults) == {}


def _flipped(ground: Ground, stage: str, names: Sequence[str]) -> Verdict:
    """Flip a bit of each file, then run what comes after the stage that wrote them.

    Of the files themselves the next steps are not asked. What a participant's run has left is not
    on the page of a study, so that the page need not be drawn then.
    """
    stages = ORDER[ORDER.index(stage) + 1 : -1 if stage == "participant" else None]
    with ground.begun(stages[0]) as out:
        for name in names:
            flip(out / name, random.Random(name))
        done = ground.run(out, *stages)
        here, there = results(out), ground.after[stages[-1]]
        here, there = ({k: v for k, v in each.items() if k not in names} for each in (here, there))
        return judged(done.status, done.err, difference(here, there), map(os.path.basename, names))


def _flipped_record(ground: Ground, stage: str, names: Sequence[str]) -> Verdict:
    """Flip a bit of each stamp or kept answer, which are read by the command that wrote them."""
    with ground.begun(ORDER[ORDER.index(stage) + 1]) as out:
        for name in names:
            flip(out / name, random.Random(name))
        return ground.compared(ground.run(out, stage), out, stage, *map(os.path.basename, names))


def _kinds(ground: Ground) -> dict[str, tuple[str, str]]:
    """Kind of file → one of that kind, by chance, and the stage that wrote it.

    Without what is for people alone: logs, pages, and the viewer of a page.
    """
    wrote = ground.wrote()
    of_kind: dict[str, list[str]] = {}
    for name, stage in wrote.items():
        path = Path(name)
        in_logs = path.parts[0] == "logs"
        for_people = in_logs and path.suffix in (".log", ".toml", ".md")
        if for_people or path.suffix == ".html" or stage == "report":
            continue
        if in_logs and f"sub-{LAST}" not in name and stage == "participant":
            continue  # the stage is about this participant
        if path.suffix == ".json" and str(path.with_suffix(".tsv")) in wrote:
            of_kind.setdefault("what a table's columns mean", []).append(name)
        elif (ground.out / name).stat().st_size:
            of_kind.setdefault(kind_of(name), []).append(name)
    chance = random.Random(23)
    picked = {kind: chance.choice(sorted(names)) for kind, names in sorted(of_kind.items())}
    return {kind: (name, wrote[name]) for kind, name in picked.items()}


def _is_record(name: str) -> bool:
    return name.startswith("logs/") or name.endswith("stamp.json")


def test_a_flipped_bit_is_repaired_told_or_without_effect(
    ground: Ground, campaign: Campaign
) -> None:
    only, kinds = os.environ.get("FAULTS_KINDS", ""), _kinds(ground)
    bad: dict[str, Verdict] = {}
    for stage, record in itertools.product(ORDER[:-1], (False, True)):
        names = [
            name
            for kind, (name, by) in kinds.items()
            if only in kind and (by, _is_record(name)) == (stage, record)
        ]
        attempt = partial(_flipped_record if record else _flipped, ground, stage)
        bad |= campaign.run_together(f"a flipped bit in a file of {stage}", names, attempt)
    assert bad == {}


def _twice(ground: Ground, stage: str) -> Verdict:
    with ground.begun(stage) as out:
        both = [ground.start(out, stage) for _ in range(2)]
        statuses = [process.wait(timeout=300) for process in both]
        told = SURVIVED
        for status, process in zip(statuses, both, strict=True):
            verdict = judged(status, process.err, "", ("another run", "is working"))
            if verdict.outcome == "wrong":
                return verdict
            told = verdict if verdict.outcome == "told" else told
        if 0 not in statuses:
            return wrong("neither run did the work")
        apart = difference(results(out), ground.after[stage])
        return wrong(f"silent: {apart}") if apart else _then_right(ground, told, out, stage)


def test_two_runs_at_once_do_not_hurt_each_other(ground: Ground, campaign: Campaign) -> None:
    faults = {stage: partial(_twice, ground, stage) for stage in STAGES}
    assert campaign.run("two runs at once", faults) == {}


def _fresh(
    line: Sequence[str],
    env: dict[str, str] | None = None,
    before: Sequence[str] = (),
    limit: tuple[int, int] | None = None,
) -> Finished:
    code = "import sys; from bids_xai.cli.main import main; sys.exit(main())"
    done = subprocess.run(
        [*before, sys.executable, "-c", code, *line],
        capture_output=True,
        env={**os.environ, **(env or {})},
        timeout=600,
        check=False,
        preexec_fn=limit and (lambda: resource.setrlimit(limit[0], (limit[1], limit[1]))),
    )
    out, err = (stream.decode(errors="replace") for stream in (done.stdout, done.stderr))
    return Finished(done.returncode, out, err)


def _limited(ground: Ground, out: Path, stage: str, what: int, value: int) -> Finished:
    return _fresh(words(ground.root, out, stage), limit=(what, value))


LEVELS = {"participant": ("participant",), "group": tuple(ORDER[1:])}


def _surrounded(ground: Ground, level: str, around: str) -> Verdict:
    stages = LEVELS[level]
    names: tuple[str, ...] = ()
    with tempfile.TemporaryDirectory(dir=ground.root) as folder:
        out = copied(
            ground.before[stages[0]], Path(folder) / ("Größe" if around == "LANG=C" else "out")
        )
        line = words(ground.root, out, *stages)
        if around == "LANG=C":
            done = _fresh(line, {"LANG": "C", "LC_ALL": "C"})
        elif around == "ulimit -n 256":
            done = _fresh(line, limit=(resource.RLIMIT_NOFILE, 256))
        elif around == "a read-only HOME":
            home = Path(folder) / "home"
            home.mkdir()
            os.chown(home, NOBODY, NOBODY)
            done = _fresh(line, {"HOME": str(home)}, OTHER_USER)
        else:
            for path in [out, *out.rglob("*")]:
                if around == "another user, who may write":
                    path.chmod(0o777 if path.is_dir() else 0o666)
                os.chown(path, NOBODY, NOBODY)
            done = _fresh(line, None, OTHER_USER)
            names = (out.name,) if around == "another user, who may not write" else ()
        verdict = ground.compared(done, out, stages[-1], *names)
        if names and verdict.outcome == "told":
            return verdict
        return verdict if verdict.outcome == "survived" else wrong(verdict.why)


@pytest.mark.parametrize(
    "around",
    [
        "another user, who may not write",
        "another user, who may write",
        "a read-only HOME",
        "LANG=C",
        "ulimit -n 256",
    ],
)
def test_odd_surroundings_change_nothing(ground: Ground, campaign: Campaign, around: str) -> None:
    if ("user" in around or "HOME" in around) and (os.getuid() or not shutil.which("setpriv")):
        pytest.skip("needs root and setpriv, to be another user")
    faults = {level: partial(_surrounded, ground, level, around) for level in LEVELS}
    assert campaign.run(around, faults) == {}
