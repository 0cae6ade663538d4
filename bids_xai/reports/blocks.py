"""The building blocks of every page, and the one function that turns them into HTML."""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from markupsafe import Markup

_PNG = b"\x89PNG"
_PX_PER_PT = 4 / 3


@dataclass(frozen=True)
class Text:
    """A paragraph; ``note`` draws it as a boxed remark, ``problem`` as a warning."""

    text: str
    look: str = "plain"
    kind: str = "text"


@dataclass(frozen=True)
class Items:
    """A bulleted list."""

    items: tuple[str, ...]
    look: str = "plain"
    kind: str = "items"


@dataclass(frozen=True)
class TableBlock:
    """A table; the first cell of every line is its heading."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    kind: str = "table"


@dataclass(frozen=True)
class Folded:
    """A table behind a line that opens it."""

    summary: str
    table: TableBlock
    kind: str = "folded"


@dataclass(frozen=True)
class Picture:
    """An image with its description; ``source`` is a data URI or a relative path.

    Width and height are in pixels, so that room is kept before it is loaded; 0 = not known.
    """

    source: str
    alt: str
    caption: str
    width: int = 0
    height: int = 0
    kind: str = "picture"


@dataclass(frozen=True)
class Subheading:
    """A heading inside a section."""

    text: str
    kind: str = "subheading"


@dataclass(frozen=True)
class Html:
    """Elements from a template of this package."""

    text: Markup
    kind: str = "html"


@dataclass(frozen=True)
class Details:
    """Blocks behind a line that opens them: for what is not needed at first sight."""

    summary: str
    blocks: tuple[Block, ...]
    kind: str = "html"

    @property
    def text(self) -> Markup:
        """The elements, as those of :class:`Html`."""
        return Markup(filled("details.html", summary=self.summary, blocks=self.blocks))


Block = Text | Items | TableBlock | Folded | Picture | Subheading | Html | Details


@dataclass(frozen=True)
class Section:
    """A heading, reachable from the list of contents, and what stands under it."""

    title: str
    blocks: tuple[Block, ...]

    @property
    def anchor(self) -> str:
        """The heading as an HTML id."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


def render(title: str, lead: str, sections: Sequence[Section]) -> str:
    """Return a complete HTML page, self-contained but for pictures given as paths."""
    return filled("page.html", title=title, lead=lead, sections=sections)


def filled(template: str, **values: object) -> str:
    """Return a template of this package with its values; text is escaped unless marked safe."""
    text: str = _templates().get_template(template).render(**values)
    return text + "\n"


@lru_cache(maxsize=1)
def _templates() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("bids_xai.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def embedded_json(data: Any) -> Markup:
    """Return JSON for a script element of a page, which no text within can end."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def embedded(image: bytes, alt: str, caption: str) -> Picture:
    """Return PNG or SVG bytes as a picture that needs no file."""
    is_png = image.startswith(_PNG)
    kind = "png" if is_png else "svg+xml"
    width, height = png_size(image) if is_png else svg_size(image)
    source = f"data:image/{kind};base64,{base64.b64encode(image).decode('ascii')}"
    return Picture(source, alt, caption, width, height)


def svg_size(image: bytes) -> tuple[int, int]:
    """Return width and height in pixels from the points of a drawing; (0, 0) where it has none."""
    head = re.search(rb"<svg\b[^>]*>", image)
    sizes = [
        re.search(rb'\b%s="([\d.]+)pt"' % side, head[0]) if head else None
        for side in (b"width", b"height")
    ]
    width, height = (round(float(size[1]) * _PX_PER_PT) if size else 0 for size in sizes)
    return width, height


def png_size(image: bytes) -> tuple[int, int]:
    """Return width and height in pixels from the header of a PNG file; (0, 0) for other bytes."""
    if not image.startswith(_PNG) or len(image) < 24:
        return 0, 0
    width, height = struct.unpack(">II", image[16:24])
    return int(width), int(height)
