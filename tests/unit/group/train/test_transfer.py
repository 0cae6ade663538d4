"""Where a training takes its first weights from, and whom it may not test then."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bids_xai.errors import BadDataError, NoInputError
from bids_xai.group.train.transfer import start_folder, take_over
from bids_xai.studies.tables import Transfer


def card(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.json").touch()
    return folder


def test_the_model_of_the_same_split_counts_else_the_first_else_the_folder(tmp_path: Path) -> None:
    models, asked = tmp_path / "models", Transfer("large/A")
    assert start_folder(None, models, 0) is None
    with pytest.raises(NoInputError, match=r"no trained model 'large/A'.*train that study first"):
        start_folder(asked, models, 1)
    elsewhere = card(tmp_path / "elsewhere")
    assert start_folder(Transfer(str(elsewhere)), models, 1) == elsewhere
    whole = card(models / "large" / "A")
    assert start_folder(asked, models, 1) == whole
    first = card(whole / "split-0")
    assert start_folder(asked, models, 1) == first
    same = card(whole / "split-1")
    assert start_folder(asked, models, 1) == same


def test_whom_the_weights_have_seen_cannot_be_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def load(model: Any, folder: Path, layers: tuple[str, ...]) -> Any:
        asked.append((model, folder, layers))
        return SimpleNamespace(card=SimpleNamespace(training_participants=("01", "02")), copied=())

    monkeypatch.setattr("bids_xai.training.transfer.load_pretrained", load)
    model = cast("Any", object())
    assert take_over(model, Path("m"), ("layers.0",), {"03"}, "A") == ("01", "02")
    assert asked == [(model, Path("m"), ("layers.0",))]
    with pytest.raises(BadDataError, match="02"):
        take_over(model, Path("m"), (), {"02", "03"}, "A")
