"""Participant pages, drawn in parallel once the derivatives are there.

What failed is kept in ``logs/sub-X/problems.json`` until it is mended, so that pages that are drawn
later still say so.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from bids_xai.bids import problems as problem_files
from bids_xai.bids import run_log
from bids_xai.errors import NothingMatchedError
from bids_xai.runtime.progress import Progress


def write_pages(
    output_dir: Path,
    participants: Sequence[str],
    failed: Mapping[str, str],
    nprocs: int,
    *,
    bids_dir: Path | None = None,
    model: Path | None = None,
) -> tuple[list[Path], dict[str, str]]:
    """Write ``sub-X.html`` with its figures for every participant.

    bids_dir, model : of this run; what a page says of classes and cohorts comes from there
    Returns the pages, and ``sub-X`` → message for those that could not be drawn.
    """
    problems = {p: _problems(p, failed) for p in participants}
    write = partial(_write_page, output_dir, bids_dir, model)
    if nprocs == 1 or len(participants) < 3:
        results = _counted(map(write, problems.keys(), problems.values()), len(problems))
    else:
        workers = min(nprocs, len(participants))
        context = multiprocessing.get_context("forkserver")
        with ProcessPoolExecutor(
            workers,
            mp_context=context,
            initializer=run_log.join,
            initargs=(run_log.address_for_workers(),),
        ) as pool:
            written = pool.map(write, problems.keys(), problems.values())
            results = _counted(written, len(problems), workers)
    pages = [result for result in results if isinstance(result, Path)]
    undrawn = {
        f"sub-{participant}": result
        for participant, result in zip(participants, results, strict=True)
        if isinstance(result, str)
    }
    return pages, undrawn


def _counted(results: Iterable[Path | str], total: int, at_once: int = 1) -> list[Path | str]:
    """The results as they come, with a word on how many there are."""
    watch = Progress("pages", total, at_once=at_once)
    counted = []
    for result in results:
        counted.append(result)
        watch.step()
    return counted


def remember(
    output_dir: Path, participants: Sequence[str], failed: Mapping[str, str], mended: Sequence[str]
) -> dict[str, str]:
    """Keep what failed, forget what is mended; return what failed of these participants.

    failed : session label (or ``sub-X``, where it could not even begin) → message
    mended : session labels that are well now
    """
    problems: dict[str, str] = {}
    for participant in participants:
        name, file = f"sub-{participant}", _problems_file(output_dir, participant)
        new = {label: text for label, text in failed.items() if _is_of(name, label)}
        before = read_problems(output_dir, participant)
        begun = {name} if new or any(_is_of(name, label) for label in mended) else set()
        left = {label: text for label, text in before.items() if label not in begun | {*mended}}
        problem_files.keep_problems(file, before, left | new)
        problems |= left | new
    return problems


def _is_of(name: str, label: str) -> bool:
    """Whether the label of a session, or ``sub-X``, is of the participant ``sub-X``."""
    return label.partition("_")[0] == name


def read_problems(output_dir: Path, participant: str) -> dict[str, str]:
    """What failed of a participant and is not mended yet: label → message."""
    return problem_files.read_problems(_problems_file(output_dir, participant))


def _problems_file(output_dir: Path, participant: str) -> Path:
    return output_dir / "logs" / f"sub-{participant}" / problem_files.NAME


def written_participants(output_dir: Path, labels: Sequence[str]) -> list[str]:
    """Participants that have files (or failed); those of ``labels`` where there are any.

    Raises :class:`NothingMatchedError` where there are none.
    """
    written = {path.name.removeprefix("sub-") for path in output_dir.glob("sub-*") if path.is_dir()}
    written |= {
        path.parent.name.removeprefix("sub-")
        for path in output_dir.glob(f"logs/sub-*/{problem_files.NAME}")
    }
    requested = {label.removeprefix("sub-") for label in labels}
    if unknown := sorted(requested - written):
        raise NothingMatchedError(
            f"there is nothing to report for sub-{unknown[0]}",
            file=output_dir,
            fix="run the participant level without --reports-only",
        )
    if not written:
        raise NothingMatchedError(
            "there is nothing to report",
            file=output_dir,
            fix="run the participant level without --reports-only",
        )
    return sorted(requested or written)


def _problems(participant: str, failed: Mapping[str, str]) -> list[str]:
    name = f"sub-{participant}"
    return [f"{label}: {message}" for label, message in failed.items() if _is_of(name, label)]


def _write_page(
    output_dir: Path,
    bids_dir: Path | None,
    model: Path | None,
    participant: str,
    problems: list[str],
) -> Path | str:
    """The page, or why there is none: the maps are made, and the other pages are to come."""
    from bids_xai.reports.participant.page import write_participant_page
    from bids_xai.reports.participant.session_pictures import participant_figures
    from bids_xai.reports.participant.viewer import write_viewers

    try:
        participant_figures(output_dir, participant)
        write_viewers(output_dir, participant)
        return write_participant_page(
            output_dir, participant, problems, bids_dir=bids_dir, model=model
        )
    except Exception as error:
        return f"its page could not be drawn: {type(error).__name__}: {error}"
