"""What a model was trained on, and whether a scan is like that: kept in its card."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WARNED_AT, REFUSED_AT = 0.25, 2.0
"""How far outside the values of all training scans a scan may lie, in widths of a training map."""

_SAME_FIELD_T = 0.15
_SAME_TIME = 0.1
_SAME_EDGE = 1.25
_WORDS = ("5th percentile", "median", "95th percentile")


@dataclass(frozen=True, kw_only=True)
class ScanFacts:
    """What is known of a scan, as far as it matters to a network.

    field_strength_t : None where no sidecar says it; echo_times_s : of a fitted map, else empty
    voxel_mm : edges of the voxels of the map
    quantiles : 5th percentile, median and 95th percentile of the map in the brain, in its units
    """

    field_strength_t: float | None = None
    echo_times_s: tuple[float, ...] = ()
    voxel_mm: tuple[float, float, float]
    quantiles: tuple[float, float, float]


@dataclass(frozen=True)
class Likeness:
    """How a scan differs from those of a training.

    remarks : sentences for the log, the page and the sidecar
    is_beyond : whether its values lie so far outside that a prediction would mean nothing
    """

    remarks: tuple[str, ...] = ()
    is_beyond: bool = False


def summary_of(scans: Sequence[ScanFacts]) -> dict[str, Any]:
    """Return what a card keeps of its training scans, as JSON can hold it; nothing without scans.

    ``map`` has for each quantile the lowest and the highest of all scans; ``width`` is the mean
    distance from the 5th to the 95th percentile.
    """
    if not scans:
        return {}
    fields = sorted({scan.field_strength_t for scan in scans if scan.field_strength_t is not None})
    edges = list(zip(*(scan.voxel_mm for scan in scans), strict=True))
    values = list(zip(*(scan.quantiles for scan in scans), strict=True))
    return {
        "n": len(scans),
        "field_strength_t": fields,
        "echo_times_s": sorted({scan.echo_times_s for scan in scans if scan.echo_times_s}),
        "voxel_mm": {"low": [min(e) for e in edges], "high": [max(e) for e in edges]},
        "map": {"low": [min(v) for v in values], "high": [max(v) for v in values]},
        "width": sum(high - low for low, _, high in (s.quantiles for s in scans)) / len(scans),
    }


def is_summary(values: Mapping[str, Any]) -> bool:
    """Whether values of JSON are what :func:`summary_of` gives."""
    try:
        scan = ScanFacts(
            field_strength_t=1.0, echo_times_s=(1.0,), voxel_mm=(1, 1, 1), quantiles=(0, 0, 0)
        )
        compare(scan, values, "fixed")
        return bool(values["width"] >= 0)
    except (KeyError, TypeError, ValueError):
        return False


def compare(scan: ScanFacts, summary: Mapping[str, Any], scaling: str) -> Likeness:
    """Return how a scan differs from the training that ``summary`` (:func:`summary_of`) is of.

    scaling : of the card; where it is ``minmax``, a factor between maps does not matter
    Values are warned of where a quantile lies more than ``WARNED_AT`` widths outside those of all
    training scans, and are beyond at ``REFUSED_AT`` widths.
    """
    if not summary:
        return Likeness()
    remarks = [*_field(scan, summary), *_echo_times(scan, summary), *_voxels(scan, summary)]
    if scaling == "minmax":
        return Likeness(tuple(remarks))
    distance, words = _distance(scan, summary)
    if distance > WARNED_AT:
        remarks.append(words)
    return Likeness(tuple(remarks), distance > REFUSED_AT)


def _field(scan: ScanFacts, summary: Mapping[str, Any]) -> list[str]:
    field, trained = scan.field_strength_t, summary["field_strength_t"]
    if field is None or not trained or any(abs(field - t) <= _SAME_FIELD_T for t in trained):
        return []
    return [f"the scan is from {field:g} T, the training scans are from {_listed(trained)} T"]


def _echo_times(scan: ScanFacts, summary: Mapping[str, Any]) -> list[str]:
    times, trained = scan.echo_times_s, summary["echo_times_s"]
    if not times or not trained or any(_same_times(times, other) for other in trained):
        return []
    series = "; ".join(_milliseconds(other) for other in trained[:3])
    return [
        f"the echo times are {_milliseconds(times)} ms, those of the training scans {series} ms"
    ]


def _same_times(times: Sequence[float], others: Sequence[float]) -> bool:
    return len(times) == len(others) and all(
        math.isclose(a, b, rel_tol=_SAME_TIME) for a, b in zip(times, others, strict=True)
    )


def _voxels(scan: ScanFacts, summary: Mapping[str, Any]) -> list[str]:
    trained = summary["voxel_mm"]
    edges = zip(scan.voxel_mm, trained["low"], trained["high"], strict=True)
    if all(low / _SAME_EDGE <= edge <= high * _SAME_EDGE for edge, low, high in edges):
        return []
    size, low, high = (
        " x ".join(f"{edge:.3g}" for edge in edges)
        for edges in (scan.voxel_mm, trained["low"], trained["high"])
    )
    others = low if low == high else f"{low} to {high}"
    return [f"the voxels have {size} mm, those of the training scans {others} mm"]


def _distance(scan: ScanFacts, summary: Mapping[str, Any]) -> tuple[float, str]:
    """The largest distance of a quantile from those of the training, in widths; words for it."""
    width = summary["width"] or 1.0
    rows = []
    bounds = zip(scan.quantiles, summary["map"]["low"], summary["map"]["high"], strict=True)
    for name, (value, low, high) in zip(_WORDS, bounds, strict=True):
        outside = max(low - value, value - high) / width
        rows.append(
            (
                outside if math.isfinite(outside) else math.inf,
                f"the {name} of the map in the brain is {value:.4g}, in the training scans it is "
                f"{low:.4g} to {high:.4g}",
            )
        )
    return max(rows)


def _milliseconds(times: Sequence[float]) -> str:
    return _listed([1000 * time for time in times])


def _listed(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:.4g}" for number in numbers)
