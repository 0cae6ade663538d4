"""What to explain, by which method and from which start: one request a heatmap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bids_xai.attribution import METHODS, check_options, method_label, method_options
from bids_xai.errors import UsageError

if TYPE_CHECKING:
    pass


WHOLE = "all"
"""Class label of relevance that starts at the full softmax vector."""


POSITIVE, PREDICTED, TRUE = "positive", "predicted", "true"
"""Words that may stand for a class: the card's positive one, and what depends on the scan."""


@dataclass(frozen=True)
class Request:
    """One way to explain a scan.

    name : what tables call it, the method or the name of a variant of it
    method : a key of ``METHODS``; options : its options
    target : class that methods starting from one class explain: its name, ``positive``,
        ``predicted`` or ``true``
    """

    name: str
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    target: str = POSITIVE

    @property
    def start(self) -> str:
        """Where relevance starts: ``softmax`` (the full vector), ``probability`` or ``logit``."""
        offered = method_options(self.method).get("start", METHODS[self.method].start)
        return str(self.options.get("start", offered))

    @property
    def label(self) -> str:
        """The method with its options as a BIDS label (``desc-``)."""
        return method_label(self.method, **self.options)

    def check(self, classes: tuple[str, ...]) -> None:
        """Raise :class:`UsageError` for an unknown method, option or class."""
        check_options(self.method, self.options)
        if self.target not in (POSITIVE, PREDICTED, TRUE, *classes):
            raise UsageError(
                f"the model knows no class '{self.target}'",
                fix=f"choose one of {', '.join(classes)}",
            )


def requests_of(
    names: tuple[str, ...], options: Mapping[str, Mapping[str, Any]], target: str
) -> list[Request]:
    """Return the ways to explain that a study or command line names.

    options : name -> options; with ``method`` among them the name is that of a variant
    """
    requests = []
    for name in names:
        changed_options = dict(options.get(name, {}))
        requests.append(
            Request(name, str(changed_options.pop("method", name)), changed_options, target)
        )
    return requests
