"""The course of relevance in single regions over the sessions of one participant, as SVG."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np

from bids_xai.arrays import Floats
from bids_xai.figures.style import LINES, PALETTE, grid_of, house_style, to_svg

_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_LETTERS = 26


@house_style()
def region_courses(
    series: Mapping[str, Floats],
    sessions: Sequence[str],
    years: Floats | None,
    *,
    title: str,
    label: str,
    years_label: str = "",
) -> bytes:
    """Draw one line a region over sessions, each with a colour, mark and dash of its own.

    series : region → (n_sessions,) values, NaN where there is none, in the order of the sessions
    years : (n_sessions,) positions, ``None`` for equal steps; the axis then names the sessions
    """
    figure, grid = grid_of(1, width_in=6.2, height_in=3.2)
    axes = grid[0, 0]
    times = np.arange(len(sessions)) if years is None else years
    for number, (name, values) in enumerate(series.items()):
        axes.plot(
            times,
            values,
            color=PALETTE[number % len(PALETTE)],
            lw=1.6,
            ms=5,
            ls=LINES[number // len(PALETTE) % len(LINES)],
            marker=_MARKERS[number % len(_MARKERS)],
            label=textwrap.shorten(name, _LETTERS, placeholder=" …"),
        )
    if years is None:
        axes.set_xticks(times, list(sessions))
        axes.set_xlim(-0.3, len(sessions) - 0.7)
    axes.set(title=title, ylabel=label, xlabel=years_label if years is not None else "session")
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.ticklabel_format(axis="y", scilimits=(-3, 4))
    figure.legend(loc="outside right upper")
    return to_svg(figure)
