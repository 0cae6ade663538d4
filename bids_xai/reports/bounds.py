"""How large a section of the group page may become, and the sentence on the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from bids_xai.reports.blocks import Block, Details, Folded, Picture, TableBlock, Text

MOST_BYTES = 5_000_000
"""Of all figures of a section, as text in the page."""
MOST_LINES = 300
"""Of a table."""


def bounded(blocks: Iterable[Block], where: str) -> list[Block]:
    """Return blocks without the figures that are too much, and with the first lines of tables.

    The first figures stay, also inside :class:`Details`. A sentence says what is left out.
    where : the folder that holds what the figures and tables show
    """
    room = _Room(where)
    fitting = room.fitting(blocks)
    if not room.without:
        return fitting
    n = len(room.without)
    text = (
        f"{n} {'figure is' if n == 1 else 'figures are'} omitted to keep the page "
        f"small, beginning with “{room.without[0]}”. The files they show are in {where}."
    )
    return [*fitting, Text(text, "note")]


class _Room:
    """What is left of a section's bytes, and the figures that found no room."""

    def __init__(self, where: str) -> None:
        self.where, self.left = where, MOST_BYTES
        self.without: list[str] = []

    def fitting(self, blocks: Iterable[Block]) -> list[Block]:
        return [fit for block in blocks if (fit := self._fitting(block)) is not None]

    def _fitting(self, block: Block) -> Block | None:
        if isinstance(block, Details):
            inside = tuple(self.fitting(block.blocks))
            return dataclasses.replace(block, blocks=inside) if inside else None
        if isinstance(block, Folded):
            return dataclasses.replace(block, table=self._short(block.table))
        if isinstance(block, TableBlock):
            return self._short(block)
        if isinstance(block, Picture):
            return self._picture(block)
        return block

    def _picture(self, picture: Picture) -> Picture | None:
        if len(picture.source) > self.left:
            self.without.append(picture.alt)
            return None
        self.left -= len(picture.source)
        return picture

    def _short(self, table: TableBlock) -> TableBlock:
        n = len(table.rows)
        if n <= MOST_LINES:
            return table
        caption = (
            f"{table.caption.removesuffix('.')}. The first {MOST_LINES} of {n} lines; all of them "
            f"are in {self.where}."
        )
        return dataclasses.replace(table, caption=caption, rows=table.rows[:MOST_LINES])
