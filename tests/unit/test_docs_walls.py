"""The picture of the layers and the table of the rooms say what contracts and packages say."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from importlib import import_module
from pathlib import Path

import pytest

pytest.importorskip("sphinx")
ROOT = Path(__file__).resolve().parents[2]
walls = import_module("walls")

PYPROJECT = """
[[tool.importlinter.contracts]]
name = "layers"
type = "layers"
layers = ["top", "left | right", "b"]
[[tool.importlinter.contracts]]
name = "walls"
type = "independence"
modules = ["p.left", "p.right"]
"""


def test_every_layer_is_drawn_in_its_row(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text(PYPROJECT)
    contracts = walls.read_contracts(file)
    assert contracts.layers == (("top",), ("left", "right"), ("b",))
    assert contracts.independent == (("p.left", "p.right"),)
    assert walls.layers_text(contracts) == "top; left beside right; b"
    picture = ET.fromstring(walls.layers_svg(contracts))
    texts = {
        text.text: (float(text.get("x", 0)), float(text.get("y", 0)))
        for text in picture.iter("text")
    }
    assert list(texts) == ["top", "left", "right", "b"]
    assert texts["left"][1] == texts["right"][1]
    assert texts["left"][0] < texts["top"][0] < texts["right"][0]
    assert texts["top"][1] < texts["left"][1] < texts["b"][1]
    boxes = [(float(box.get("x", 0)), float(box.get("width", 0))) for box in picture.iter("rect")]
    assert boxes[1][0] + boxes[1][1] < boxes[2][0]  # side by side, not over each other


def test_the_contracts_of_the_package_can_be_drawn() -> None:
    picture = walls.layers_svg(walls.read_contracts(ROOT / "pyproject.toml"))
    assert picture.count("<rect") == picture.count("<text") >= 20


def test_every_room_says_what_it_holds() -> None:
    for package in ("group", "core", "reports"):
        texts = walls.rooms(f"bids_xai.{package}")
        assert texts
        assert [name for name, text in texts.items() if not text.endswith(".")] == []
