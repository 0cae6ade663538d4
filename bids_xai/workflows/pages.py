"""Participant pages, drawn in parallel once the derivatives are there."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path


def write_pages(
    output_dir: Path, participants: Sequence[str], failed: Mapping[str, str], nprocs: int, *,
    bids_dir: Path | None = None, model: Path | None = None,
) -> tuple[list[Path], dict[str, str]]:  # fmt: skip
    """Write ``sub-X.html`` with its figures for every participant.

    bids_dir, model : of this run; what a page says of classes and cohorts comes from there
    Returns the pages, and ``sub-X`` → message for those that could not be drawn.
    """
    problems = {p: _problems(p, failed) for p in participants}
    write = partial(_write_page, output_dir, bids_dir, model)
    if nprocs == 1 or len(participants) < 3:
        results = [write(p, problems[p]) for p in participants]
    else:
        context = multiprocessing.get_context("forkserver")
        with ProcessPoolExecutor(min(nprocs, len(participants)), mp_context=context) as pool:
            results = list(pool.map(write, problems.keys(), problems.values()))
    pages = [result for result in results if isinstance(result, Path)]
    undrawn = {
        f"sub-{participant}": result
        for participant, result in zip(participants, results, strict=True)
        if isinstance(result, str)
    }
    return pages, undrawn


def _problems(participant: str, failed: Mapping[str, str]) -> list[str]:
    own = f"sub-{participant}"
    return [
        f"{label}: {message}"
        for label, message in failed.items()
        if label == own or label.startswith(f"{own}_")
    ]


def _write_page(
    output_dir: Path, bids_dir: Path | None, model: Path | None, participant: str,
    problems: list[str],
) -> Path | str:  # fmt: skip
    """The page, or why there is none: the maps are made, and the other pages are to come."""
    from bids_xai.reports.participant import write_participant_page
    from bids_xai.reports.session import participant_figures

    try:
        participant_figures(output_dir, participant)
        return write_participant_page(
            output_dir, participant, problems, bids_dir=bids_dir, model=model
        )
    except Exception as error:
        return f"its page could not be drawn: {type(error).__name__}: {error}"
