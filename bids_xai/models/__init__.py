"""Networks: one literal table, one file a network. Importing this package imports no torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from bids_xai.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

MODELS: dict[str, str] = {
    "graz": "bids_xai.models.graz:Graz",
}
"""Name of a network -> ``module:Class``, resolved on demand by :func:`build_model`."""


def build_model(
    name: str, input_shape: Sequence[int], n_classes: int = 2, seed: int = 0
) -> nn.Module:
    """Build an untrained network of the table ``MODELS``.

    name : a key of ``MODELS``
    input_shape : (x, y, z) voxels of one volume
    n_classes : number of outputs (logits)
    seed : of the initial weights; torch's global generator is left as found
    Raises ``UsageError`` for a name that is not in the table.
    """
    if name not in MODELS:
        raise UsageError(f"Unknown network '{name}'", fix=f"use one of {', '.join(MODELS)}")
    module, _, attribute = MODELS[name].partition(":")
    network = getattr(import_module(module), attribute)
    return cast("nn.Module", network(tuple(input_shape), n_classes=n_classes, seed=seed))
