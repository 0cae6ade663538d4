"""The template grid that relevance is warped to, and the atlases on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bids_xai.errors import UsageError
from bids_xai.settings import EMBEDDED_TEMPLATE, RELEVANCE_RESOLUTION, OutputSpace
from bids_xai.templates.lookup import (
    Atlas,
    AtlasSpec,
    Template,
    load_atlas,
    load_template,
    parse_atlas,
)

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class TemplateGrid:
    """A template and its atlases at the resolution relevance is reported in (2 mm).

    atlas : the first one, ``None`` where there is none; others : the rest
    """

    space: OutputSpace
    template: Template
    atlas: Atlas | None
    others: tuple[Atlas, ...] = ()

    @property
    def atlases(self) -> tuple[Atlas, ...]:
        """All of them."""
        return () if self.atlas is None else (self.atlas, *self.others)


def load_template_grid(template: str, atlases: Sequence[str] = ()) -> TemplateGrid:
    """Load template and atlases for warped relevance; errors as :func:`load_atlases`."""
    space = OutputSpace(template, RELEVANCE_RESOLUTION)
    on_grid = load_atlases(template, atlases)
    return TemplateGrid(
        space, load_template(space), on_grid[0] if on_grid else None, tuple(on_grid[1:])
    )


def load_atlases(template: str, texts: Sequence[str]) -> list[Atlas]:
    """Return the atlases of ``--atlas`` on the template's grid, and the embedded one with its own.

    texts : as given on the command line; without any, the template's default one, if it has any
    Raises :class:`UsageError` for two of one name, and the errors of :func:`load_atlas`.
    """
    space = OutputSpace(template, RELEVANCE_RESOLUTION)
    specs: list[AtlasSpec | None] = [parse_atlas(text) for text in texts]
    if not specs or template == EMBEDDED_TEMPLATE:
        specs.append(None)
    on_grid = [load_atlas(space, spec) for spec in dict.fromkeys(specs)]
    atlases = {(a.name, a.image): a for a in on_grid if a is not None}
    names = [name for name, _ in atlases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(
            f"two atlases are called {twice[0]}", fix="give each its own NAME: NAME=FILE"
        )
    return list(atlases.values())
