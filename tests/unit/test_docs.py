"""Every command that README and docs show is one that works: options, files, targets, links.

Commands are read, not run; those of getting-started and README are run by the end-to-end tests
and by ``make demo``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from bids_xai.cli.parser import parse_settings
from bids_xai.cli.simulate import parser as simulate_parser

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
ENDS = {";", "&&", "||", "|", "#", "&"}
WRAPPERS = ("docker run", "apptainer run")


def shown_commands() -> Iterator[tuple[Path, list[str]]]:
    """(page, words) of every command in a block of bash, or of no language that begins like one."""
    for page in PAGES:
        for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
            if language not in ("", "bash"):
                continue
            for line in block.replace("\\\n", " ").splitlines():
                for words in commands(line):
                    if language == "bash" or words[0] in ("docker", "apptainer", "bids_xai"):
                        yield page, words


def commands(line: str) -> Iterator[list[str]]:
    try:
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
        lexer.whitespace_split, lexer.commenters = True, "#"
        words = list(lexer)
    except ValueError:
        return  # no shell
    command: list[str] = []
    for word in [*words, ";"]:
        if word in ENDS:
            while command and re.fullmatch(r"[A-Z_]+=.*", command[0]):
                command.pop(0)
            if command:
                yield command
            command = []
        else:
            command.append(word)


SHOWN = list(shown_commands())


def app_arguments(words: list[str]) -> list[str] | None:
    """What comes after the app's name, where the command runs it."""
    if words[0] == "bids_xai":
        return words[1:]
    if " ".join(words[:2]) in WRAPPERS:
        image = next(i for i, word in enumerate(words) if re.fullmatch(r"bids_xai(\.sif)?", word))
        return words[image + 1 :]
    if words[0] == "torchrun":
        return words[words.index("bids_xai") + 1 :]
    return None


@pytest.mark.parametrize(
    ("page", "words"), SHOWN, ids=[f"{page.stem}-{' '.join(words)[:50]}" for page, words in SHOWN]
)
def test_a_shown_command_works(page: Path, words: list[str]) -> None:
    program = words[0]
    arguments = app_arguments(words)
    if arguments is not None:
        if arguments[0] == "…":  # the folders are left out
            arguments = ["/data", "/out", *arguments[1:]]
        settings = parse_settings(arguments)
        assert settings.analysis_level in ("participant", "group")
    elif program == "bids_xai_simulate":
        simulate_parser().parse_args(words[1:])
    elif program == "make":
        targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
        assert set(words[1:]) <= targets
    elif program.endswith("python"):
        assert script(words).is_file()
    elif words[:2] == ["apptainer", "build"]:
        assert (ROOT / words[3]).is_file()
    elif words[:2] == ["docker", "build"]:
        known = set(re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(), re.M))
        given = [words[i + 1].partition("=")[0] for i, w in enumerate(words) if w == "--build-arg"]
        assert set(given) <= known
    else:
        assert program in ("mkdir", "cd", ".", "export", "sbatch", "pip", "$BIDS_XAI"), words


def script(words: list[str]) -> Path:
    """The file that ``python FILE …`` or ``python -m MODULE …`` runs."""
    if words[1] != "-m":
        return ROOT / words[1]
    module = ROOT.joinpath(*words[2].split("."))
    return module / "__main__.py" if module.is_dir() else module.with_suffix(".py")


def test_commands_are_found() -> None:
    assert len(SHOWN) > 30
    assert {page.stem for page, _ in SHOWN} >= {"README", "getting-started", "hpc", "containers"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_to_files_resolve(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"https?://|#|mailto:", target):
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_every_option_of_the_scripts_for_clusters_works() -> None:
    for file in sorted((ROOT / "docs" / "hpc").glob("*.sh")):
        text = file.read_text(encoding="utf-8").replace("\\\n", " ")
        (line,) = re.findall(r"^(?:exec )?\$BIDS_XAI (.*?)&?$", text, re.M)
        values = {"$OPTIONS": "", '"$SLURM_CPUS_PER_TASK"': "2", '"$SPLIT"': "0"}
        for name, value in values.items():
            line = line.replace(name, value)
        assert parse_settings(shlex.split(line)).nprocs == 2
