"""What README, CONTRIBUTING and docs show works: commands, Python, TOML, JSON, and links.

Commands are parsed here. Those without a mark of ``MARKS`` are run by
``tests/e2e/test_docs_examples.py``, on a small cohort; those of CONTRIBUTING here.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bids_xai.attribution import METHODS
from bids_xai.cli.parser import parse_settings
from bids_xai.cli.simulate import parser as simulate_parser
from bids_xai.group import STEPS
from bids_xai.models import MODELS
from bids_xai.studies.schema import load_study, preset_names
from bids_xai.tables import TABLES

ROOT = Path(__file__).resolve().parents[2]
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
PAGES = [ROOT / "README.md", CONTRIBUTING, *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^( *)```([^`\n]*)\n(.*?)^\1```$", re.M | re.S)
ENDS = {";", "&&", "||", "|", "#", "&"}
WRAPPERS = ("docker run", "apptainer run")
MARKS = (
    "needs a cluster",
    "needs Docker",
    "needs Apptainer",
    "needs several processors",
    "needs a network",
    "needs a large cohort",
    "needs two large cohorts",
    "takes hours",
    "takes minutes",
    "downloads about 3 GB",
)
MARK = re.compile(rf"^# ({'|'.join(MARKS)})$", re.M)
SHELL = ("mkdir", "cd", ".", "export", "sbatch", "cp", "$BIDS_XAI")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, without its indentation."""

    page: Path
    language: str
    text: str

    @property
    def mark(self) -> str:
        """Why no test runs the block: the comment that says so, else empty."""
        match = MARK.search(self.text)
        return match[1] if match else ""


def blocks(*languages: str) -> Iterator[Block]:
    for page in PAGES:
        for _, language, text in FENCE.findall(page.read_text(encoding="utf-8")):
            if language in languages:
                yield Block(page, language, textwrap.dedent(text))


@dataclass(frozen=True)
class Shown:
    """A command of a page; ``mark`` says why no test runs it."""

    page: Path
    words: tuple[str, ...]
    mark: str

    def __str__(self) -> str:
        return f"{self.page.stem}-{' '.join(self.words)[:60]}"


def shown_commands() -> Iterator[Shown]:
    """Every command in a block of bash, or of no language that begins like one."""
    for block in blocks("", "bash"):
        for line in block.text.replace("\\\n", " ").splitlines():
            for words in commands(line):
                if block.language == "bash" or words[0] in ("docker", "apptainer", "bids_xai"):
                    yield Shown(block.page, tuple(words), block.mark)


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


def app_arguments(words: tuple[str, ...]) -> tuple[str, ...] | None:
    """What comes after the app's name, where the command runs it."""
    if words[0] == "bids_xai":
        return words[1:]
    if " ".join(words[:2]) in WRAPPERS:
        image = next(i for i, word in enumerate(words) if re.fullmatch(r"bids_xai(\.sif)?", word))
        return words[image + 1 :]
    if words[0] == "torchrun":
        return words[words.index("bids_xai") + 1 :]
    return None


@pytest.mark.parametrize("shown", SHOWN, ids=str)
def test_a_shown_command_works(shown: Shown) -> None:
    words = shown.words
    program = words[0]
    arguments = app_arguments(words)
    if arguments is not None:
        settings = parse_settings(list(arguments))
        assert settings.analysis_level in ("participant", "group")
        if settings.study and not settings.study.endswith(".toml"):
            assert settings.study in preset_names()
    elif program == "bids_xai_simulate":
        simulate_parser().parse_args(words[1:])
    elif program == "make":
        targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
        assert set(words[1:]) <= targets
    elif words[1:3] == ("-m", "pytest"):
        assert all((ROOT / word).exists() for word in words[3:] if "/" in word)
    elif program.endswith("python"):
        assert script(words).is_file()
    elif program.startswith(".venv/bin/"):
        assert tool(program).is_file()
    elif words[:2] == ("apptainer", "build"):
        assert (ROOT / words[3]).is_file()
    elif words[:2] == ("docker", "build"):
        declared = set(re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(), re.M))
        given = [words[i + 1].partition("=")[0] for i, w in enumerate(words) if w == "--build-arg"]
        assert set(given) <= declared
    else:
        assert program in SHELL, words


def tool(program: str) -> Path:
    """A program of the environment that the tests run in."""
    return Path(sys.executable).with_name(program.rpartition("/")[2])


def script(words: tuple[str, ...]) -> Path:
    """The file that ``python FILE …`` or ``python -m MODULE …`` runs."""
    if words[1] != "-m":
        return ROOT / words[1]
    module = ROOT.joinpath(*words[2].split("."))
    return module / "__main__.py" if module.is_dir() else module.with_suffix(".py")


@pytest.mark.parametrize("shown", [shown for shown in SHOWN if not shown.mark], ids=str)
def test_a_command_without_a_mark_is_one_that_a_test_runs(shown: Shown) -> None:
    """The end-to-end test runs these programs, and takes every unmarked command from ``SHOWN``."""
    run = shown.words[0] in ("bids_xai", "bids_xai_simulate") or shown.page == CONTRIBUTING
    assert run or shown.words == (".", ".venv/bin/activate"), f"mark the block by one of {MARKS}"


@pytest.mark.parametrize(
    "shown", [shown for shown in SHOWN if shown.page == CONTRIBUTING and not shown.mark], ids=str
)
def test_a_command_of_contributing_runs(shown: Shown) -> None:
    program, *arguments = shown.words
    line = [str(tool(program)), *arguments]
    if arguments[:2] == ["-m", "pytest"]:
        line += ["-n", "0", "-p", "no:cacheprovider"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_contributing_shows_every_target_of_the_makefile() -> None:
    """Each with the time it takes, in the comment behind it."""
    text = CONTRIBUTING.read_text(encoding="utf-8")
    timed = set(re.findall(r"^make ([\w-]+) +# \S", text, re.M))
    declared = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert declared is not None
    assert timed == set(declared[1].split())


def test_quick_runs_tests_that_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    (paths,) = re.findall(r"^QUICK := (.*)$", makefile, re.M)
    assert [path for path in paths.split() if not (ROOT / path).exists()] == []


def defined_names(file: Path) -> set[str]:
    """Functions, classes and constants at the top of a module."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    assigned = {name.id for node in body for name in ast.walk(node) if isinstance(name, ast.Name)}
    return assigned | {getattr(node, "name", "") for node in body}


def test_the_trail_of_a_number_is_there() -> None:
    """Every file that CONTRIBUTING names exists and defines the name in the next cell."""
    rows = re.findall(r"\| `(bids_xai/[\w/]+\.py)` \| `(\w+)` \|", CONTRIBUTING.read_text("utf-8"))
    assert len(rows) >= 5
    for file, name in rows:
        assert (ROOT / file).is_file(), file
        assert name in defined_names(ROOT / file), (file, name)


def test_commands_are_found() -> None:
    assert len(SHOWN) > 30
    assert {shown.page.stem for shown in SHOWN} >= {
        "README",
        "getting-started",
        "hpc",
        "containers",
    }
    assert len([shown for shown in SHOWN if not shown.mark]) > 15


def test_every_preset_has_a_section_with_a_command() -> None:
    page = ROOT / "docs" / "studies.md"
    headings = re.findall(r"^### (\S+)$", page.read_text(encoding="utf-8"), re.M)
    assert sorted(set(headings) & set(preset_names())) == preset_names()
    studied = {
        shown.words[shown.words.index("--study") + 1]
        for shown in SHOWN
        if shown.page == page and "--study" in shown.words
    }
    assert studied == set(preset_names()) - {"quick"}  # shown in Getting started


# What a reader has who reads the examples of a page, as code that makes it.
BEFORE = {
    "atlases": """
import nibabel as nib, numpy as np
percent = np.random.default_rng(0).integers(0, 100, (4, 5, 6, 3)).astype("float32")
nib.save(nib.Nifti1Image(percent, np.eye(4)), "probabilities.nii.gz")
""",
    "training": """
from bids_xai.models import build
from bids_xai.models.card import ModelCard, save_model
save_model("models/pre/A/split-0", build("graz", (12, 14, 12), seed=3), ModelCard(
    architecture="graz", input_shape=(12, 14, 12), voxel_mm=(5.0, 5.0, 5.0), suffix="R2starmap",
    space="T1w", scale=40.0, maximum=None, skull_strip=False, classes=("NC", "AD"), positive="AD",
    seed=3, study="pre", configuration="A", split=0, split_hash="0", training_participants=("01",),
    relevance_guided=False, metrics={}, versions={}))
""",
}
REGISTRIES: tuple[dict[str, Any], ...] = (METHODS, MODELS, TABLES, STEPS)
PYTHON = {page: [b.text for b in blocks("python") if b.page == page] for page in PAGES}


@pytest.mark.parametrize(
    "page", [page for page in PAGES if PYTHON[page]], ids=lambda page: page.stem
)
def test_examples_in_python_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The blocks of a page run one after the other; one that names a file is that module."""
    monkeypatch.chdir(tmp_path)
    before = [(table, dict(table)) for table in REGISTRIES]  # recipes add rows
    names: dict[str, Any] = {"__name__": "example"}
    exec(BEFORE.get(page.stem, ""), {})
    try:
        for text in PYTHON[page]:
            run_example(text, page, names, monkeypatch)
    finally:
        for table, rows in before:
            table.clear()
            table.update(rows)
    check = CHECKS.get(page.stem)
    if check:
        check(names)


def run_example(
    text: str, page: Path, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run a block in ``names``, or as the module that its first line names."""
    code = compile(text, str(page), "exec")
    file = re.match(r"# (bids_xai/[\w/]+)\.py\n", text)
    if file is None:
        exec(code, names)
        return
    module = ModuleType(file[1].replace("/", "."))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(code, module.__dict__)


def _atlases(names: dict[str, Any]) -> None:
    assert Path("labels.nii.gz").is_file()
    assert set(names["labels"].ravel()) <= {0, 1, 2, 3}


def _r2star(names: dict[str, Any]) -> None:
    assert names["sigma"] == pytest.approx(2, rel=0.1)
    tissue = ~names["is_air"]
    for fit in ("likely", "cut"):
        median = sorted(names[fit].r2star[tissue])[tissue.sum() // 2]
        assert median == pytest.approx(20, rel=0.05)


def _spray(names: dict[str, Any]) -> None:
    assert names["found"].n_clusters == 2
    assert len(set(names["found"].labels[:20])) == 1


def _training(names: dict[str, Any]) -> None:
    assert Path("run").is_dir()
    assert Path("run2").is_dir()
    assert names["taken"].copied


def _extending(names: dict[str, Any]) -> None:
    assert names["relevance"].shape == names["volumes"].shape
    assert (names["relevance"] >= 0).all()
    assert names["label"] == "squaredgradientPower1p0"
    assert names["options"] == {"width": 4}
    sums = names["relevance_of_small"].flatten(1).sum(1)
    assert sums.tolist() == pytest.approx([1, 1], abs=1e-4)
    assert names["halves"].labels == ((1, "Left Half"), (2, "Right Half"))
    assert names["strong"].shape == names["volumes"].shape
    (visits,) = names["visits"]
    assert (visits.participant_id, visits.n_scans, visits.class_name) == ("sub-01", 2, "AD")


def _architecture(names: dict[str, Any]) -> None:
    assert [file.name for file in names["files"]] == ["splits.tsv", "splits.json"]
    assert [member.participant_id for member in names["members"]] == ["sub-01"]


def _contributing(names: dict[str, Any]) -> None:
    assert names["score"].balanced_accuracy == pytest.approx((2 / 3 + 1 / 2) / 2)


CHECKS = {
    "atlases": _atlases,
    "r2star": _r2star,
    "spray": _spray,
    "training": _training,
    "extending": _extending,
    "architecture": _architecture,
    "CONTRIBUTING": _contributing,
}


def test_every_page_with_examples_in_python_is_checked() -> None:
    assert {page.stem for page in PAGES if PYTHON[page]} == set(CHECKS)


TOML = list(blocks("toml"))


@pytest.mark.parametrize("block", TOML, ids=lambda block: block.page.stem)
def test_examples_of_studies_are_studies(block: Block, tmp_path: Path) -> None:
    """A whole study is read as it is; a fragment as a change of ``quick``."""
    text = block.text
    name = tomllib.loads(text).get("name", "fragment")
    if "configurations" not in tomllib.loads(text):
        quick = (ROOT / "bids_xai" / "studies" / "quick.toml").read_text(encoding="utf-8")
        tables = set(re.findall(r"^\[+[\w.]+\]+$", text, re.M))
        parts = re.split(r"^(?=\[)", quick, flags=re.M)
        text = "".join(part for part in parts if part.partition("\n")[0] not in tables) + text
    file = tmp_path / f"{name}.toml"
    file.write_text(text, encoding="utf-8")
    assert load_study(str(file)).configurations


def test_there_are_examples_of_studies() -> None:
    assert {block.page.stem for block in TOML} >= {"extending", "simulation"}


@pytest.mark.parametrize("block", list(blocks("json")), ids=lambda block: block.page.stem)
def test_examples_in_json_are_json(block: Block) -> None:
    content = json.loads(block.text)
    assert content
    if "EchoTime" in content:  # a sidecar: seconds, tesla, degrees
        assert 0 < content["EchoTime"] < content["RepetitionTime"] < 10
        assert content["MagneticFieldStrength"] == 3
        assert 0 < content["FlipAngle"] < 90


def anchors(page: Path) -> set[str]:
    """The anchors of the headings of a page, as MyST and GitHub make them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#{1,4} (.+)$", text, re.M)
    plain = [re.sub(r"[`*\\]|\]\([^)]*\)|\[", "", heading).strip().lower() for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_to_files_and_headings_resolve(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://|mailto:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


def test_every_option_of_the_scripts_for_clusters_works() -> None:
    for file in sorted((ROOT / "docs" / "hpc").glob("*.sh")):
        text = file.read_text(encoding="utf-8").replace("\\\n", " ")
        (line,) = re.findall(r"^(?:exec )?\$BIDS_XAI (.*?)&?$", text, re.M)
        values = {"$OPTIONS": "", '"$SLURM_CPUS_PER_TASK"': "2", '"$SPLIT"': "0"}
        for name, value in values.items():
            line = line.replace(name, value)
        assert parse_settings(shlex.split(line)).nprocs == 2
