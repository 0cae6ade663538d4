"""The three recipes of the container agree with each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ("singularity.def", "singularity-standalone.def")


def section(recipe: str, name: str) -> str:
    text = (ROOT / recipe).read_text(encoding="utf-8")
    found = re.search(rf"^%{name}[^\n]*\n(.*?)(?=^%|\Z)", text, re.M | re.S)
    assert found is not None, f"{recipe} has no %{name}"
    return found[1].strip()


def docker_environment() -> dict[str, str]:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    last_stage = text[text.rindex("\nFROM ") :]
    return dict(
        word.split("=", 1)
        for line in re.findall(r"^ENV (.*)$", last_stage, re.M)
        for word in line.split()
    )


@pytest.mark.parametrize("name", ["environment", "runscript", "test", "labels", "help"])
def test_both_singularity_recipes_say_the_same(name: str) -> None:
    assert section(RECIPES[0], name) == section(RECIPES[1], name)


def test_singularity_has_the_environment_of_docker() -> None:
    docker = docker_environment()
    singularity = dict(
        re.findall(r'^ *export (\w+)="?([^"\n]*)"?$', section(RECIPES[0], "environment"), re.M)
    )
    assert set(docker) - {"HOME"} == set(singularity)
    own = {"MPLCONFIGDIR", "XDG_CACHE_HOME", "NIPYPE_CONFIG_DIR", "NUMBA_CACHE_DIR"}
    for name in set(singularity) - own - {"BIDS_XAI_CONTAINER"}:
        assert singularity[name] == docker[name], name


def test_all_are_built_by_the_same_steps() -> None:
    steps = re.compile(r"^[^#\n]*sh /opt/install\.sh (\w+)", re.M)
    for recipe in ("Dockerfile", RECIPES[1]):
        text = (ROOT / recipe).read_text(encoding="utf-8")
        assert steps.findall(text) == ["python", "environment", "package", "templates"], recipe
