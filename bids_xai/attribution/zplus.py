r"""Layer-wise relevance propagation with the z+ rule, differentiable.

For every dense and convolutional layer, the first included, biases ignored:

.. math:: W^+ = \max(W, 0), \quad Z = x * W^+, \quad R_{in} = x \odot (W^{+T} * (R / Z))

Average pooling is such a layer with equal weights. Relevance of max-pooling goes to the voxel that
won; it passes unchanged through softmax, biases, ReLU, dropout and flattening. Batch norm is folded
into the layer before it: as biases are ignored and Z takes any positive scale away again, only the
sign of its weight matters, so that relevance never depends on the rest of the batch. With
``create_graph`` the result can be trained on: gradients reach the parameters through
:math:`W^+` and through the activations.

Source: Montavon et al. 2017 (z+ rule of deep Taylor decomposition), which is LRP with alpha 1,
beta 0 (Bach et al. 2015); guidance as in Tinauer et al. 2022, 2025.
"""

from __future__ import annotations

from torch import Tensor, nn

from bids_xai.attribution.layers import AVERAGES, Norm, is_affine, known_chain
from bids_xai.attribution.lrp import lrp_method
from bids_xai.attribution.lrp_options import STARTS, LrpOptions
from bids_xai.attribution.propagate import LrpRecipe, propagate, uniform
from bids_xai.attribution.rules import FLOOR, ZERO_DIVISION, ZPlus
from bids_xai.errors import BadDataError, UsageError

__all__ = [
    "FLOOR",
    "STARTS",
    "ZERO_DIVISION",
    "NegativeInputError",
    "check_not_negative_input",
    "lrp_zplus",
    "relevance",
    "relevance_zplus",
    "zplus_chain",
]


class NegativeInputError(BadDataError, UsageError):
    """Maps with negative values meet a rule for inputs >= 0: mend the maps, or the choice."""


@lrp_method(LrpOptions(start="softmax", bias="ignore"))
def lrp_zplus(options: LrpOptions, *, zero_division: str = "clamp") -> LrpRecipe:
    """z+ relevance, >= 0 unless ``start`` is a negative logit. Deep Taylor decomposition is this.

    Relevance starts at the full softmax vector and sums to 1 for every volume; with ``start``
    ``probability`` or ``logit`` it starts at, and sums to, that of class ``target``. With ``bias``
    ``absorb`` (positive) biases keep their share and the sum is smaller.
    Options of :class:`~bids_xai.attribution.lrp_options.LrpOptions`, and ``zero_division`` as in
    :class:`~bids_xai.attribution.rules.ZPlus`. Raises ``UsageError`` where :func:`zplus_chain`
    does and for inputs < 0 or undefined.
    """
    rule = ZPlus(zero_division, options.bias)
    return uniform("z+", rule, options, pooling=rule, check=_check)


def relevance(
    model: nn.Module,
    volumes: Tensor,
    start: str = "softmax",
    target: int | None = None,
    *,
    zero_division: str = "clamp",
    batch_norm: str = "fold",
    max_pool: str = "winner",
) -> Tensor:
    """Differentiable z+ relevance (n, channels, x, y, z) of ``volumes`` of that shape, >= 0.

    It sums to 1 for every volume (to the probability or logit of ``target`` with that ``start``)
    and can be part of a loss. The model runs in the mode it is in. See :func:`relevance_zplus`,
    which also returns the logits of the same forward pass.
    """
    return relevance_zplus(
        model,
        volumes,
        start=start,
        target=target,
        zero_division=zero_division,
        create_graph=True,
        batch_norm=batch_norm,
        max_pool=max_pool,
    )[1]


def relevance_zplus(
    layers: nn.Module,
    volumes: Tensor,
    *,
    start: str = "softmax",
    target: int | None = None,
    zero_division: str = "clamp",
    create_graph: bool = False,
    batch_norm: str = "fold",
    max_pool: str = "winner",
) -> tuple[Tensor, Tensor]:
    """Logits and z+ relevance of a chain of layers.

    layers : an ``nn.Sequential`` (nested ones are unrolled), or a module whose whole forward pass
        is its attribute ``layers``
    volumes : (n, channels, x, y, z), >= 0
    start : ``softmax`` (full vector, sums to 1), ``probability`` or ``logit`` of class ``target``
    zero_division : ``clamp`` raises activations and weights to at least 1e-7, so that the sum of
        relevance is kept exactly (zero padding stays zero and takes no relevance);
        ``zero`` sets 0/0 to 0 and loses the relevance of units that no positive weight feeds
    create_graph : keep the graph, so that a loss of the relevance can be trained on. Gradients
        stay bounded as long as biases are <= 0: then no activation exceeds its Z.
    batch_norm : ``fold`` or ``identity``
    max_pool : relevance to the ``winner``, or as in ``average`` pooling

    Returns ``logits`` (n, classes) and ``relevance`` of the shape of ``volumes``, whose sum per
    volume is the start. Raises ``BadDataError`` for negative or undefined input, ``UsageError``
    for a layer that the rule does not cover.
    """
    if (start == "softmax") != (target is None):
        raise UsageError(
            f"Start '{start}' and target {target} cannot be combined",
            fix="give a target class for a probability or logit, none for the softmax vector",
        )
    options = LrpOptions(start=start, bias="ignore", batch_norm=batch_norm, max_pool=max_pool)
    recipe = lrp_zplus.recipe(options, zero_division=zero_division)
    return propagate(layers, volumes, target, recipe, create_graph=create_graph)


def zplus_chain(model: nn.Module) -> list[nn.Module]:
    """The layers of ``model`` in order, or ``UsageError`` where the z+ rule does not hold.

    Every layer that spreads relevance, but the first, must see activations >= 0, so a ReLU must
    come between two of them.
    """
    chain = known_chain(model, "z+")
    rectified = True
    before: nn.Module | None = None
    for layer in chain:
        if is_affine(layer) or isinstance(layer, AVERAGES):
            if not rectified:
                raise UsageError(
                    f"z+ needs a ReLU before {layer}", fix="choose another attribution method"
                )
            rectified = isinstance(layer, AVERAGES)
        elif isinstance(layer, nn.ReLU):
            rectified = True
        elif isinstance(layer, nn.ELU) or (
            isinstance(layer, Norm) and (before is None or not is_affine(before))
        ):
            raise UsageError(
                f"z+ has no rule for the layer {layer}",
                fix="choose another network or another attribution method, such as lrp-alphabeta",
            )
        before = layer
    return chain


def check_not_negative_input(volumes: Tensor) -> None:
    """Raise ``NegativeInputError`` for volumes with values that are negative or undefined."""
    if not bool((volumes >= 0).all()):
        raise NegativeInputError(
            "z+ needs inputs >= 0",
            fix="scale the maps without shifting them (no z-score), or use lrp-alphabeta",
        )


def _check(model: nn.Module, volumes: Tensor) -> None:
    """z+ holds for this network and these inputs."""
    zplus_chain(model)
    check_not_negative_input(volumes)
