"""Files of TemplateFlow: found by their names, fetched one by one, with one clear error.

TemplateFlow is asked what there is, then for exactly the one file that is needed: a broad request
would download every cohort and resolution. A file that lies in ``TEMPLATEFLOW_HOME`` is used as it
is, so a read-only or hand-made folder and a machine without a network work.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bids_xai.bids.names import parse_name
from bids_xai.errors import NoInputError, UsageError, did_you_mean
from bids_xai.settings import EMBEDDED_TEMPLATE, OutputSpace

# file name key → TemplateFlow's name of it; "tpl" and "space" are treated on their own
LOG = logging.getLogger("bids_xai")
_ENTITIES = {
    "cohort": "cohort",
    "res": "resolution",
    "den": "density",
    "atlas": "atlas",
    "seg": "segmentation",
    "scale": "scale",
    "roi": "roi",
    "label": "label",
    "desc": "desc",
    "hemi": "hemi",
    "space": "space",
}


def cohort_of(space: OutputSpace) -> str:
    """Return the cohort of an output space as text, empty where it names none."""
    cohort = getattr(space, "cohort", None)  # OutputSpace may come without this field
    return str(cohort) if cohort else ""


def template_files(space: OutputSpace, suffix: str) -> list[Path]:
    """Return TemplateFlow's images of a template and cohort at any resolution; none is fetched.

    Raises :class:`NoInputError` where TemplateFlow cannot be asked, does not know the template or
    this cohort, :class:`UsageError` where the template has cohorts and the space names none.
    """
    paths = _ls(space, template=space.template, suffix=suffix, extension=".nii.gz")
    cohort = cohort_of(space)
    cohorts = sorted({entities(path).get("cohort", "") for path in paths} - {""}, key=_number)
    if cohorts and not cohort:
        raise UsageError(
            f"template {space.template} has the cohorts {', '.join(cohorts)}; say which one",
            fix=f"--output-spaces {space.template}:cohort-{cohorts[0]}:res-{space.resolution}",
        )
    if cohort and cohort not in cohorts and (cohorts or suffix in ("T1w", "mask")) and paths:
        there = f"it has {', '.join(cohorts)}" if cohorts else "it has no cohorts"
        with_one = f":cohort-{cohorts[0]}" if cohorts else ""
        raise NoInputError(
            f"template {space.template} has no cohort {cohort} ({there})",
            fix=f"for example --output-spaces {space.template}{with_one}:res-{space.resolution}",
        )
    return _of_cohort(space, paths)


def template_tables(space: OutputSpace) -> list[Path]:
    """Return TemplateFlow's label tables of a template, its cohort's own and those of all."""
    tables = _ls(space, template=space.template, suffix="dseg", extension=".tsv")
    return _of_cohort(space, tables)


def tables_of_any_template(space: OutputSpace, atlas: str) -> list[Path]:
    """Return the label tables of an atlas in every template TemplateFlow has."""
    return _ls(space, template=None, atlas=atlas, suffix="dseg", extension=".tsv")


def at_resolution(space: OutputSpace, files: Sequence[Path]) -> list[Path]:
    """Return the files at the resolution of a space.

    ``res-1`` also means files that have no resolution in their names, where no file has one.
    """
    if space.resolution == 1 and not any("res" in entities(path) for path in files):
        return list(files)
    return [p for p in files if _number(entities(p).get("res", "")) == (space.resolution, "")]


def resolutions(files: Sequence[Path]) -> str:
    """Return the resolutions of files in words, such as ``res-1, res-2``; empty without files."""
    resolutions_of_files = {_number(entities(path).get("res", "1")) for path in files}
    return ", ".join(f"res-{number}" for number, rest in sorted(resolutions_of_files) if not rest)


def only(files: Sequence[Path], **required: str) -> list[Path]:
    """Return the files whose entities, but for cohort and resolution, are exactly these."""
    return [path for path in files if described(path) == required]


def described(path: Path) -> dict[str, str]:
    """Return the entities of a file name without template, cohort and resolution."""
    return {k: v for k, v in entities(path).items() if k not in ("tpl", "cohort", "res")}


def entities(path: Path) -> dict[str, str]:
    """Return the entities of a file name as they are written there."""
    return parse_name(path.name)[0]


def fetch(space: OutputSpace, path: Path) -> Path:
    """Return a file of TemplateFlow's that is really there, downloading it where it is not.

    Raises :class:`NoInputError` naming both ways out where it cannot be had.
    """
    if _is_there(path):
        return path
    in_name = entities(path)
    query: dict[str, Any] = {flow: in_name.get(key) for key, flow in _ENTITIES.items()}
    for number in ("cohort", "resolution"):
        query[number] = _as_number(query[number])
    _, suffix, extension = parse_name(path.name)
    try:
        from templateflow import api

        api.get(in_name.get("tpl"), suffix=suffix, extension=extension, **query)
    except Exception as error:  # offline raises ConnectionError, requests' errors, OSError, …
        raise missing(
            f"TemplateFlow cannot deliver {path.name} of {space}", space, error
        ) from error
    if not _is_there(path):
        raise missing(f"TemplateFlow did not deliver {path.name} of {space}", space)
    return path


def missing(problem: str, space: OutputSpace, error: Exception | None = None) -> NoInputError:
    """Return the error for an image TemplateFlow lacks: the folder, and both ways out."""
    return NoInputError(
        problem + reason(error),
        file=os.environ.get("TEMPLATEFLOW_HOME"),
        fix=f"either {fetch_command(space)}, or use the embedded "
        f"template, --output-spaces {EMBEDDED_TEMPLATE}:res-2",
    )


def fetch_command(space: OutputSpace, atlas: str = "") -> str:
    """Return in words how to fill ``TEMPLATEFLOW_HOME`` beforehand."""
    home = os.environ.get("TEMPLATEFLOW_HOME") or "FOLDER"
    words = f"{space} --atlas {atlas}" if atlas else str(space)
    return (
        f"fetch it beforehand where there is a network, TEMPLATEFLOW_HOME={home} python -m "
        f"bids_xai.templates {words}, and set TEMPLATEFLOW_HOME to that folder"
    )


def complete_index() -> None:
    """Let TemplateFlow know all its files also in a folder that holds a few of them.

    It writes its list of names (as empty files) into an empty folder alone, and takes what is not
    listed for nonexistent. What is there stays. Nothing where the folder cannot be written.
    """
    try:
        from templateflow import conf

        conf.update(local=True, overwrite=False, silent=True)
    except Exception as error:  # read-only: what is there must do
        LOG.debug("TemplateFlow's list of files cannot be completed: %s", error)


def reason(error: Exception | None) -> str:
    """Return kind and text of a library's error in brackets, empty for ``None``."""
    return f" ({type(error).__name__}: {str(error)[:120]})" if error else ""


def _of_cohort(space: OutputSpace, files: Sequence[Path]) -> list[Path]:
    allowed = (cohort_of(space), "")
    return [path for path in files if entities(path).get("cohort", "") in allowed]


def _ls(space: OutputSpace, *, template: str | None, **query: Any) -> list[Path]:
    try:
        from templateflow import api

        paths = sorted(Path(path) for path in api.ls(template, **query))
        names = [] if paths or template is None else sorted(api.templates())
    except Exception as error:  # an unwritable home fails at import, a broken one while indexing
        raise missing(f"TemplateFlow cannot deliver {space}", space, error) from error
    if template is not None and names and template not in names:
        hint = did_you_mean(template, names)
        raise missing(f"TemplateFlow has no template {template}{hint}", space)
    return paths


def _is_there(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _number(text: str) -> tuple[int, str]:
    """Return (number, "") of ``02``, (0, text) of anything else; these sort."""
    return (int(text), "") if text.isdigit() else (0, text)


def _as_number(text: str | None) -> int | str | None:
    return int(text) if text and text.isdigit() else text
