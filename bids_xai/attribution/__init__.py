"""Explanations of a network's output: one literal table, one file a family of methods.

Importing this package imports no torch. A method is a function
``f(model, volumes, target, *, options...) -> relevance`` that keeps shape, dtype and device;
:func:`explain` sees to it that model and input are left as found.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from bids_xai.attribution.modes import explaining
from bids_xai.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Method:
    """One row of ``METHODS``.

    function : ``module:function``, resolved on demand
    start : where relevance starts unless told otherwise: ``softmax`` (the full vector),
        ``probability`` or ``logit`` (of one class)
    signed : whether relevance can be negative, unless an option takes its absolute value or sets
        beta to 0
    source : where the method comes from
    needs : of network, input or options, beyond a chain of known layers; empty if nothing
    label : the option that is always part of :func:`method_label`
    """

    function: str
    start: str
    signed: bool
    source: str
    needs: str = ""
    label: str = ""


_GAP = "global average pooling and one dense layer"
_CONVOLUTIONS = "convolutions"
_ZPLUS = "inputs >= 0, ReLU between the layers with weights"

METHODS: dict[str, Method] = {
    "saliency": Method(
        function="bids_xai.attribution.gradients:saliency",
        start="probability",
        signed=False,
        source="Simonyan et al. 2014; Rieke et al. 2018",
    ),
    "input-x-gradient": Method(
        function="bids_xai.attribution.gradients:input_x_gradient",
        start="logit",
        signed=True,
        source="Shrikumar et al. 2016; Eitel and Ritter 2019",
    ),
    "guided-backprop": Method(
        function="bids_xai.attribution.gradients:guided_backprop",
        start="probability",
        signed=False,
        source="Springenberg et al. 2015; Rieke et al. 2018",
    ),
    "integrated-gradients": Method(
        function="bids_xai.attribution.gradients:integrated_gradients",
        start="probability",
        signed=True,
        source="Sundararajan et al. 2017",
    ),
    "smoothgrad": Method(
        function="bids_xai.attribution.gradients:smoothgrad",
        start="logit",
        signed=False,
        source="Smilkov et al. 2017",
    ),
    "occlusion": Method(
        function="bids_xai.attribution.occlusion:occlusion",
        start="probability",
        signed=True,
        source="Zeiler and Fergus 2014; Rieke et al. 2018",
    ),
    "area-occlusion": Method(
        function="bids_xai.attribution.occlusion:area_occlusion",
        start="probability",
        signed=True,
        source="Rieke et al. 2018",
        needs="an atlas on the grid of the volumes (option atlas)",
    ),
    "cam": Method(
        function="bids_xai.attribution.cam:cam",
        start="logit",
        signed=True,
        source="Zhou et al. 2016",
        needs=_GAP,
    ),
    "grad-cam": Method(
        function="bids_xai.attribution.cam:grad_cam",
        start="logit",
        signed=False,
        source="Selvaraju et al. 2017, over all three axes",
        needs=_CONVOLUTIONS,
    ),
    "guided-grad-cam": Method(
        function="bids_xai.attribution.cam:guided_grad_cam",
        start="logit",
        signed=True,
        source="Selvaraju et al. 2017, over all three axes",
        needs=_CONVOLUTIONS,
    ),
    "lrp-zplus": Method(
        function="bids_xai.attribution.zplus:lrp_zplus",
        start="softmax",
        signed=False,
        source="Montavon et al. 2017; LRP with alpha 1, beta 0 (Bach et al. 2015)",
        needs=_ZPLUS,
    ),
    "lrp-alphabeta": Method(
        function="bids_xai.attribution.lrp:lrp_alphabeta",
        start="probability",
        signed=True,
        source="Bach et al. 2015; Boehle et al. 2019",
        label="beta",
    ),
    "lrp-0": Method(
        function="bids_xai.attribution.lrp:lrp_zero",
        start="logit",
        signed=True,
        source="Bach et al. 2015",
    ),
    "lrp-epsilon": Method(
        function="bids_xai.attribution.lrp:lrp_epsilon",
        start="logit",
        signed=True,
        source="Bach et al. 2015; Eitel et al. 2019",
    ),
    "lrp-gamma": Method(
        function="bids_xai.attribution.lrp:lrp_gamma",
        start="logit",
        signed=True,
        source="Montavon et al. 2019",
    ),
    "lrp-composite-1": Method(
        function="bids_xai.attribution.lrp:lrp_composite_1",
        start="logit",
        signed=True,
        source="Montavon et al. 2019; first of the three composites of the CAM and LRP thesis",
    ),
    "lrp-composite-2": Method(
        function="bids_xai.attribution.lrp:lrp_composite_2",
        start="logit",
        signed=True,
        source="Montavon et al. 2019; second of the three composites of the CAM and LRP thesis",
    ),
    "lrp-composite-3": Method(
        function="bids_xai.attribution.lrp:lrp_composite_3",
        start="logit",
        signed=True,
        source="Montavon et al. 2019; third of the three composites of the CAM and LRP thesis",
    ),
    "dtd": Method(
        function="bids_xai.attribution.zplus:lrp_zplus",
        start="softmax",
        signed=False,
        source="Montavon et al. 2017; the same as lrp-zplus",
        needs=_ZPLUS,
    ),
}


def explain(
    name: str, model: nn.Module, volumes: Tensor, target: int = 1, **options: object
) -> Tensor:
    """Relevance (n, channels, x, y, z) of ``volumes`` of that shape, dtype and device.

    name : a key of ``METHODS``
    model : any network the method can walk through; run in evaluation mode, then left in the mode
        it was found in, with its parameters and their gradients untouched
    target : class that methods starting from one class explain; others do not depend on it
    options : keyword arguments of the method
    Raises ``UsageError`` for an unknown name or option, a network that the method does not fit,
    and volumes that are no batch.
    """
    check_options(name, options)
    if volumes.ndim != 5:
        raise UsageError(
            f"Volumes of shape {tuple(volumes.shape)} cannot be explained",
            fix="give a batch (n, channels, x, y, z)",
        )
    with explaining(model, volumes):
        return resolve(name)(model, volumes.detach(), target, **options).detach()


def resolve(name: str) -> Callable[..., Tensor]:
    """The function behind a key of ``METHODS``."""
    module, _, attribute = METHODS[name].function.partition(":")
    return cast("Callable[..., Tensor]", getattr(import_module(module), attribute))


def method_options(name: str) -> dict[str, Any]:
    """The options of a method with their defaults (its keyword-only arguments)."""
    parameters = inspect.signature(resolve(name)).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def check_options(name: str, options: Mapping[str, object]) -> None:
    """Raise ``UsageError`` for an unknown method, or an option that it does not have."""
    if name not in METHODS:
        raise UsageError(f"Unknown attribution method '{name}'", fix=f"use {', '.join(METHODS)}")
    accepted = method_options(name)
    unknown = [option for option in options if option not in accepted]
    if unknown:
        raise UsageError(
            f"Attribution method '{name}' has no option {', '.join(unknown)}",
            fix=f"use {', '.join(accepted) or 'no option'}",
        )


def options_record(name: str, target: int = 1, **options: object) -> dict[str, Any]:
    """What a sidecar must say of a map: the method, its class and every option in effect.

    Keys ``method``, ``target`` (None where relevance starts at the whole softmax vector) and the
    names of the options, defaults included, as JSON can hold them: an array becomes its shape,
    data type and SHA-256. Raises ``UsageError`` as :func:`explain` does.
    """
    check_options(name, options)
    effective = {**method_options(name), **options}
    whole = effective.get("start") == "softmax"
    plain = {option: _plain(value) for option, value in effective.items()}
    return {"method": name, "target": None if whole else target, **plain}


def method_label(name: str, **options: object) -> str:
    """A label of letters and digits for file names: ``lrpzplus``, ``lrpalphabeta050``.

    The method's own option follows in hundredths (``lrp-alphabeta``: beta 0.5 is 050), then every
    other option that is not at its default, as ``Name`` and value (``occlusionSize20``, with ``p``
    for the decimal point and ``m`` for a minus; arrays by the beginning of their SHA-256).
    """
    check_options(name, options)
    defaults = method_options(name)
    labelled = METHODS[name].label
    label = _letters(name)
    if labelled:
        label += _hundredths(float({**defaults, **options}[labelled]))
    for option, value in options.items():
        plain = _plain(value)
        if option != labelled and plain != _plain(defaults[option]):
            label += "".join(word.capitalize() for word in option.split("_")) + _shown(plain)
    return label


def _shown(plain: Any) -> str:
    """A value of :func:`_plain` in letters and digits."""
    if isinstance(plain, dict):
        return str(plain["sha256"])[:8]
    if isinstance(plain, list):
        return "x".join(map(_shown, plain))
    return _letters(str(plain).replace(".", "p").replace("-", "m"))


def _plain(value: object) -> Any:
    """A value as JSON can hold it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    numpy = import_module("numpy")
    detach = getattr(value, "detach", None)
    array = numpy.asarray(value if detach is None else detach().cpu().numpy())
    digest = hashlib.sha256(numpy.ascontiguousarray(array).tobytes()).hexdigest()
    return {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": digest}


def _hundredths(value: float) -> str:
    """0.5 as 050, 4 as 400, 0.125 as 0125: all digits, at least two after the point."""
    text = f"{value:.2f}" if round(value, 2) == value else repr(value)
    return _letters(text)


def _letters(text: str) -> str:
    return "".join(c for c in text if c.isascii() and c.isalnum())
