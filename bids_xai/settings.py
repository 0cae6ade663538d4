"""What a run was asked to do: built once by the command line, passed on, saved with the run."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEVELS = ("participant", "group")
EMBEDDED_TEMPLATE = "MNI152NLin2009aSym"
DEFAULT_TEMPLATE = "MNI152NLin2009cAsym"
RELEVANCE_RESOLUTION = 2  # of the template grid relevance is reported on


_GRANTED = ("SLURM_CPUS_PER_TASK", "NSLOTS", "PBS_NP", "NCPUS")  # SLURM, SGE, PBS
_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # "200000 100000" is two processors, "max 100000" no bound


def available_cpus() -> int:
    """Return the number of processors this process may use (not the number the machine has).

    By its affinity, what the batch system granted, and the quota of its container.
    """
    granted = [os.environ.get(name, "") for name in _GRANTED]
    counts = [int(text) for text in granted if text.isdigit() and int(text)]
    try:
        quota, period = _QUOTA.read_text().split()
        counts += [max(1, int(quota) // int(period))]
    except (OSError, ValueError, ZeroDivisionError):
        pass  # no such bound
    return min([len(os.sched_getaffinity(0)), *counts])


@dataclass(frozen=True)
class OutputSpace:
    """A template, its resolution (TemplateFlow's index, 1 = 1 mm, 2 = 2 mm) and cohort, if any."""

    template: str
    resolution: int = 2
    cohort: str = ""

    @classmethod
    def parse(cls, text: str) -> OutputSpace:
        """Read ``NAME[:cohort-N][:res-N]``; raise ``ValueError`` for anything else."""
        name, *modifiers = text.split(":")
        pairs = [modifier.partition("-")[::2] for modifier in modifiers]
        values = dict(pairs)
        are_modifiers = set(values) <= {"res", "cohort"} and len(values) == len(pairs)
        resolution, cohort = values.get("res", "2"), values.get("cohort", "")
        whole = re.fullmatch("[1-9][0-9]*", resolution) is not None
        named = name.isascii() and name.isalnum() and (cohort.isalnum() or "cohort" not in values)
        if not (are_modifiers and whole and named):
            raise ValueError(f"'{text}' is not NAME or NAME:res-N with N of 1 or more")
        return cls(name, int(resolution), cohort)

    @property
    def entities(self) -> dict[str, str]:
        """The entities that say so in a file name."""
        cohort = {"cohort": self.cohort} if self.cohort else {}
        return {"space": self.template, **cohort, "res": str(self.resolution)}

    def __str__(self) -> str:
        cohort = f":cohort-{self.cohort}" if self.cohort else ""
        return f"{self.template}{cohort}:res-{self.resolution}"


@dataclass(frozen=True)
class RunSettings:
    """All options of one run; the field names are the parser's destinations."""

    bids_dir: Path
    output_dir: Path
    analysis_level: str
    participant_label: tuple[str, ...] = ()
    session_label: tuple[str, ...] = ()
    bids_filter_file: Path | None = None
    bids_database_dir: Path | None = None
    derivatives: tuple[tuple[str, Path], ...] = ()
    skip_bids_validation: bool = False
    assume_orientation: bool = False
    nprocs: int = dataclasses.field(default_factory=available_cpus)
    omp_nthreads: int = 0
    mem_mb: int | None = None
    use_plugin: Path | None = None
    device: str = "auto"
    sloppy: bool = False
    inputs: tuple[str, ...] = ("megre",)
    r2star_method: str = "nlls"
    noise_floor: float = 0.0
    rician: bool = False
    megre_transform: str = "rigid"
    brain_mask: str = "auto"
    synthstrip_model: Path | None = None
    registration: str = "nonlinear"
    registration_engine: str = "ants"
    atlas: tuple[str, ...] = ()
    output_spaces: tuple[OutputSpace, ...] = (OutputSpace(DEFAULT_TEMPLATE),)
    random_seed: int = 0
    model: Path | None = None
    attribution: tuple[str, ...] = ("lrp-zplus",)
    target: str | None = None
    renormalise: bool = False
    study: str = "quick"
    steps: tuple[str, ...] = ()
    configuration: tuple[str, ...] = ()
    split: tuple[int, ...] = ()
    keep_withdrawn: bool = False
    tensorboard: bool = False
    work_dir: Path | None = None
    clean_workdir: bool = False
    stop_on_first_crash: bool = False
    reports_only: bool = False
    dry_run: bool = False
    verbose: int = 0

    @property
    def work_folder(self) -> Path:
        """Where intermediate files go: ``--work-dir``, else ``<output>/work``."""
        return self.work_dir or self.output_dir / "work"

    @property
    def r2star_options(self) -> dict[str, Any]:
        """Method, noise floor and likelihood of the fit of R2*."""
        return {
            "method": self.r2star_method,
            "noise_floor": self.noise_floor,
            "rician": self.rician,
        }

    @property
    def training_threads(self) -> int:
        """Threads of a training, which runs alone: ``--omp-nthreads``, else all of ``--nprocs``."""
        return self.omp_nthreads or self.nprocs

    def as_plain(self) -> dict[str, Any]:
        """Return the settings as text, numbers and lists, as written into the run log."""
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, (Path, OutputSpace)):
        return str(value)
    return "" if value is None else value


def to_toml(values: dict[str, Any]) -> str:
    """Write a flat table of text, numbers, truth values and lists of text as TOML."""
    return "".join(f"{key} = {_toml(value)}\n" for key, value in values.items())


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    # a JSON text is a TOML text but for DEL, which TOML wants escaped
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
