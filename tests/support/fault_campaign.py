"""What a campaign of faults is made of: a study in stages, its results, what became of a fault.

The stages are run once, one after the other, with a copy of the output folder before each. A fault
begins from such a copy and is compared with the undisturbed results, so that nothing is done twice.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import bids_xai

SPACE = "MNI152NLin2009aSym:res-4"
LAST = "06"  # the participant that the stage ``participant`` makes; the others are there before it
STAGES: Mapping[str, tuple[str, ...]] = {
    "participant": (),
    "cohort": ("cohort", "qc"),
    "train": ("train",),
    "explain": ("explain",),
    "atlas": ("atlas",),
    "quality": ("trust",),
    "spray": ("spray",),
    "report": ("report",),
}
"""Stage → the steps of the group level that it runs."""
_OF_TIME = re.compile(
    rb"20\d\d-\d\d-\d\d[T ]?\d\d:\d\d(:\d\d)?|20\d{6}-\d{6}_[0-9a-f]{8}|\d+\.\d\xc2\xa0s<"
)
"""Dates, names of runs, and durations of trainings on pages."""
_DURATIONS = {"training.tsv": 2, "performance.tsv": 1}  # how many of the last columns hold some
_SIX_PEOPLE = {
    r"^epochs = \d+": "epochs = 2",
    r"^guidance_after = \d+": "guidance_after = 0",
    r"^repeats = \d+": "repeats = 1",
    r"^fractions = .*": "fractions = [0.34, 0.33, 0.33]",
    r"^voxel_mm = 5.0": "voxel_mm = 10.0",
    r"^voxel_mm = 2.0": "voxel_mm = 8.0",
    r"^neighbours = \d+": "neighbours = 2",
    r'^\[\[configurations\]\]\nid = "B"\nskull_strip = true\n': "",
}


def write_study(file: Path) -> None:
    """Write the preset ``quick``, small enough for six people and seconds."""
    text = (Path(bids_xai.__file__).parent / "studies" / "quick.toml").read_text()
    for pattern, value in _SIX_PEOPLE.items():
        text, times = re.subn(pattern, value, text, flags=re.M)
        assert times == 1, pattern
    file.write_text(f"# Größe, Ω: what is not ASCII\n{text}", encoding="utf-8")


def words(root: Path, out: Path, *stages: str) -> list[str]:
    """The command line of one stage, or of several of the group level."""
    if stages == ("participant",):
        level = ["participant", "--output-spaces", SPACE, "--sloppy", "--participant-label", LAST]
    else:
        steps = [step for stage in stages for step in STAGES[stage]]
        study = root / "study.toml"
        level = ["group", "--study", str(study), "--omp-nthreads", "1", "--steps", *steps]
    return [str(root / "raw"), str(out), *level, "--nprocs", "1"]


def results(out: Path) -> dict[str, bytes]:
    """What a run has written but logs and stamps, without durations and dates."""
    return {
        str(path.relative_to(out)): _timeless(path)
        for path in sorted(out.rglob("*"))
        if path.is_file()
        and not path.name.endswith("stamp.json")
        and path.relative_to(out).parts[0] not in ("logs", "work")
    }


def _timeless(path: Path) -> bytes:
    content = path.read_bytes()
    lines = content.splitlines()
    if path.name in _DURATIONS:
        return b"\n".join(line.rsplit(b"\t", _DURATIONS[path.name])[0] for line in lines)
    if path.name == "performance_summary.tsv":
        return b"\n".join(line for line in lines if b"\tseconds\t" not in line)
    if path.name == "model.json":
        return re.sub(rb'"seconds": [\d.]+', b"", content)
    return _OF_TIME.sub(b"", content) if path.suffix in (".html", ".md") else content


def kind_of(name: str) -> str:
    """The kind of a file: its path without what tells people, splits and clusters apart."""
    for pattern, value in (
        (r"sub-\d+", "sub-*"),
        (r"split-\d+", "split-*"),
        (r"configuration-\w", "configuration-*"),
        (r"(models/\w+)/\w/", r"\1/*/"),
        (r"model-\w+?\d_", "model-*_"),
        (r"group-(NC|AD|TP|FP|TN|FN)_", "group-*_"),
        (r"spray/[AC]_\w+/", "spray/*/"),
        (r"cluster-\d+", "cluster-*"),
        (r"_res-\d", ""),
        (r"\d{8}-\d{6}_[0-9a-f]{8}", "*"),
    ):
        name = re.sub(pattern, value, name)
    return name


def flip(path: Path, chance: random.Random) -> int:
    """Flip one bit as a bad disk does, with the times left as they are; return where."""
    content, times = bytearray(path.read_bytes()), path.stat()
    position = chance.randrange(len(content))
    content[position] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    return position


@dataclass(frozen=True)
class Verdict:
    """What became of a fault: ``survived``, ``told`` or ``wrong``, and why."""

    outcome: str
    why: str = ""


SURVIVED = Verdict("survived")


def wrong(why: str) -> Verdict:
    return Verdict("wrong", why)


def difference(here: Mapping[str, bytes], there: Mapping[str, bytes]) -> str:
    """The files that differ, or are only on one side; empty where none."""
    differ = sorted(n for n in {*here, *there} if here.get(n) != there.get(n))
    more = f" and {len(differ) - 4} more" if len(differ) > 4 else ""
    return ", ".join(differ[:4]) + more


def judged(status: int, err: str, difference_of_results: str, names: Iterable[str] = ()) -> Verdict:
    """Survived with the right results, or told in one line that holds one of ``names``."""
    if "Traceback (most recent call last)" in err:
        return wrong(f"traceback: {err.strip().splitlines()[-1][:200]}")
    if status == 0:
        return wrong(f"silent: {difference_of_results}") if difference_of_results else SURVIVED
    words = tuple(names)
    lines = [line for line in err.splitlines() if any(word in line for word in words)]
    if not lines or status < 0:
        return wrong(f"status {status}, does not say what: {err.strip().splitlines()[-1:]}")
    return Verdict("told", lines[0][:300])


@dataclass
class Campaign:
    """Tries faults, two at a time, and keeps what became of them."""

    verdicts: dict[str, dict[str, Verdict]] = field(default_factory=dict)

    def run(self, group: str, faults: Mapping[str, Callable[[], Verdict]]) -> dict[str, Verdict]:
        """Try all; return those that were wrong."""
        with ThreadPoolExecutor(2) as pool:
            pending = {name: pool.submit(fault) for name, fault in faults.items()}
            ended = {name: future.result() for name, future in pending.items()}
        self.verdicts.setdefault(group, {}).update(ended)
        return {name: verdict for name, verdict in ended.items() if verdict.outcome == "wrong"}

    def run_together(
        self, group: str, names: Sequence[str], attempt: Callable[[Sequence[str]], Verdict]
    ) -> dict[str, Verdict]:
        """As :meth:`run` of faults that can be tried together: if all are survived, each is.

        Else each half is tried, down to single faults.
        """

        def verdicts(part: Sequence[str]) -> dict[str, Verdict]:
            verdict = attempt(part)
            if verdict.outcome == "survived" or len(part) == 1:
                return dict.fromkeys(part, verdict)
            middle = len(part) // 2
            return verdicts(part[:middle]) | verdicts(part[middle:])

        halves = [part for part in (names[0::2], names[1::2]) if part]
        with ThreadPoolExecutor(2) as pool:
            ended = {n: v for half in pool.map(verdicts, halves) for n, v in half.items()}
        self.verdicts.setdefault(group, {}).update(ended)
        return {name: verdict for name, verdict in ended.items() if verdict.outcome == "wrong"}

    def table(self) -> str:
        """A line for each group of faults, then each fault that was wrong."""
        lines = [f"{'':42}{'tried':>8}{'survived':>10}{'told':>8}{'wrong':>8}"]
        for group, ended in self.verdicts.items():
            n = Counter(verdict.outcome for verdict in ended.values())
            lines.append(f"{group:42}{len(ended):8}{n['survived']:10}{n['told']:8}{n['wrong']:8}")
        lines += [
            f"wrong: {group}, {name}: {verdict.why}"
            for group, ended in self.verdicts.items()
            for name, verdict in ended.items()
            if verdict.outcome == "wrong"
        ]
        return "\n".join(lines)

    def save(self, file: Path) -> None:
        """Write every verdict as JSON."""
        plain = {g: {n: [v.outcome, v.why] for n, v in e.items()} for g, e in self.verdicts.items()}
        file.write_text(json.dumps(plain, indent=1, ensure_ascii=False))


def copied(folder: Path, to: Path) -> Path:
    """Copy with times, which stamps look at."""
    shutil.copytree(folder, to, dirs_exist_ok=True)
    return to
