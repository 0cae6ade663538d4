"""Scans, recipes and networks that the tests of training share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import torch
from torch import Tensor, nn

from bids_xai.training.loop import TrainingInterrupted, TrainingResult, train
from bids_xai.training.recipe import Recipe

SHAPE = (6, 7, 9)
Scan = tuple[Tensor, Tensor, int]


class Interrupt(Exception):
    """Stands for a killed job."""


def make_scans(n: int, seed: int = 0, signal: float = 0.6, classes: int = 2) -> list[Scan]:
    """Noise in [0, 1]; the higher the class, the brighter inside the mask."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.zeros(1, *SHAPE)
    mask[:, 1:4, 2:6, 1:6] = 1
    found = []
    for i in range(n):
        volume = torch.rand(1, *SHAPE, generator=generator) * 0.4
        label = i % classes
        found.append((volume + signal * mask * label / (classes - 1), mask, label))
    return found


def make_recipe(**changes: object) -> Recipe:
    values: dict[str, object] = {"epochs": 4, "batch_size": 3, "patience": 2, **changes}
    return Recipe(**values)  # type: ignore[arg-type]


def weights_of(model: nn.Module) -> list[Tensor]:
    return [tensor.clone() for tensor in model.state_dict().values()]


class Tiny(nn.Module):
    """A network of everything that keeps a state: batch norm, dropout, a penalty, strides."""

    def __init__(self, n_classes: int = 2, dropout: float = 0.3, norm: bool = True) -> None:
        super().__init__()
        self.n_classes = n_classes
        self.l2 = {"layers.0": 0.01}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            self.layers = nn.Sequential(
                nn.Conv3d(1, 3, 3, padding=1),
                nn.BatchNorm3d(3) if norm else nn.Identity(),
                nn.ELU(),
                nn.MaxPool3d(2),
                nn.Dropout(dropout),
                nn.Flatten(),
                nn.Linear(3 * 3 * 3 * 4, n_classes),
            )

    def forward(self, volumes: Tensor) -> Tensor:
        logits: Tensor = self.layers(volumes)
        return logits


class Signalling(list[Scan]):
    """Scans of which the ``at``-th one asked for sends a signal to this process."""

    def __init__(self, found: list[Scan], at: int, number: int = signal.SIGTERM) -> None:
        super().__init__(found)
        self.labels = [label for _, _, label in found]
        self.left, self.number = at, number

    def __getitem__(self, index: int) -> Scan:  # type: ignore[override]
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.number)
        return super().__getitem__(index)


def train_in_pieces(
    model: nn.Module,
    data: list[Scan],
    validation: list[Scan],
    how: Recipe,
    folder: Path,
    *,
    at: int,
    in_validation: bool = False,
) -> tuple[nn.Module, TrainingResult]:
    """Train a copy of ``model``; the ``at``-th scan read stops it by a signal, then it goes on."""
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    signalling = Signalling(validation if in_validation else data, at)
    pair = (data, signalling) if in_validation else (signalling, validation)
    try:
        train(model, *pair, how, folder=folder, device="cpu")
    except TrainingInterrupted:
        model.load_state_dict(state)
        return model, train(model, data, validation, how, folder=folder, device="cpu")
    raise RuntimeError("training was not stopped")
