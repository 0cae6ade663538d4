"""Atlases of TemplateFlow: which files a name means, and the table that belongs to an image."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from bids_xai.errors import NoInputError, UsageError
from bids_xai.settings import EMBEDDED_TEMPLATE, OutputSpace
from bids_xai.templates import flow
from bids_xai.templates.atlas_spec import EMBEDDED_ATLAS, MODIFIERS, AtlasSpec

LOG = logging.getLogger("bids_xai")

_USUAL = {"HOSPA": "th25", "HOCPA": "th25", "HOCPAL": "th25"}  # desc taken where none is asked


def flow_pair(spec: AtlasSpec, space: OutputSpace) -> tuple[Path, Path]:
    """Return label image and label table of an atlas of TemplateFlow's, both fetched.

    Raises :class:`NoInputError` for what TemplateFlow does not have or cannot deliver,
    :class:`UsageError` for a name that several of its atlases have.
    """
    files = flow.template_files(space, "dseg")
    variants = variants_of(spec, files)
    if not variants:
        names = sorted({flow.described(p).get("atlas", "") for p in files} - {""})
        there = f" (it has {', '.join(names)})" if names else ""
        raise _no_flow_atlas(f"TemplateFlow has no atlas {spec} in {space}{there}", spec, space)
    kinds = sorted({_variant(path) for path in variants})
    if len(kinds) > 1:
        choices = [":".join([spec.name, *(f"{k}-{v}" for k, v in kind)]) for kind in kinds]
        raise UsageError(
            f"TemplateFlow has several atlases {spec} in {space.template}",
            fix=f"say which one: --atlas {' | '.join(choices[:12])}"
            f"{' | …' if len(choices) > 12 else ''}",
        )
    image = flow.fetch(space, _best_resolution(variants, space))
    return image, _flow_table(spec, space, image)


def variants_of(spec: AtlasSpec, files: Sequence[Path]) -> list[Path]:
    """Return the files an atlas name means; a segmentation's name will do where no atlas has it."""
    modifiers = dict(spec.modifiers)

    def matching(key: str) -> list[Path]:
        named = [path for path in files if flow.described(path).get(key) == spec.name]
        usable = [path for path in named if set(flow.described(path)) <= {key, *MODIFIERS}]
        return [p for p in usable if modifiers.items() <= flow.described(p).items()]

    candidates = matching("atlas") or matching("seg") or matching("desc")
    usual = _USUAL.get(spec.name)
    if usual and "desc" not in modifiers:
        candidates = [p for p in candidates if flow.described(p).get("desc") == usual] or candidates
    return candidates


def _variant(path: Path) -> tuple[tuple[str, str], ...]:
    entities = flow.described(path)
    return tuple((key, entities[key]) for key in MODIFIERS if key in entities)


def _best_resolution(files: Sequence[Path], space: OutputSpace) -> Path:
    """Return the file at the space's resolution, else without one, else the finest."""
    exact = flow.at_resolution(space, files)
    if exact:
        return exact[0]
    finest = min(files, key=lambda p: (flow.entities(p).get("res", "").zfill(8), p.name))
    LOG.info("atlas %s is resampled to %s", finest.name, space)
    return finest


def _flow_table(spec: AtlasSpec, space: OutputSpace, image: Path) -> Path:
    """Return the table that describes an image of TemplateFlow's, most specific first.

    Some atlases have theirs beside another template's image; a table of the same atlas is taken
    from there, and the log says so.
    """
    entities = {k: v for k, v in flow.entities(image).items() if k not in ("tpl", "cohort")}
    same = _inherited(flow.template_tables(space), entities)
    if same:
        return flow.fetch(space, same[0])
    if "atlas" in entities:
        tables = flow.tables_of_any_template(space, entities["atlas"])
        if others := _inherited(tables, entities):
            LOG.warning("atlas %s has no label table, %s is used", image.name, others[0].name)
            return flow.fetch(space, others[0])
    raise _no_flow_atlas(f"TemplateFlow has no label table of {image.name}", spec, space)


def _inherited(tables: Sequence[Path], entities: dict[str, str]) -> list[Path]:
    """Return the tables that say nothing an image does not, the one that says most first."""
    tables_with_entities = [
        (path, {k: v for k, v in flow.entities(path).items() if k not in ("tpl", "cohort")})
        for path in tables
    ]
    fitting = [
        (path, says)
        for path, says in tables_with_entities
        if says and says.items() <= entities.items()
    ]
    named = [each for each in fitting if set(each[1]) - {"res"}]
    return [path for path, _ in sorted(named, key=lambda each: (-len(each[1]), each[0].name))]


def _no_flow_atlas(problem: str, spec: AtlasSpec, space: OutputSpace) -> NoInputError:
    error = flow.missing(problem, space)
    command = flow.fetch_command(space, atlas=spec.name)
    return NoInputError(
        problem,
        file=error.file,
        fix=f"either {command}, or give your own files, --atlas "
        f"{spec.label}=dseg.nii.gz,labels.tsv, or use the embedded template and its atlas, "
        f"--output-spaces {EMBEDDED_TEMPLATE}:res-2 --atlas {EMBEDDED_ATLAS}",
    )
