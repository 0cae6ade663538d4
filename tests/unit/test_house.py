"""The rules of the house, read from the code itself: sizes, names, walls, and who has a test.

Each rule says what to do where it fails. ``CONTRIBUTING.md`` tells why they are there.
"""

from __future__ import annotations

import ast
import functools
import subprocess
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from bids_xai.group import STEPS

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "bids_xai"
FILES = sorted(PACKAGE.rglob("*.py"))

MOST_MODULES, MOST_LINES, MOST_SUBSCRIPTS, MOST_EMPTY_NAMES, MOST_WITH_CONTEXT = 20, 300, 100, 20, 2

EMPTY_NAMES = frozenset(
    {
        *("found", "one", "mine", "place", "those", "few", "known", "about", "told", "said"),
        *("chosen", "own", "wanted", "made", "kept", "way", "ways"),
    }
)
"""Names that say nothing of what they hold."""

READERS = frozenset(
    {
        "bids/dataset.py",  # dataset_description.json
        "bids/sessions/echoes.py",  # sidecars of the echoes
        "bids/sessions/query.py",  # what pybids finds
        "core/cohort/query.py",  # the words of a query
        "studies/reading.py",  # study files
        "studies/schema.py",
        "templates/flow.py",  # TemplateFlow's index
        "templates/label_tables.py",  # tables of names that come with an atlas
    }
)
"""Modules that read users' own files, whose keys only the file knows."""

DEFINED_TWICE: dict[str, str] = {}
"""Class name -> why it may stand in several modules."""

TESTED = ("group", "core", "reports")
"""Packages whose modules each have a test file that is found by its name."""


@functools.cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def inside(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix()


def modules(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.glob("*.py")) if file.name != "__init__.py"]


@pytest.mark.parametrize("folder", sorted({file.parent for file in FILES}), ids=lambda f: f.name)
def test_a_folder_holds_few_modules(folder: Path) -> None:
    n = len(modules(folder))
    assert n <= MOST_MODULES, f"{folder} has {n} modules: open a room of its own for some of them"


def test_a_module_is_short() -> None:
    lines = {inside(file): len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}
    long = {name: n for name, n in lines.items() if n > MOST_LINES}
    assert not long, "split these by content"


def is_text_key(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, str)
    )


def test_values_inside_the_program_have_fields_not_keys() -> None:
    """Outside the described tables and the readers of users' own files."""
    counts = {
        inside(file): sum(map(is_text_key, ast.walk(tree(file))))
        for file in FILES
        if not inside(file).startswith("tables/") and inside(file) not in READERS
    }
    used = {name: n for name, n in counts.items() if n}
    assert sum(used.values()) < MOST_SUBSCRIPTS, f"make records of {used}"


def test_readers_of_users_files_are_modules() -> None:
    assert {inside(file) for file in FILES} >= READERS


def tracked_files() -> list[Path]:
    git = ["git", "-C", str(ROOT), "ls-files", "-z", "*.py"]
    try:
        names = subprocess.run(git, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):  # a copy without its history
        folders = ("bids_xai", "tests", "docs", "benchmarks")
        return [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    return [file for name in names.split("\0") if name and (file := ROOT / name).is_file()]


def test_no_line_is_exempt_from_the_formatter() -> None:
    exempt = "# fmt: " + "skip"
    assert [file for file in tracked_files() if exempt in file.read_text(encoding="utf-8")] == []


def bound_names(module: ast.Module) -> Iterator[tuple[str, int]]:
    """Every name that a module gives, and its line: variables, parameters, attributes, functions,
    classes, and what it imports under another name."""
    for node in ast.walk(module):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name, node.lineno
            case ast.arg(arg=name):
                yield name, node.lineno
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name, node.lineno
            case ast.ClassDef(name=name):
                yield name, node.lineno
            case ast.alias(asname=str(name)) | ast.ExceptHandler(name=str(name)):
                yield name, node.lineno
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name, node.lineno


def test_names_say_what_they_hold() -> None:
    empty = [
        f"{inside(file)}:{line} {name}"
        for file in FILES
        for name, line in bound_names(tree(file))
        if name.strip("_") in EMPTY_NAMES
    ]
    assert len(empty) <= MOST_EMPTY_NAMES, "name these by their content:\n" + "\n".join(empty)


def test_the_rule_on_names_sees_every_kind_of_name() -> None:
    source = (
        "import a as found\nfor one in x: pass\ndef mine(place, *those, few=1, **known): pass\n"
        "class about: told: int\nself.said = 1\nlambda chosen: 0\n[0 for own in x]\n"
        "with a as wanted: pass\nif (made := 1): pass\ntry: pass\nexcept E as kept: pass\n"
        "match x:\n    case [way, *ways]: pass\nfound.one(mine=place)\n"
    )
    assert sorted(name for name, _ in bound_names(ast.parse(source))) == sorted(EMPTY_NAMES)


def step_modules(entry: str) -> list[Path]:
    """The modules of a step: those of its folder where it has one, else its own."""
    name = entry.partition(":")[0]
    parts = name.split(".")[1:]
    file = PACKAGE.joinpath(*parts).with_suffix(".py")
    if not file.is_file():
        return modules(PACKAGE.joinpath(*parts))
    return [file] if file.parent == PACKAGE / "group" else modules(file.parent)


def names_context(node: ast.AST | None) -> bool:
    return node is not None and "GroupContext" in ast.unparse(node)


def takes_context(function: ast.FunctionDef) -> bool:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return any(each.arg == "context" or names_context(each.annotation) for each in every)


def uses_context_of_self(function: ast.FunctionDef) -> bool:
    """Whether a method reaches the context through ``self``, by an attribute of that name."""
    return any(
        isinstance(node, ast.Attribute)
        and node.attr.strip("_") == "context"
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
        for node in ast.walk(function)
    )


def functions_with_context(module: ast.Module) -> list[str]:
    """A class that holds a context counts with every method that reaches it."""
    return [
        node.name
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef) and (takes_context(node) or uses_context_of_self(node))
    ]


@pytest.mark.parametrize("step", STEPS)
def test_the_context_ends_at_run_and_read(step: str) -> None:
    """What a step computes is a function of records and arrays, which a library user can call."""
    reached = {
        inside(file): names
        for file in step_modules(STEPS[step])
        if (names := functions_with_context(tree(file)))
    }
    assert sum(map(len, reached.values())) <= MOST_WITH_CONTEXT, reached


def test_the_rule_on_the_context_sees_methods_and_annotations() -> None:
    source = (
        "def run(context): pass\ndef read(c: GroupContext | None): pass\ndef compute(rows): pass\n"
        "class Held:\n    context: GroupContext\n    def a(self): return self.context.x\n"
        "    def b(self): return self.rows\n"
    )
    assert functions_with_context(ast.parse(source)) == ["run", "read", "a"]


@pytest.mark.parametrize("package", TESTED)
def test_every_module_has_its_test_file(package: str) -> None:
    every = [f for f in sorted((PACKAGE / package).rglob("*.py")) if f.name != "__init__.py"]
    expected = {
        (ROOT / "tests" / "unit" / inside(file)).with_name(f"test_{file.name}") for file in every
    }
    absent = sorted(str(test.relative_to(ROOT)) for test in expected if not test.is_file())
    assert not absent, "each module needs a test file of its name that can fail"


def classes() -> dict[str, list[str]]:
    """Name of every class of the package -> the modules that define it."""
    defined: dict[str, list[str]] = defaultdict(list)
    for file in FILES:
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.ClassDef):
                defined[node.name].append(inside(file))
    return defined


def test_a_class_name_means_one_thing() -> None:
    twice = {name: where for name, where in classes().items() if len(where) > 1}
    assert not {name: where for name, where in twice.items() if name not in DEFINED_TWICE}
    assert set(DEFINED_TWICE) <= set(twice), "these exceptions are no longer needed"


def contracts() -> list[dict[str, object]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed: list[dict[str, object]] = settings["tool"]["importlinter"]["contracts"]
    return listed


def test_every_package_has_its_layer() -> None:
    (layers,) = [contract for contract in contracts() if contract["type"] == "layers"]
    assert layers["exhaustive"] is True
    assert layers["containers"] == ["bids_xai"]
    placed = Counter(name for row in layers["layers"] for name in row.split(" | "))  # type: ignore[attr-defined]
    parts = {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert placed == Counter(parts - {"__init__"})


def test_the_analyses_are_independent() -> None:
    independent = [set(c["modules"]) for c in contracts() if c["type"] == "independence"]  # type: ignore[call-overload]
    analyses = {f"bids_xai.group.{name}" for name in ("atlas", "spray", "trust")}
    assert any(modules >= analyses for modules in independent)
    assert all(find_spec(name) for modules in independent for name in modules)
