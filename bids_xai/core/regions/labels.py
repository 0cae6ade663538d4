"""Label images: whole numbers, places of labels, and the sides of names.

Published label tables are often wrong; left and right swapped is the most frequent mistake and
the easiest to see: a name that claims a side must lie on that side of x = 0 (world mm, RAS).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bids_xai.arrays import Floats64, Ints
from bids_xai.core.grids import nearest_on_grid
from bids_xai.errors import BadDataError

Side = Literal["left", "right"]

MIDLINE_MM = 2.0  # a centroid nearer to x = 0 says nothing about its side
_LARGEST = int(np.iinfo(np.int32).max)
_NEAREST_INT = 1e-3  # scaled integers come back this close to whole numbers


@dataclass(frozen=True, kw_only=True)
class LabelCentroids:
    """Where labels are, every field in the order of ``values``.

    values : (n_labels,) label values without 0 (background), ascending
    n_voxels : (n_labels,) size in voxels, at least 1
    centroids_mm : (n_labels, 3) mean position of the voxels' centres, world mm RAS
    """

    values: Ints
    n_voxels: Ints
    centroids_mm: Floats64


@dataclass(frozen=True)
class SwappedLabel:
    """A label whose name claims one side while its centroid, ``x_mm`` in RAS, is on the other."""

    index: int
    name: str
    x_mm: float


def whole_labels(data: NDArray[Any]) -> NDArray[np.int32]:
    """Return a label image of any type as int32.

    data : any shape, whole numbers from 0 to 2**31 - 1 (within 0.001); NaN, which some tools
        write outside the brain, is background.
    Raises ``BadDataError`` for fractions, negative, infinite or larger values.
    """
    if data.dtype.kind in "biu":
        whole = data
    else:
        values = np.nan_to_num(data, nan=0.0, posinf=np.inf, neginf=-np.inf)
        whole = np.rint(values)
        with np.errstate(invalid="ignore"):  # inf - inf
            broken = ~(np.abs(values - whole) <= _NEAREST_INT)
        if broken.any():
            raise BadDataError(
                f"an atlas contains whole numbers, this image has {_shown(values[broken][0])} "
                f"(in {int(broken.sum())} voxels)",
                fix="give a label image (dseg); resample label images by nearest neighbour; for "
                "probability maps, use the most probable region of each voxel",
            )
    if whole.size and (whole.min() < 0 or whole.max() > _LARGEST):
        worst = whole.min() if whole.min() < 0 else whole.max()
        raise BadDataError(
            f"labels are numbers from 0 to {_LARGEST}, this image has {_shown(worst)}",
            fix="renumber the regions and write the same numbers into the label table",
        )
    return np.asarray(whole.astype(np.int32))


def _shown(value: Any) -> str:
    return f"{float(value):.10g}"


def label_centroids_mm(labels: NDArray[Any], affine: Floats64) -> LabelCentroids:
    """Return size and centroid of every label in one pass over the labelled voxels.

    labels : (x, y, z) integers, 0 = background, values of any size
    affine : (4, 4) voxel indices to world mm RAS
    """
    where = np.nonzero(labels)
    values, inverse = np.unique(labels[where], return_inverse=True)
    counts = np.bincount(inverse, minlength=values.size)
    sums = [np.bincount(inverse, weights=axis, minlength=values.size) for axis in where]
    voxels = np.column_stack(sums) / np.maximum(counts, 1)[:, None]
    return LabelCentroids(
        values=values.astype(np.int64),
        n_voxels=counts.astype(np.int64),
        centroids_mm=np.asarray(voxels @ affine[:3, :3].T + affine[:3, 3], dtype=np.float64),
    )


def swapped_sides(
    names: Sequence[tuple[int, str]], centroids: LabelCentroids
) -> tuple[SwappedLabel, ...]:
    """Return the labels whose name claims the side they are not on, in the order of ``names``.

    names : (label value, name) pairs. Names without a side, labels without voxels and centroids
        less than ``MIDLINE_MM`` from x = 0 are no evidence.
    """
    x_mm = dict(zip(centroids.values.tolist(), centroids.centroids_mm[:, 0].tolist(), strict=True))
    swapped = []
    for index, name in names:
        side, x = side_of_name(name), x_mm.get(index, 0.0)
        if side is not None and abs(x) >= MIDLINE_MM and (x < 0) != (side == "left"):
            swapped.append(SwappedLabel(index, name, x))
    return tuple(swapped)


def to_ranks(labels: NDArray[Any]) -> tuple[NDArray[np.int32], Ints]:
    """Return labels as small numbers, for tools that know images as float32 only (ANTs).

    labels : any shape, integers >= 0. Returns (ranks, values): ranks are 0 for 0 (background),
    ``values[ranks]`` are the labels again. float32 would join labels above 2**24.
    """
    values, ranks = np.unique(np.append(labels.ravel(), 0), return_inverse=True)
    return ranks[:-1].reshape(labels.shape).astype(np.int32), values.astype(np.int64)


def share_inside(
    labels: NDArray[Any], affine: Floats64, mask: NDArray[Any], mask_affine: Floats64
) -> float:
    """Return the share (0 to 1) of labelled voxels whose centre lies in a mask on another grid.

    labels, mask : (x, y, z) each with its own affine; NaN where nothing is labelled.
    """
    on_labels = nearest_on_grid(mask, mask_affine, labels.shape, affine) > 0
    labelled = labels != 0
    return float(on_labels[labelled].mean()) if labelled.any() else float("nan")


# Which side a name claims. A false claim would refuse a correct atlas, so a lone letter counts
# only where atlases put it; words count anywhere.
_WORD = re.compile(r"(?<![A-Za-z])(left|right)(?![A-Za-z])", re.IGNORECASE)
_CAMEL = re.compile(r"(?:(?<![A-Za-z])|(?<=[a-z]))(Left|Right)(?=[A-Z]|(?![A-Za-z]))")
_LOWER_CAMEL = re.compile(r"(?<![A-Za-z])(left|right)(?=[A-Z])")
_HEMISPHERE = re.compile(r"(?<![A-Za-z0-9(\[])(lh|rh|LH|RH)(?![A-Za-z0-9])")
_BRACKETED = re.compile(r"[(\[]\s*([LR])\s*[)\]]", re.IGNORECASE)
_UPPER_FIRST = re.compile(r"^\W*([LR])(?=[\W_]+[A-Za-z0-9])")
_LOWER_FIRST = re.compile(r"^\W*([lr])(?=[_.\-][A-Za-z0-9])")
_UPPER_LAST = re.compile(r"(?<=[\W_])([LR])(?=(?:[\W_]+\d+)*\W*$)")
_LOWER_LAST = re.compile(r"(?<=[A-Za-z0-9)\]][_.\-])([lr])(?=(?:[_.\-]\d+)*$)")
_WORDS = (_WORD, _CAMEL, _LOWER_CAMEL)
_LETTERS = (_HEMISPHERE, _BRACKETED, _UPPER_FIRST, _UPPER_LAST, _LOWER_FIRST, _LOWER_LAST)
_SEPARATORS = " \t_-.,;:/"


def side_of_name(name: str) -> Side | None:
    """Return the side a region's name claims, ``None`` where it claims none or both.

    Understood: the words left and right anywhere (``Left-Thalamus``, ``thalamus_left``,
    ``LeftThalamus``); ``lh`` and ``rh`` set apart (``ctx-rh-insula``, ``7Networks_LH_Vis_1``);
    one letter first, last, before nothing but numbers, or in brackets (``L_Tapetum``,
    ``Rectus_R``, ``SFG_L_7_1``, ``Thalamus (L)``). ``Lateral``, ``L5`` and ``VPL`` claim nothing.
    """
    sides = {side for side, _, _ in _claims(name)}
    return sides.pop() if len(sides) == 1 else None


def without_side(name: str) -> str:
    """Return the name both sides of a region share: ``Left-Thalamus`` → ``Thalamus``.

    Names that claim no side, and names that are nothing but a side, come back unchanged. Halves
    that share a name need not be homologous (parcel 3 of a network is not its mirror image).
    """
    if side_of_name(name) is None:
        return name
    words = sorted(_matches(_WORDS, name), key=lambda claim: -claim[1])
    return _cut(name, _claims(name)) or _cut(name, words) or name


def _cut(name: str, claims: Sequence[tuple[Side, int, int]]) -> str:
    """Remove claims, given last one first."""
    for _, start, end in claims:
        name = _joined(name[:start], name[end:])
    return name.strip(_SEPARATORS)


def _joined(before: str, after: str) -> str:
    """Join what was on both sides of a removed word, with one separator and no empty brackets."""
    if re.search(r"[(\[]\s*$", before) and re.match(r"\s*[)\]]", after):
        before = re.sub(r"[(\[]\s*$", "", before)
        after = re.sub(r"^\s*[)\]]", "", after)
    if not re.search(r"[A-Za-z0-9)\]]", before):
        return after
    if re.search(r"[\s_\-.,;:/]$", before) and re.match(r"[\s_\-.,;:/]", after):
        after = after.lstrip(_SEPARATORS)
    return before + after


def _claims(name: str) -> list[tuple[Side, int, int]]:
    """Return (side, start, end) of every claim of a name, last one first.

    After a word, letters that agree are claims too (``Left Putamen L``); others are part of the
    name (``Left area R``).
    """
    words, letters = _matches(_WORDS, name), _matches(_LETTERS, name)
    if words:
        sides = {side for side, _, _ in words}
        letters = {claim for claim in letters if claim[0] in sides}
    else:  # a letter beside nothing but numbers is no region's side: L_5 is a vertebra
        letters = {c for c in letters if re.search("[A-Za-z]", name[: c[1]] + name[c[2] :])}
    return sorted(words | letters, key=lambda claim: -claim[1])


def _matches(patterns: Sequence[re.Pattern[str]], name: str) -> set[tuple[Side, int, int]]:
    matches = (match for pattern in patterns for match in pattern.finditer(name))
    return {(_side(match[1]), match.start(1), match.end(1)) for match in matches}


def _side(word: str) -> Side:
    return "left" if word[0] in "lL" else "right"
