"""What is said at the end of a run: what was written, what failed, and the next command."""

from __future__ import annotations

import dataclasses
import json
import logging
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_xai.bids import run_log
from bids_xai.errors import InterruptedRunError, UserError
from bids_xai.group import STEPS
from bids_xai.group.people import read_participants
from bids_xai.settings import RunSettings
from bids_xai.studies.schema import load_study
from bids_xai.tables.table import Row, Table
from bids_xai.tables.trust import VERDICTS, CheckVerdict

if TYPE_CHECKING:
    from bids_xai.tables.spray import ClusterVerdict
    from bids_xai.workflows.participant import ParticipantRun

LOG = logging.getLogger("bids_xai")

FIRST_STUDY = "quick"
_CARRIED = (
    "derivatives",
    "skip_bids_validation",
    "nprocs",
    "omp_nthreads",
    "device",
    "output_spaces",
    "atlas",
    "random_seed",
    "renormalise",
    "tensorboard",
    "work_dir",
)
"""Options that the group level reads, whichever level they were given to."""
_INPUT_OF_MAP = {"R2starmap": "megre", "T1w": "T1w", "FLAIR": "FLAIR"}


def say_participants(
    settings: RunSettings, words: Sequence[str], run: ParticipantRun, seconds: float
) -> None:
    """Say what became of the sessions, and what to do next; what failed comes last.

    words : the command line, without the program
    """
    if not settings.reports_only:
        LOG.info(
            "%d session(s) done, %d unchanged, %d failed in %.0f s; pages in %s",
            len(run.done),
            len(run.unchanged),
            len(run.failed),
            seconds,
            settings.output_dir,
        )
    _say_written([f"{len(run.pages)} page(s)"] if run.pages else [])
    if run.failed:
        LOG.info(
            "next: correct what is named below; the same command then does only what is missing:  "
            "%s",
            _command(words),
        )
    elif settings.model is not None or settings.reports_only:
        LOG.info("next: check the pages")
    else:
        LOG.info("next: check the pages, then  %s", _group_command(settings))
    say_failed(run)


def say_failed(run: ParticipantRun) -> None:
    """Say which sessions failed, or in a dry run would fail, and why."""
    for label, message in sorted(run.failed.items()):
        LOG.error("failed: %s: %s", label, message)


class GroupSummary:
    """Looks at the trainings before the group level runs, and says at its end what came of it.

    words : the command line, without the program
    """

    def __init__(self, settings: RunSettings, words: Sequence[str]) -> None:
        self.settings, self.words = settings, words
        self._before = self._stamps()

    def say_done(self, page: Path | None) -> None:
        """What was written, what is worth a look, and the next command."""
        _say_written([*self._trainings(), *self._pages(page)])
        self._warn()
        LOG.info("next: %s", self._next(page))

    def say_stopped(self, error: UserError) -> None:
        """What is kept of a run that an error ended, and how to go on; the error comes after."""
        _say_written(self._trainings())
        interrupted = isinstance(error, InterruptedRunError)
        first = "" if interrupted else "correct what is named below, and "
        LOG.info("next: %scontinue with  %s", first, _command(self.words))

    def _stamps(self) -> dict[Path, int]:
        """Every finished training of the output folder, and when it was finished."""
        models = self.settings.output_dir.resolve() / "models"
        return {p: p.stat().st_mtime_ns for p in models.glob("*/*/split-*/stamp.json")}

    def _trainings(self) -> list[str]:
        """``3 training(s) made, 1 unchanged``, of those that this run was asked for."""
        if "train" not in _steps(self.settings):
            return []
        asked, study = self.settings, load_study(self.settings.study).name
        splits = {f"split-{k}" for k in asked.split}
        trainings = [
            (file, time)
            for file, time in self._stamps().items()
            if file.parts[-4] == study
            and (not asked.configuration or file.parts[-3] in asked.configuration)
            and (not splits or file.parts[-2] in splits)
        ]
        unchanged = sum(self._before.get(file) == time for file, time in trainings)
        new = len(trainings) - unchanged
        return [f"{new} training(s) made, {unchanged} unchanged"] if trainings else []

    def _pages(self, page: Path | None) -> list[str]:
        quality = self.settings.output_dir.resolve() / "group_qc.html"
        pages = [quality] if "qc" in _steps(self.settings) and quality.is_file() else []
        return [f"the page {path}" for path in (*pages, *([page] if page else []))]

    def _warn(self) -> None:
        """Name what the tables of the study say against its heatmaps."""
        from bids_xai.tables.spray import CLUSTER_VERDICTS

        folder = self._study_folder()
        steps = _steps(self.settings)
        if {"spray", "report"} & {*steps}:
            table = folder / "spray" / CLUSTER_VERDICTS.file
            clusters = _rows(CLUSTER_VERDICTS, table)
            suspicious = [row for row in clusters if row.finding == "suspicious"]
            _warn_of(suspicious, f"of {len(clusters)} cluster(s) of heatmaps suspicious", table)
        if {"trust", "report"} & {*steps}:
            table = folder / "quality" / VERDICTS.file
            checks = _rows(VERDICTS, table)
            failed = [row for row in checks if row.passed is False]
            _warn_of(failed, f"of {len(checks)} check(s) of the heatmaps failed", table)

    def _first_that_answers(self, cards: Sequence[Path]) -> Path:
        """The first training that does not say the same of every scan; else the first."""
        table = self._study_folder() / "quality" / VERDICTS.file
        mute = {
            (row.configuration, f"split-{row.split}")
            for row in _rows(VERDICTS, table)
            if row.check == "network" and row.passed is False
        }
        answers = [card for card in cards if (card.parts[-3], card.parts[-2]) not in mute]
        return (answers or cards)[0]

    def _study_folder(self) -> Path:
        study = load_study(self.settings.study).name
        return self.settings.output_dir.resolve() / "group" / study

    def _next(self, page: Path | None) -> str:
        if page is None:
            return f"once all parts are done, the rest:  {_command(_without_parts(self.settings))}"
        study = load_study(self.settings.study).name
        models = self.settings.output_dir.resolve() / "models" / study
        cards = sorted(models.glob("*/split-*/model.json"))
        if not cards:
            return "check the page"
        words = _model_words(self.settings, self._first_that_answers(cards))
        return f"check the page; new scans, by this or another model:  {_command(words)}"


def _say_written(parts: Sequence[str]) -> None:
    log = run_log.log_file()
    texts = [*parts, *([f"log in {log}"] if log else [])]
    if texts:
        LOG.info("written: %s", "; ".join(texts))


def _warn_of(rows: Sequence[ClusterVerdict | CheckVerdict], what: str, table: Path) -> None:
    if rows:
        first = rows[0]
        names = ("configuration", "split", "space", "method", "cluster", "check")
        values = {name: getattr(first, name, None) for name in names}
        where = ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)
        LOG.warning(
            "look at: %d %s, the first: %s: %s [%s]", len(rows), what, where, first.verdict, table
        )


def _rows(table: Table[Row], file: Path) -> list[Row]:
    """The rows of a table; none where it is not there or cannot be read."""
    try:
        return table.read_if_written(file)
    except UserError:
        return []


def _steps(settings: RunSettings) -> tuple[str, ...]:
    return ("report",) if settings.reports_only else settings.steps or tuple(STEPS)


def _group_command(settings: RunSettings) -> str:
    """The group level's command line, with a study that these derivatives can serve."""
    serves = _serves_first_study(settings)
    copied = (
        "copy a study to mine.toml, name your column, classes and maps (docs/studies.md), then  "
    )
    parts = settings.participant_label or settings.session_label
    all_done = "once all are done,  " if parts else ""
    words = _words(settings, "group", ["--study", FIRST_STUDY if serves else "mine.toml"])
    return f"{all_done}{'' if serves else copied}{_command(words)}"


def _serves_first_study(settings: RunSettings) -> bool:
    """Whether there are maps, the column and every class of the study for a first try."""
    study = load_study(FIRST_STUDY)
    suffix = study.input.suffix
    if not {suffix, _input_of(suffix)} & {*settings.inputs}:
        return False
    try:
        people = read_participants(settings.bids_dir, (study.target.column,))
    except UserError:
        return False
    return {*study.target.names} <= {row[study.target.column] for row in people.values()}


def _input_of(suffix: str) -> str:
    """What ``--inputs`` names to get maps of a suffix."""
    return _INPUT_OF_MAP.get(suffix, suffix)


def _without_parts(settings: RunSettings) -> list[str]:
    study = settings.study
    words = ["--study", str(Path(study).absolute()) if Path(study).is_file() else study]
    words += ["--sloppy"] if settings.sloppy else []
    return _words(settings, "group", words)


def _model_words(settings: RunSettings, card: Path) -> list[str]:
    """The participant level with a trained model, on images of the kind it was trained on."""
    suffix = str(json.loads(card.read_text(encoding="utf-8")).get("suffix"))
    name = _input_of(suffix)
    words = ["NEW_BIDS_DIR", "NEW_OUTPUT_DIR", "participant", "--model", str(card.parent)]
    words += [] if name == "megre" else ["--inputs", name]
    words += [] if suffix in _INPUT_OF_MAP else ["--derivatives", "NAME=PATH_OF_ITS_MAPS"]
    return words + _options(settings, ("output_spaces", "atlas", "device"))


def _words(settings: RunSettings, level: str, more: Iterable[str]) -> list[str]:
    folders = [str(settings.bids_dir), str(settings.output_dir)]
    return [*folders, level, *more, *_options(settings, _CARRIED)]


def _options(settings: RunSettings, names: Iterable[str]) -> list[str]:
    """The options among ``names`` that differ from their defaults, as words."""
    default = RunSettings(settings.bids_dir, settings.output_dir, settings.analysis_level)
    words: list[str] = []
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.name in names and value != getattr(default, field.name):
            words += [f"--{field.name.replace('_', '-')}", *_texts(value)]
    return words


def _texts(value: Any) -> list[str]:
    if isinstance(value, bool):
        return []
    if isinstance(value, tuple):
        return [
            "=".join(map(str, item)) if isinstance(item, tuple) else str(item) for item in value
        ]
    return [str(value)]


def _command(words: Iterable[str]) -> str:
    return shlex.join(["bids_xai", *words])
