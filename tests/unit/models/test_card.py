"""Models on disk."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bids_xai.errors import BadDataError, NoInputError
from bids_xai.models import build_model
from bids_xai.models.card import ModelCard, load_model, save_model

CARD = ModelCard(
    architecture="graz",
    input_shape=(16, 20, 33),
    voxel_mm=(1.0, 1.0, 2.0),
    suffix="R2starmap",
    space="T1w",
    scale=40.0,
    maximum=None,
    skull_strip=False,
    classes=("NC", "AD"),
    seed=3,
    study="tinauer2025",
    configuration="C",
    split=0,
    split_hash="0123456789abcdef",
    relevance_guided=True,
    metrics={"accuracy": 0.75, "auc": None},
    versions={"torch": "2"},
)


def test_round_trip_by_folder_and_by_card(tmp_path: Path) -> None:
    model = build_model("graz", CARD.input_shape, seed=99)
    file = save_model(tmp_path / "new" / "folder", model, CARD)
    for path in (file, file.parent):
        loaded, card = load_model(path)
        assert card == CARD
        assert not loaded.training
        for name, tensor in model.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], tensor)
    assert sorted(p.name for p in file.parent.iterdir()) == ["model.json", "model.safetensors"]
    without = replace(CARD, voxel_mm=None)
    assert ModelCard.from_json(without.to_json()) == without


def test_nothing_is_left_but_the_old_model_when_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_model("graz", CARD.input_shape)
    save_model(tmp_path, model, CARD)
    before = (tmp_path / "model.json").read_bytes()

    def fail(self: ModelCard) -> str:
        raise OSError("no space left")

    monkeypatch.setattr(ModelCard, "to_json", fail)
    with pytest.raises(OSError, match="no space"):
        save_model(tmp_path, model, CARD)
    assert (tmp_path / "model.json").read_bytes() == before
    load_model(tmp_path)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    save_model(tmp_path, build_model("graz", CARD.input_shape), CARD)
    (tmp_path / name).unlink()
    with pytest.raises(NoInputError, match=name):
        load_model(tmp_path)


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    save_model(tmp_path, build_model("graz", CARD.input_shape), CARD)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    with pytest.raises(BadDataError, match=r"cannot be read.*model\.safetensors"):
        load_model(tmp_path)


def test_weights_of_another_shape_are_named(tmp_path: Path) -> None:
    save_model(tmp_path, build_model("graz", (16, 20, 16)), CARD)
    with pytest.raises(BadDataError, match=r"'layers\.17\.weight' has shape .*model\.safetensors"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": "forty"}, "wrong value for scale"),
        ({"scale": 0}, "wrong value for scale"),
        ({"input_shape": [16, 20]}, "wrong value for input_shape"),
        ({"architecture": "resnet"}, "wrong value for architecture"),
        ({"classes": ["AD"]}, "wrong value for classes"),
        ({"seed": True}, "wrong value for seed"),
        ({"skull_strip": 1}, "wrong value for skull_strip"),
        ({"metrics": {"auc": "high"}}, "wrong value for metrics"),
        ({"colour": "red"}, "unknown colour"),
    ],
)
def test_broken_cards_are_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    file = tmp_path / "model.json"
    file.write_text(json.dumps(json.loads(CARD.to_json()) | change))
    with pytest.raises(BadDataError, match=rf"{message}.*model\.json"):
        load_model(file)


def test_missing_keys_and_broken_text_are_named(tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    values = json.loads(CARD.to_json())
    del values["scale"], values["seed"]
    file.write_text(json.dumps(values))
    with pytest.raises(BadDataError, match="lacks scale, seed"):
        load_model(file)
    file.write_text("{")
    with pytest.raises(BadDataError, match=r"not valid JSON.*model\.json"):
        load_model(file)
    file.write_text("[]")
    with pytest.raises(BadDataError, match="not a JSON object"):
        load_model(file)


def test_the_tables_import_no_torch() -> None:
    code = "import sys, bids_xai.models, bids_xai.attribution; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
