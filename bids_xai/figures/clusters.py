"""Pictures of spectral relevance analysis: eigenvalues, gaps, embeddings, maps of clusters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bids_xai.arrays import Floats
from bids_xai.figures.cuts import planes
from bids_xai.figures.scene import Overlay, Row, Scene, extent_of, grey_window
from bids_xai.figures.sheet import draw_sheet
from bids_xai.figures.style import (
    NEGATIVE,
    PALETTE,
    POSITIVE,
    empty_panel,
    grid_of,
    house_style,
    to_png,
    to_svg,
)

# colour tells the true class; full marks are right, hollow ones wrong
OUTCOMES = {
    "TN": ("o", NEGATIVE, True),
    "FN": ("D", POSITIVE, False),
    "TP": ("^", POSITIVE, True),
    "FP": ("s", NEGATIVE, False),
}
_SHOWN = 20
_SLICES = {"axial": 3, "coronal": 2, "sagittal": 2}


@dataclass(frozen=True)
class Embedding:
    """Points (n, 2) of one analysis with outcome (TN, FN, TP, FP) and cluster of each.

    unstable : clusters that do not survive resampling; a question mark follows their number
    """

    points: Floats
    outcomes: Sequence[str]
    clusters: Sequence[str]
    unstable: frozenset[str] = frozenset()


@house_style()
def eigenvalue_panels(analyses: Mapping[str, tuple[Floats, Floats, int]]) -> bytes:
    """Draw the smallest eigenvalues and their gaps, one column an analysis.

    analyses : name → eigenvalues ascending, the gap after each, the number of clusters chosen
        (its bar is filled)
    """
    figure, grid = grid_of(len(analyses), 2, width_in=2.6, height_in=2.1)
    for column, (name, (eigenvalues, gaps, n_clusters)) in enumerate(analyses.items()):
        upper, lower = grid[0, column], grid[1, column]
        values, steps = eigenvalues[:_SHOWN], gaps[:_SHOWN]
        upper.plot(np.arange(1, len(values) + 1), values, "o-", color=PALETTE[0], ms=4)
        number = np.arange(1, len(steps) + 1)
        fill = [PALETTE[1] if k == n_clusters else "white" for k in number]
        lower.bar(number, np.nan_to_num(steps), color=fill, edgecolor=PALETTE[1])
        upper.set_title(f"{name}\nclusters: {n_clusters}")
        lower.set_xlabel("number k")
        for axes in (upper, lower):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    grid[0, 0].set_ylabel("eigenvalue k")
    grid[1, 0].set_ylabel("gap from k to k + 1")
    return to_svg(figure)


@house_style()
def embedding_panels(
    panels: Mapping[tuple[str, str], Embedding], classes: tuple[str, str] = ("", "")
) -> bytes:
    """Draw embeddings by outcome: a column a configuration, a line a space; numbers = clusters.

    panels : (configuration, space) → points; classes : names of the negative and positive class
    """
    configurations = list(dict.fromkeys(c for c, _ in panels))
    spaces = list(dict.fromkeys(s for _, s in panels))
    figure, grid = grid_of(
        len(configurations), len(spaces), width_in=3.1, height_in=3.0, shared=False
    )
    for line, space in enumerate(spaces):
        for column, configuration in enumerate(configurations):
            axes = grid[line, column]
            axes.set(xticks=[], yticks=[])
            axes.set_title(f"Configuration {configuration}, {space}")
            panel = panels.get((configuration, space))
            if panel is None or not len(panel.points):
                empty_panel(axes, "not computed")
            else:
                _scatter(axes, panel)
    figure.legend(handles=_legend(classes), loc="outside lower center", ncols=2)
    return to_svg(figure)


def _scatter(axes: Axes, embedding: Embedding) -> None:
    outcomes = np.asarray(embedding.outcomes)
    for outcome, (marker, colour, filled) in OUTCOMES.items():
        points = embedding.points[outcomes == outcome]
        face = colour if filled else "white"
        axes.scatter(
            points[:, 0],
            points[:, 1],
            s=26,
            marker=marker,
            facecolor=face,
            edgecolor=colour,
            linewidth=1.3,
        )
    clusters = np.asarray(embedding.clusters)
    for name in dict.fromkeys(embedding.clusters):
        x, y = np.median(embedding.points[clusters == name], axis=0)
        shown = f"{name}?" if name in embedding.unstable else name
        axes.text(
            x,
            y,
            shown,
            ha="center",
            va="center",
            fontsize=9,
            fontweight="bold",
            bbox={"boxstyle": "circle", "fc": "white", "ec": "black", "alpha": 0.85},
        )
    axes.margins(0.12)


def _legend(classes: tuple[str, str]) -> list[Line2D]:
    """Negative class in the first column, positive in the second."""
    names = {"TN": classes[0], "FP": classes[0], "FN": classes[1], "TP": classes[1]}
    return [
        Line2D(
            [],
            [],
            ls="",
            marker=OUTCOMES[o][0],
            color=OUTCOMES[o][1],
            markerfacecolor=OUTCOMES[o][1] if OUTCOMES[o][2] else "white",
            label=f"{o} ({names[o]}, {'right' if OUTCOMES[o][2] else 'wrong'})",
        )
        for o in ("TN", "FP", "TP", "FN")
    ]


@house_style()
def cluster_maps(
    background: Floats,
    voxel_mm: tuple[float, ...],
    maps: Mapping[str, Floats],
    *,
    window: tuple[float, float],
    signed: bool = False,
    title: str = "",
) -> bytes:
    """Draw the mean map of every cluster in three planes, a line each, as PNG.

    background, maps : (x, y, z) in RAS order; the same slices and colours for all clusters
    window : values up to the first are transparent, from the second on the last colour
    """
    scene = Scene(background, grey_window(background), voxel_mm)
    layers = {name: Overlay(values, window, signed) for name, values in maps.items()}
    extent = extent_of(scene, list(layers.values()))
    cuts = tuple(cut for plane, n in _SLICES.items() for cut in planes(extent, [plane], n))
    rows = [Row(cuts, layer, name) for name, layer in layers.items()]
    return to_png(draw_sheet(scene, rows, title=title, bar_label="mean relevance").figure)
