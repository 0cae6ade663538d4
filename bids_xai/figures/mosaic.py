"""Brain slices with outlines and maps, as PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bids_xai.arrays import Bools, Floats
from bids_xai.figures.cuts import AXES, crossings, planes
from bids_xai.figures.scene import Overlay, Row, Scene, extent_of, grey_window
from bids_xai.figures.sheet import draw_sheet
from bids_xai.figures.style import house_style, to_png


@house_style()
def mosaic(
    background: Floats,
    voxel_mm: tuple[float, ...],
    *,
    overlay: Floats | None = None,
    window: tuple[float, float] | None = None,
    signed: bool = False,
    outlines: Sequence[Bools] = (),
    outline_labels: Sequence[str] = (),
    slices: int = 6,
    title: str = "",
    colour_bar_label: str = "",
    background_window: tuple[float, float] | None = None,
    origin_mm: tuple[float, ...] | None = None,
    through: Bools | None = None,
) -> bytes:
    """Draw axial, coronal and sagittal slices of one volume, a line each, radiological.

    background, overlay : (x, y, z) in RAS order; outlines : masks drawn as contours
    window : needed with an overlay: values up to the first are transparent, from the second on
        the last colour; where ``signed``, the same for the magnitude, colours run through white
    slices : number a plane, spread through the extent of the overlay (else outlines, background)
    background_window : drawn black and white; default 0 and the 99.5th percentile
    origin_mm : position of voxel (0, 0, 0), writes the position in mm onto each slice
    through : a mask that is small; all slices cut it
    """
    scene = Scene(
        background,
        background_window or grey_window(background),
        voxel_mm,
        tuple(outlines),
        tuple(outline_labels),
        origin_mm,
    )
    if overlay is not None and window is None:
        raise ValueError("an overlay needs its window")
    layer = None if overlay is None or window is None else Overlay(overlay, window, signed)
    rows = [Row(cuts, layer) for cuts in _cuts(scene, layer, slices, through)]
    return to_png(draw_sheet(scene, rows, title=title, bar_label=colour_bar_label).figure)


def _cuts(
    scene: Scene, layer: Overlay | None, slices: int, through: Bools | None
) -> list[tuple[tuple[str, int], ...]]:
    """The slices of every plane: through the small mask, else spread over what there is to see."""
    if through is not None and through.any():
        return [
            tuple((plane, index) for index in crossings(through, axis, slices))
            for plane, axis in AXES.items()
        ]
    extent = extent_of(scene, [layer] if layer else [])
    return [planes(extent, [plane], slices) for plane in AXES]


@house_style()
def strips(
    background: Floats,
    voxel_mm: tuple[float, ...],
    overlays: Mapping[str, Floats],
    *,
    window: tuple[float, float],
    signed: bool = False,
    slices: tuple[int, int] = (5, 2),
    title: str = "",
    colour_bar_label: str = "",
    origin_mm: tuple[float, ...] | None = None,
) -> bytes:
    """Draw several maps over one background, a line each, the same slices and colours for all.

    overlays : label of the line → (x, y, z) in RAS order; at least one
    slices : number of axial and of coronal ones; other parameters as :func:`mosaic`
    """
    scene = Scene(background, grey_window(background), voxel_mm, origin_mm=origin_mm)
    layers = {name: Overlay(values, window, signed) for name, values in overlays.items()}
    extent = extent_of(scene, list(layers.values()))
    cuts = planes(extent, ["axial"], slices[0]) + planes(extent, ["coronal"], slices[1])
    rows = [Row(cuts, layer, name) for name, layer in layers.items()]
    return to_png(draw_sheet(scene, rows, title=title, bar_label=colour_bar_label).figure)
