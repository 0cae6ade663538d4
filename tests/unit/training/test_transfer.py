"""Starting from a trained network."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from bids_xai.errors import BadDataError, UsageError
from bids_xai.models.graz import Graz
from bids_xai.training import transfer
from bids_xai.training.transfer import check_disjoint, load_pretrained

SHAPE = (6, 7, 9)


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Graz:
    """A network that lies in a folder ``tmp_path``; cards have tests of their own."""
    source = Graz(SHAPE, seed=1)

    def load_model(folder: Path) -> tuple[nn.Module, SimpleNamespace]:
        assert folder == tmp_path
        return source, SimpleNamespace(study="other")

    monkeypatch.setattr(transfer, "load_model", load_model)
    return source


def _taken(model: nn.Module, source: nn.Module, initial: nn.Module) -> set[str]:
    """Names of tensors that come from the source; all others must be the initial ones."""
    given, first = source.state_dict(), initial.state_dict()
    taken = set()
    for name, tensor in model.state_dict().items():
        if name in given and tensor.shape == given[name].shape and torch.equal(tensor, given[name]):
            taken.add(name)
        else:
            assert torch.equal(tensor, first[name])
    return {name for name in taken if name.endswith("weight")}  # biases are zero in both


def test_everything_is_copied(saved: Graz, tmp_path: Path) -> None:
    model = Graz(SHAPE)
    pretrained = load_pretrained(model, tmp_path)
    assert set(pretrained.copied) == set(model.state_dict())
    assert pretrained.left == ()
    assert pretrained.card.study == "other"
    x = torch.rand(2, 1, *SHAPE)
    assert torch.equal(model(x), saved(x))
    with torch.no_grad():  # copies, not the tensors themselves
        model.layers[0].weight.zero_()
    assert saved.layers[0].weight.abs().sum() > 0


def test_some_layers_are_copied(saved: Graz, tmp_path: Path) -> None:
    model = Graz(SHAPE)
    pretrained = load_pretrained(model, tmp_path, layers=["layers.0", "layers.10"])
    assert _taken(model, saved, Graz(SHAPE)) == {"layers.0.weight", "layers.10.weight"}
    assert len(pretrained.copied) == 4
    assert set(pretrained.copied) | set(pretrained.left) == set(model.state_dict())
    with pytest.raises(UsageError, match=r"no layer 'layers\.1'"):
        load_pretrained(model, tmp_path, layers=["layers.1"])
    everything = Graz(SHAPE)
    assert load_pretrained(everything, tmp_path, layers=()).left == ()


def test_another_number_of_classes_leaves_the_output_layer(saved: Graz, tmp_path: Path) -> None:
    model = Graz(SHAPE, n_classes=3)
    pretrained = load_pretrained(model, tmp_path)
    assert pretrained.left == ("layers.19.weight", "layers.19.bias")
    taken = _taken(model, saved, Graz(SHAPE, n_classes=3))
    assert len(taken) == 9
    assert "layers.19.weight" not in taken


def test_another_grid_is_refused_and_nothing_changed(saved: Graz, tmp_path: Path) -> None:
    model = Graz((17, 18, 19))
    with pytest.raises(BadDataError, match=r"'layers.17.weight' has shape \(16, 8\)") as caught:
        load_pretrained(model, tmp_path)
    assert caught.value.file == str(tmp_path)
    assert _taken(model, saved, Graz((17, 18, 19))) == set()
    load_pretrained(model, tmp_path, layers=[f"layers.{i}" for i in range(0, 16, 2)])
    assert len(_taken(model, saved, Graz((17, 18, 19)))) == 8


def test_a_source_with_more_layers_is_refused(saved: Graz, tmp_path: Path) -> None:
    saved.extra = nn.Linear(2, 2)
    with pytest.raises(BadDataError, match=r"'extra.weight' has shape \(2, 2\), .* asks for none"):
        load_pretrained(Graz(SHAPE), tmp_path)


def test_participants_trained_on_are_named() -> None:
    check_disjoint(["sub-01", "sub-02"], ["sub-03"])
    with pytest.raises(BadDataError, match=r"2 participant.* sub-02, sub-03\. .*exclude them"):
        check_disjoint(["sub-01", "sub-03", "sub-02"], iter(["sub-03", "sub-02", "sub-09"]))
    many = [f"sub-{i:02}" for i in range(14)]
    with pytest.raises(BadDataError, match=r"14 participant.* sub-09 and 4 more"):
        check_disjoint(many, many)
