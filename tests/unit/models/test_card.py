"""Models on disk."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bids_xai.errors import BadDataError, CannotCreateError, NoInputError
from bids_xai.models import build
from bids_xai.models import card as card_module
from bids_xai.models.card import ModelCard, load_model, save_model

CARD = ModelCard(
    architecture="graz",
    options={},
    input_shape=(16, 20, 33),
    channels=1,
    voxel_mm=(1.0, 1.0, 2.0),
    suffix="R2starmap",
    space="T1w",
    scaling="fixed",
    scale=40.0,
    maximum=None,
    skull_strip=False,
    classes=("NC", "AD"),
    positive="AD",
    seed=3,
    study="tinauer2025",
    configuration="C",
    split=0,
    split_hash="0123456789abcdef",
    training_participants=("01", "07"),
    relevance_guided=True,
    metrics={"accuracy": 0.75, "auc": None},
    versions={"torch": "2"},
)
SAVED = replace(CARD, weights_sha256="0" * 64)
"""As a card looks in a file."""


def test_round_trip_by_folder_and_by_card(tmp_path: Path) -> None:
    model = build("graz", CARD.input_shape, seed=99)
    file = save_model(tmp_path / "new" / "folder", model, CARD)
    sha = hashlib.sha256((file.parent / "model.safetensors").read_bytes()).hexdigest()
    for path in (file, file.parent):
        loaded, card = load_model(path)
        assert card == replace(CARD, weights_sha256=sha)
        assert not loaded.training
        for name, tensor in model.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], tensor)
    assert sorted(p.name for p in file.parent.iterdir()) == ["model.json", "model.safetensors"]
    without = replace(SAVED, voxel_mm=None)
    assert ModelCard.from_json(without.to_json()) == without


def test_options_channels_and_more_than_two_classes_come_back(tmp_path: Path) -> None:
    card = replace(
        CARD,
        architecture="vgg-b-pif",
        options={"filters": (2, 3, 4), "patch": (2, 3, 2), "hidden": 5, "dropout": 0.1},
        input_shape=(53, 55, 54),
        channels=2,
        classes=("NC", "MCI", "AD"),
        positive="MCI",
        scaling="minmax",
    )
    shape, options = card.input_shape, card.options
    model = build("vgg-b-pif", shape, 3, channels=2, seed=1, **options).eval()
    loaded, loaded_card = load_model(save_model(tmp_path, model, card))
    assert replace(loaded_card, weights_sha256="") == card
    volumes = torch.rand(1, 2, *shape)
    with torch.no_grad():
        assert torch.equal(loaded(volumes), model(volumes))


def test_batch_norm_statistics_come_back(tmp_path: Path) -> None:
    card = replace(CARD, architecture="boehle", input_shape=(78, 79, 80))
    model = build("boehle", card.input_shape)
    model.layers[1].running_mean.fill_(0.25)
    loaded, _ = load_model(save_model(tmp_path, model, card))
    assert (loaded.layers[1].running_mean == 0.25).all()


def test_nothing_is_left_but_the_old_model_when_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(tmp_path, build("graz", CARD.input_shape, seed=1), CARD)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(self: ModelCard) -> str:
        raise OSError("no space left")

    monkeypatch.setattr(ModelCard, "to_json", fail)
    with pytest.raises(CannotCreateError, match="no space"):
        save_model(tmp_path, build("graz", CARD.input_shape, seed=2), CARD)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    load_model(tmp_path)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    save_model(tmp_path, build("graz", CARD.input_shape), CARD)
    (tmp_path / name).unlink()
    with pytest.raises(NoInputError, match=name):
        load_model(tmp_path)


def test_weights_of_another_card_are_named(tmp_path: Path) -> None:
    save_model(tmp_path, build("graz", CARD.input_shape, seed=1), CARD)
    save_model(tmp_path / "other", build("graz", CARD.input_shape, seed=2), CARD)
    (tmp_path / "other" / "model.safetensors").replace(tmp_path / "model.safetensors")
    with pytest.raises(BadDataError, match=r"not those of the model card.*\.safetensors.*Fix"):
        load_model(tmp_path)


def test_one_changed_byte_is_noticed(tmp_path: Path) -> None:
    save_model(tmp_path, build("graz", CARD.input_shape), CARD)
    weights = tmp_path / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(BadDataError, match=r"SHA-256.*model\.safetensors"):
        load_model(tmp_path)


def test_weights_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    sha = hashlib.sha256(b"nothing").hexdigest()
    (tmp_path / "model.json").write_text(replace(CARD, weights_sha256=sha).to_json())
    with pytest.raises(BadDataError, match=r"cannot be read.*model\.safetensors"):
        load_model(tmp_path)


def test_weights_of_another_shape_are_named(tmp_path: Path) -> None:
    save_model(tmp_path, build("graz", (16, 20, 16)), CARD)
    with pytest.raises(BadDataError, match=r"'layers\.17\.weight' has shape .*model\.safetensors"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": {"depth": 3}}, "has no option depth"),
        ({"architecture": "boehle"}, "boehle needs at least 78"),
        ({"architecture": "gap", "options": {"width": "wide"}}, "width is 'wide'"),
    ],
)
def test_a_network_that_cannot_be_is_a_fault_of_the_card(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    (tmp_path / "model.json").write_text(replace(SAVED, **change).to_json())
    with pytest.raises(BadDataError, match=rf"cannot be built: .*{message}.*model\.json"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": "forty"}, "wrong value for scale"),
        ({"scale": 0}, "wrong value for scale"),
        ({"input_shape": [16, 20]}, "wrong value for input_shape"),
        ({"architecture": "resnet"}, "wrong value for architecture"),
        ({"classes": ["AD"]}, "wrong value for classes"),
        ({"classes": ["AD", "AD"]}, "wrong value for classes"),
        ({"positive": "MCI"}, "wrong value for positive"),
        ({"options": {"seed": 1}}, "wrong value for options"),
        ({"options": []}, "wrong value for options"),
        ({"channels": 0}, "wrong value for channels"),
        ({"scaling": "log"}, "wrong value for scaling"),
        ({"training_participants": "01"}, "wrong value for training_participants"),
        ({"weights_sha256": "0123"}, "wrong value for weights_sha256"),
        ({"seed": True}, "wrong value for seed"),
        ({"skull_strip": 1}, "wrong value for skull_strip"),
        ({"metrics": {"auc": "high"}}, "wrong value for metrics"),
        ({"colour": "red"}, "unknown colour"),
    ],
)
def test_broken_cards_are_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    file = tmp_path / "model.json"
    file.write_text(json.dumps(json.loads(SAVED.to_json()) | change))
    with pytest.raises(BadDataError, match=rf"{message}.*model\.json"):
        load_model(file)


def test_missing_keys_and_broken_text_are_named(tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    values = json.loads(SAVED.to_json())
    del values["scale"], values["seed"], values["positive"]
    file.write_text(json.dumps(values))
    with pytest.raises(BadDataError, match="lacks scale, positive, seed"):
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


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    """A network of NaN gives every scan the class of the first output."""
    model = build("graz", CARD.input_shape)
    with torch.no_grad():
        next(model.parameters()).view(-1)[7] = value
    file = save_model(tmp_path, model, CARD)
    with pytest.raises(BadDataError, match="no finite numbers in 'layers") as caught:
        load_model(tmp_path)
    assert caught.value.file == str(file.with_name("model.safetensors"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("scale", float("inf")),
        ("scale", float("nan")),
        ("voxel_mm", [1.0, 1.0, float("inf")]),
        ("metrics", {"auc": float("nan")}),
        ("training_scans", {"n": 3}),
        ("training_scans", {"map": "x"}),
        ("machine", "x"),
    ],
)
def test_numbers_of_a_card_are_finite_and_whole(key: str, value: object) -> None:
    values = json.loads(SAVED.to_json()) | {key: value}
    with pytest.raises(BadDataError, match=f"wrong value for {key}"):
        ModelCard.from_json(json.dumps(values), "model.json")


def test_cards_of_earlier_versions_are_read() -> None:
    values = json.loads(SAVED.to_json())
    del values["training_scans"], values["machine"]
    assert ModelCard.from_json(json.dumps(values)) == SAVED


def test_a_card_for_an_enormous_network_takes_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3000 x 3000 x 3000 voxels took 38 s and all memory to be refused."""
    file = save_model(tmp_path, build("graz", CARD.input_shape), CARD)
    card = json.loads(file.read_text()) | {"input_shape": [3000, 3000, 3000]}
    file.write_text(json.dumps(card))
    devices: list[str] = []
    make = card_module.build

    def built(*arguments: Any, **options: Any) -> Any:
        devices.append(torch.empty(0).device.type)
        return make(*arguments, **options)

    monkeypatch.setattr(card_module, "build", built)
    with pytest.raises(BadDataError, match="do not fit the model card"):
        load_model(tmp_path)
    assert devices == ["meta"]
