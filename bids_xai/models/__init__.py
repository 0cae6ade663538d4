"""Networks: one literal table, one file a family. Importing this package imports no torch."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from bids_xai.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

MODELS: dict[str, str] = {
    "graz": "bids_xai.models.graz:Graz",
    "boehle": "bids_xai.models.boehle:Boehle",
    "rieke": "bids_xai.models.rieke:Rieke",
    "sixtyfour": "bids_xai.models.sixtyfour:SixtyFour",
    "vgg-a": "bids_xai.models.vgg:VggA",
    "vgg-b": "bids_xai.models.vgg:VggB",
    "vgg-a-pif": "bids_xai.models.vgg:VggAPif",
    "vgg-b-pif": "bids_xai.models.vgg:VggBPif",
    "gap3": "bids_xai.models.gap:Gap3",
    "gap6": "bids_xai.models.gap:Gap6",
    "gap": "bids_xai.models.gap:Gap",
    "patch": "bids_xai.models.patch:Patch",
}
"""Name of a network -> ``module:Class``, resolved on demand by :func:`build`."""

_COMMON = ("channels", "seed")


def build(
    name: str,
    input_shape: Sequence[int],
    n_classes: int = 2,
    *,
    channels: int = 1,
    seed: int = 0,
    **options: object,
) -> nn.Module:
    """Build an untrained network of the table ``MODELS``.

    From volumes (n, channels, x, y, z) to logits (n, n_classes). Its attribute ``layers`` is the
    whole forward pass as one ordered chain, ``l2`` maps names of layers to the weight of their
    squared weights in the training loss; a network with ``project_biases`` has it called after
    every training step.

    name : a key of ``MODELS``
    input_shape : (x, y, z) voxels of one volume
    n_classes : number of outputs (logits); channels : number of maps a volume has
    seed : of the initial weights; torch's global generator is left as found
    options : of the network, see :func:`network_options`
    Raises ``UsageError`` for an unknown name or option, a value an option cannot have, and a
    volume too small for the network.
    """
    if name not in MODELS:
        raise UsageError(f"Unknown network '{name}'", fix=f"use one of {', '.join(MODELS)}")
    accepted = network_options(name)
    unknown = [option for option in options if option not in accepted]
    if unknown:
        raise UsageError(
            f"Network '{name}' has no option {', '.join(unknown)}",
            fix=f"use {', '.join(accepted) or 'no option'}",
        )
    network = _resolve(name)
    return network(tuple(input_shape), n_classes, channels=channels, seed=seed, **options)


def network_options(name: str) -> dict[str, Any]:
    """The options of a network with their defaults (its keyword-only arguments)."""
    parameters = inspect.signature(_resolve(name)).parameters.values()
    keywords = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    return {key: default for key, default in keywords.items() if key not in _COMMON}


def _resolve(name: str) -> Callable[..., nn.Module]:
    """The class behind a key of ``MODELS``."""
    module, _, attribute = MODELS[name].partition(":")
    return cast("Callable[..., nn.Module]", getattr(import_module(module), attribute))
