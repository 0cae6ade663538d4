"""Directives whose content is read from the package, so that the documentation cannot go stale.

A description that is written by hand must name exactly what the code has; the build fails else.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import types
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, ClassVar, get_type_hints

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

_TOML_TYPES = {
    "float": "number",
    "int": "whole number",
    "bool": "true or false",
    "str": "text",
    "tuple[float, ...]": "list of numbers",
    "tuple[int, ...]": "list of whole numbers",
    "tuple[str, ...]": "list of texts",
    "dict[str, typing.Any]": "table",
}


def resolve(path: str) -> Any:
    """Return ``package.module:attribute`` (or a module)."""
    module, _, attribute = path.partition(":")
    value = import_module(module)
    for part in filter(None, attribute.split(".")):
        value = getattr(value, part)
    return value


class _FromCode(SphinxDirective):
    """A directive whose argument is ``package.module:attribute``."""

    required_arguments = 1

    def value(self) -> Any:
        """Resolve the argument and rebuild the page when its module changes."""
        module = import_module(self.arguments[0].partition(":")[0])
        self.env.note_dependency(str(module.__file__))
        try:
            return resolve(self.arguments[0])
        except AttributeError as error:
            raise self.error(f"{self.arguments[0]} is not in the code: {error}") from error

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[nodes.Node]:
        """Return a table whose cells are Markdown."""
        columns = len(header)
        table = nodes.table(classes=["colwidths-auto"])
        group = nodes.tgroup(cols=columns)
        group += [nodes.colspec(colwidth=24) for _ in range(columns)]
        head, body = nodes.thead(), nodes.tbody()
        head += self._row(header)
        body += [self._row(row) for row in rows]
        group += [head, body]
        table += group
        return [table]

    def _row(self, cells: Sequence[str]) -> nodes.row:
        row = nodes.row()
        for text in cells:
            entry = nodes.entry()
            self.state.nested_parse(StringList([text], self.arguments[0]), 0, entry)
            row += entry
        return row

    def described(self, names: Sequence[str]) -> dict[str, str]:
        """Return ``name: description`` lines of the body; they must be exactly ``names``."""
        texts: dict[str, str] = {}
        for line in self.content:
            name, colon, text = line.partition(":")
            if colon:
                texts[name.strip()] = text.strip()
        if sorted(texts) != sorted(names):
            raise self.error(
                f"{self.arguments[0]} has {', '.join(names)}; described: {', '.join(texts)}"
            )
        return texts


class Columns(_FromCode):
    """Table of a mapping ``column -> description``, or of what the app calls a table."""

    def run(self) -> list[nodes.Node]:
        described = self.value()
        value: Mapping[str, str] = getattr(described, "meanings", lambda: described)()
        rows = [(f"`{name}`", text) for name, text in value.items()]
        return self.table(("Column", "Meaning"), rows)


class Fields(_FromCode):
    """Table of a data class: key, kind and default from the code, description from the body."""

    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {"columns": directives.flag}

    def run(self) -> list[nodes.Node]:
        cls = self.value()
        fields = dataclasses.fields(cls)
        texts = self.described([field.name for field in fields])
        if "columns" in self.options:
            rows = [(f"`{field.name}`", texts[field.name]) for field in fields]
            return self.table(("Column", "Meaning"), rows)
        hints = get_type_hints(cls)
        rows = [(f"`{f.name}`", _kind(hints[f.name]), _default(f), texts[f.name]) for f in fields]
        return self.table(("Key", "Kind", "Default", "Meaning"), rows)


class Registry(_FromCode):
    """Table of a registry ``name -> anything``, described in the body."""

    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {"header": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        names = [str(name) for name in self.value()]
        texts = self.described(names)
        header = self.options.get("header", "Name").strip()
        return self.table((header, "Meaning"), [(f"`{name}`", texts[name]) for name in names])


class Tuples(_FromCode):
    """Table of a mapping ``name -> named tuple of numbers``."""

    option_spec: ClassVar[dict[str, Any]] = {"header": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        value = self.value()
        header = [part.strip() for part in self.options["header"].split("|")]
        rows = [(name, *(f"{number:g}" for number in row)) for name, row in value.items()]
        if len(header) != len(rows[0]):
            raise self.error(f"the rows have {len(rows[0])} cells")
        return self.table(header, rows)


class Steps(_FromCode):
    """Table of the group steps with the first line of each module's docstring."""

    def run(self) -> list[nodes.Node]:
        rows = []
        for name, function in self.value().items():
            text = inspect.getdoc(import_module(function.partition(":")[0])) or ""
            first = " ".join(text.split("\n\n")[0].split())
            first = first.partition(": ")[2] or first
            rows.append((f"`{name}`", first[:1].upper() + first[1:].replace("``", "`")))
        return self.table(("Step", "What it does"), rows)


class ExitStatuses(_FromCode):
    """Table of the exit statuses, from the classes of errors."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        module = self.value()
        plain = {
            name: value
            for name, value in vars(module).items()
            if name.isupper() and isinstance(value, int)
        }
        texts = self.described(list(plain))
        rows = [(value, texts[name]) for name, value in plain.items()]
        classes = [
            cls
            for cls in vars(module).values()
            if inspect.isclass(cls)
            and issubclass(cls, module.UserError)
            and cls is not module.UserError
        ]
        for cls in classes:
            first = (inspect.getdoc(cls) or "").splitlines()[0]
            rows.append((cls.status, re.sub(r" \(exit status \d+\)", "", first)))
        return self.table(("Status", "Meaning"), [(str(n), text) for n, text in sorted(rows)])


class Help(_FromCode):
    """The ``--help`` text of a parser."""

    def run(self) -> list[nodes.Node]:
        before, os.environ["COLUMNS"] = os.environ.get("COLUMNS"), "88"
        try:
            text = self.value()().format_help()
        finally:
            if before is None:
                del os.environ["COLUMNS"]
            else:
                os.environ["COLUMNS"] = before
        return [nodes.literal_block(text, text, language="text")]


class Template(_FromCode):
    """Markdown in which ``%(NAME)s`` stands for an attribute of a module."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        self.value()  # rebuild the page when the module changes

        def shown(match: re.Match[str]) -> str:
            try:
                return _shown(resolve(f"{self.arguments[0]}:{match[1]}"))
            except AttributeError as error:
                raise self.error(str(error)) from error

        lines = [re.sub(r"%\(([\w.]+)\)s", shown, line) for line in self.content]
        box = nodes.container()
        self.state.nested_parse(StringList(lines, self.arguments[0]), 0, box)
        return list(box.children)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(_shown(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _kind(hint: Any) -> str:
    if isinstance(hint, types.UnionType):  # a table that may be absent
        hint = next(kind for kind in hint.__args__ if kind is not type(None))
    if dataclasses.is_dataclass(hint):
        return "table"
    text = hint.__name__ if isinstance(hint, type) and not hasattr(hint, "__args__") else str(hint)
    return _TOML_TYPES.get(text, "list of tables" if text.startswith("tuple") else text)


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return f"`{_toml(field.default)}`"
    if field.default_factory is dict:
        return "none"
    return "required" if field.default_factory is dataclasses.MISSING else "as below"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if value is None:
        return "none"
    return f'"{value}"' if isinstance(value, str) else f"{value:g}"


def setup(app: Any) -> dict[str, Any]:
    """Register the directives."""
    directives_by_name = {
        "code-columns": Columns,
        "code-fields": Fields,
        "code-registry": Registry,
        "code-tuples": Tuples,
        "code-steps": Steps,
        "code-exit-statuses": ExitStatuses,
        "code-help": Help,
        "code-text": Template,
    }
    for name, directive in directives_by_name.items():
        app.add_directive(name, directive)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
