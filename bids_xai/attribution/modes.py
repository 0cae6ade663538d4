"""How a model is run to be explained: in evaluation mode, in full precision; then all as before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Within it every module evaluates; afterwards each is in the mode it was found in."""
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        yield
    finally:
        for module, training in modes.items():
            module.training = training


@contextmanager
def explaining(model: nn.Module, volumes: Tensor) -> Iterator[None]:
    """Within it the model evaluates, in full precision."""
    with evaluating(model), full_precision(volumes):
        yield


@contextmanager
def full_precision(volumes: Tensor) -> Iterator[None]:
    """Within it CUDA multiplies float32 as such (no TF32, which keeps 10 bits): sums are kept."""
    if not volumes.is_cuda:
        yield
        return
    import torch

    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolutions.allow_tf32, products.allow_tf32
    try:
        convolutions.allow_tf32 = products.allow_tf32 = False
        yield
    finally:
        convolutions.allow_tf32, products.allow_tf32 = before
