"""The walls of the package as pictures and tables: layers and rooms, read from contracts and code.

The picture of the layers is drawn from ``[tool.importlinter]`` of ``pyproject.toml``, which every
test run enforces; the table of the rooms from the first line of each package's docstring.
"""

from __future__ import annotations

import inspect
import pkgutil
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

from docutils import nodes
from from_code import _FromCode
from sphinx.util.docutils import SphinxDirective

_WIDTH, _ROW, _GAP, _LEFT = 720, 34, 14, 28


@dataclass(frozen=True)
class Contracts:
    """What may import what.

    layers : from the top, the packages that stand side by side in each; a layer may import those
        below it
    independent : packages that do not know each other, a group each
    """

    layers: tuple[tuple[str, ...], ...]
    independent: tuple[tuple[str, ...], ...]


def read_contracts(pyproject: Path) -> Contracts:
    """The contracts of import-linter in ``pyproject.toml``."""
    settings = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (layered,) = [contract for contract in contracts if contract["type"] == "layers"]
    return Contracts(
        layers=tuple(tuple(layer.split(" | ")) for layer in layered["layers"]),
        independent=tuple(tuple(c["modules"]) for c in contracts if c["type"] == "independence"),
    )


def layers_svg(contracts: Contracts) -> str:
    """The layers as boxes from top to bottom; what stands in one row does not import each other."""
    height = len(contracts.layers) * (_ROW + _GAP)
    parts = [
        f'<svg class="layers" role="img" aria-label="the layers, from top to bottom: '
        f'{escape(layers_text(contracts))}" viewBox="0 0 {_WIDTH} {height}" '
        f'style="max-width: {_WIDTH}px; width: 100%" fill="none" stroke="currentColor" '
        'font-family="monospace" font-size="14" text-anchor="middle">',
        f'<path d="M12 8V{height - 20}m-5 -8l5 8l5 -8"/>',
    ]
    for row, names in enumerate(contracts.layers):
        y = row * (_ROW + _GAP) + 1
        width = (_WIDTH - _LEFT - _GAP * (len(names) - 1)) / len(names)
        for column, name in enumerate(names):
            x = _LEFT + column * (width + _GAP)
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width - 2:.1f}" height="{_ROW}" rx="4"/>'
                f'<text x="{x + width / 2:.1f}" y="{y + 22}" fill="currentColor" stroke="none">'
                f"{escape(name)}</text>"
            )
    return "\n".join([*parts, "</svg>"])


def layers_text(contracts: Contracts) -> str:
    """The layers in one line, for those who do not see the picture."""
    return "; ".join(" beside ".join(layer) for layer in contracts.layers)


def rooms(package: str) -> Mapping[str, str]:
    """The packages within a package -> the first line of their docstrings."""
    parent = import_module(package)
    names = [entry.name for entry in pkgutil.iter_modules(parent.__path__) if entry.ispkg]
    texts = {name: inspect.getdoc(import_module(f"{package}.{name}")) or "" for name in names}
    return {f"{package}.{name}": text.partition("\n")[0] for name, text in texts.items()}


class Layers(_FromCode):
    """Picture of the layers in ``pyproject.toml``; the body describes each package."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        _, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(path)
        contracts = read_contracts(Path(path))
        names = [name for layer in contracts.layers for name in layer]
        texts = self.described(names)
        rows = [(f"`{name}`", texts[name]) for name in names]
        return [
            nodes.raw("", layers_svg(contracts), format="html"),
            *self.table(("Package", "Holds"), rows),
            *(self._independence(group) for group in contracts.independent),
        ]

    def _independence(self, modules: Sequence[str]) -> nodes.paragraph:
        paragraph = nodes.paragraph()
        for number, module in enumerate(modules):
            before = "" if number == 0 else " and " if number == len(modules) - 1 else ", "
            paragraph += [nodes.Text(before), nodes.literal("", module)]
        paragraph += nodes.Text(" do not import each other.")
        return paragraph


class Rooms(_FromCode):
    """Table of the packages within the packages named, with what each says of itself."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        rows = []
        for package in self.arguments[0].split():
            for name, text in rooms(package).items():
                self.env.note_dependency(str(import_module(name).__file__))
                if not text:
                    raise self.error(f"{name} says nothing of itself: write its docstring")
                rows.append((f"`{name}`", text.replace("``", "`")))
        return self.table(("Room", "Holds"), rows)


DIRECTIVES: dict[str, type[SphinxDirective]] = {"code-layers": Layers, "code-rooms": Rooms}


def setup(app: Any) -> dict[str, Any]:
    """Register the directives."""
    for name, directive in DIRECTIVES.items():
        app.add_directive(name, directive)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
