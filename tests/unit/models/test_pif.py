"""Patch individual filters against plain loops."""

from __future__ import annotations

import copy
from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bids_xai.errors import UsageError
from bids_xai.models.pif import PIF3d

GRID = (7, 9, 5)
PATCH = (4, 3, 2)
Array = NDArray[np.float64]


def layer(grid: tuple[int, ...] = GRID, patch: tuple[int, ...] = PATCH, **options: bool) -> PIF3d:
    torch.manual_seed(3)
    return PIF3d(2, 3, grid, patch, **options).double()


def volumes(grid: tuple[int, ...] = GRID, n: int = 2) -> Tensor:
    return torch.rand(n, 2, *grid, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def slow_set(
    x: Array, weight: Array, bias: Array, patch: tuple[int, ...], start: list[int], whole: bool
) -> tuple[Array, Array]:
    """One set of patches voxel by voxel: output and number of patches (c, x, y, z) at each voxel.

    weight : (n_patches, out, in, 3, 3, 3)
    """
    grid = x.shape[1:]
    out, hits = np.zeros((weight.shape[1], *grid)), np.zeros(grid)
    corners = [
        [c for c in range(s, n, p) if not whole or c + p <= n]
        for s, n, p in zip(start, grid, patch, strict=True)
    ]
    for index, corner in enumerate(product(*corners)):
        inside = [range(c, min(c + p, n)) for c, p, n in zip(corner, patch, grid, strict=True)]
        for voxel in product(*inside):
            hits[voxel] += 1
            total = bias[index].copy()
            for step in product((-1, 0, 1), repeat=3):
                seen = tuple(v + s for v, s in zip(voxel, step, strict=True))
                if all(v in axis for v, axis in zip(seen, inside, strict=True)):
                    kernel = weight[index][(slice(None), slice(None), *(s + 1 for s in step))]
                    total += kernel @ x[(slice(None), *seen)]
            out[(slice(None), *voxel)] = total
    return out, hits


def slow(pif: PIF3d, x: Tensor) -> Tensor:
    """The layer from its definition."""
    results = []
    for sample in x.numpy():
        sets = []
        for number, (weight, bias) in enumerate(pif.weights()):
            start = [size // 2 for size in pif.patch_shape] if number else [0, 0, 0]
            w = weight.detach().numpy().reshape(-1, 3, *weight.shape[1:])
            b = bias.detach().numpy().reshape(-1, 3)
            sets.append(slow_set(sample, w, b, pif.patch_shape, start, whole=bool(number)))
        out = sum(value for value, _ in sets) / sum(hits for _, hits in sets)
        results.append(torch.from_numpy(out))
    return torch.stack(results)


@pytest.mark.parametrize(
    ("grid", "patch"),
    [
        (GRID, PATCH),
        ((8, 6, 4), (4, 3, 2)),  # without a remainder
        ((5, 7, 6), (5, 5, 5)),  # nothing shifted fits
        ((2, 3, 4), (5, 5, 5)),  # less than one patch
        ((5, 4, 3), (1, 2, 2)),  # not shifted on the first axis
    ],
)
@pytest.mark.parametrize("shifted", [True, False])
def test_equals_plain_loops(grid: tuple[int, ...], patch: tuple[int, ...], shifted: bool) -> None:
    pif, x = layer(grid, patch, shifted=shifted), volumes(grid)
    torch.testing.assert_close(pif(x).detach(), slow(pif, x), rtol=1e-12, atol=1e-12)


def test_number_of_patches() -> None:
    assert len(layer().weight) == 3 * (2 * 3 * 3)  # ceil(7/4), ceil(9/3), ceil(5/2)
    assert len(layer().shifted_weight) == 3 * (1 * 2 * 2)  # (7-2)//4, (9-1)//3, (5-1)//2
    assert layer().n_patches == 18 + 4
    paper = PIF3d(64, 6, (15, 19, 15), 5)
    assert paper.n_patches == 3 * 4 * 3 + 2 * 3 * 2
    assert layer(shifted=False).shifted_weight is None
    assert layer((5, 7, 6), (5, 5, 5)).shifted_weight is None
    assert layer(patch=(1, 1, 1)).shifted_weight is None  # a shift of half a voxel is none


def test_one_patch_is_an_ordinary_convolution() -> None:
    pif = layer((4, 5, 6), (4, 5, 6))
    convolution = nn.Conv3d(2, 3, 3, padding=1).double()
    convolution.load_state_dict({"weight": pif.weight, "bias": pif.bias})
    x = volumes((4, 5, 6))
    torch.testing.assert_close(pif(x), convolution(x))


def test_it_is_affine() -> None:
    pif = layer()
    x, y = volumes(), volumes().flip(2)
    torch.testing.assert_close(pif(0.3 * x + 0.7 * y), 0.3 * pif(x) + 0.7 * pif(y))

    def linear(z: Tensor) -> Tensor:
        return pif.apply_weights(z, lambda w: w, with_bias=False)

    torch.testing.assert_close(linear(3 * x - 2 * y), 3 * linear(x) - 2 * linear(y))
    torch.testing.assert_close(linear(x) + pif(torch.zeros_like(x)), pif(x))


def test_apply_weights_is_the_layer_with_other_weights() -> None:
    pif, x = layer(), volumes()
    other = copy.deepcopy(pif)
    with torch.no_grad():
        for weight, _ in other.weights():
            weight.clamp_(min=0)
    clamped = pif.apply_weights(x, lambda w: w.clamp(min=0), with_bias=True)
    torch.testing.assert_close(clamped, other(x))
    with torch.no_grad():
        for _, bias in other.weights():
            bias.zero_()
    clamped = pif.apply_weights(x, lambda w: w.clamp(min=0), with_bias=False)
    torch.testing.assert_close(clamped, other(x))
    assert not torch.equal(pif(x), other(x))


def test_gradients_are_averaged_where_both_sets_are() -> None:
    """As the paper asks for: half of what either set would give alone."""
    pif, x = layer(), volumes(n=1).requires_grad_()
    plain = layer(shifted=False)
    plain.load_state_dict({"weight": pif.weight, "bias": pif.bias})
    both = pif.plain_share == 0.5
    assert both.sum() == (4 * 6 * 4)
    assert both[2:6, 1:7, 1:5].all()
    torch.testing.assert_close(pif(x)[..., ~both], plain(x)[..., ~both])

    def gradient(values: Tensor) -> Tensor:
        return torch.autograd.grad(values[..., both].sum(), x, retain_graph=True)[0]

    shifted = torch.nn.functional.conv3d(
        torch.cat([x[:, :, 2:6, y : y + 3, z : z + 2] for y, z in product((1, 4), (1, 3))], dim=1),
        pif.shifted_weight,
        pif.shifted_bias,
        padding=1,
        groups=4,
    )
    alone = torch.autograd.grad(shifted.sum(), x)[0]
    torch.testing.assert_close(gradient(pif(x)), (gradient(plain(x)) + alone) / 2)


def test_derivatives_of_first_and_second_order() -> None:
    torch.manual_seed(0)
    pif = PIF3d(1, 1, (3, 4, 2), (2, 3, 2)).double()
    x = torch.rand(1, 1, 3, 4, 2, dtype=torch.float64, requires_grad=True)
    weights = [weight for weight, _ in pif.weights()]
    assert torch.autograd.gradcheck(lambda x, *_: pif(x), (x, *weights))
    squared = lambda x, *_: pif(x) ** 2  # noqa: E731
    assert torch.autograd.gradgradcheck(squared, (x, *weights))


def test_patch_slices_are_the_voxels_a_patch_writes_to() -> None:
    pif, x = layer(), volumes(n=1)
    boxes, before = pif.patch_slices(), pif(x).detach()
    rows = [(weight, i) for weight, _ in pif.weights() for i in range(0, len(weight), 3)]
    assert len(boxes) == len(rows)
    for box, (weight, row) in zip(boxes, rows, strict=True):
        with torch.no_grad():
            weights_before = weight[row : row + 3].clone()
            weight[row : row + 3] += 1
            changed = (pif(x) != before).any(dim=1)[0]
            weight[row : row + 3] = weights_before
        inside = torch.zeros(GRID, dtype=torch.bool)
        inside[box] = True
        assert torch.equal(changed, inside)


def test_the_plain_patches_tile_the_map_and_the_shifted_ones_are_whole() -> None:
    pif = layer()
    hits = torch.zeros(GRID, dtype=torch.int64)
    for box in pif.patch_slices()[:18]:
        assert all(axis.stop <= n for axis, n in zip(box, GRID, strict=True))
        hits[box] += 1
    assert (hits == 1).all()
    for box in pif.patch_slices()[18:]:
        assert tuple(axis.stop - axis.start for axis in box) == PATCH
        hits[box] += 1
    assert torch.equal(hits == 2, pif.plain_share == 0.5)


def test_no_patch_sees_beyond_its_borders() -> None:
    pif, x = layer(shifted=False), volumes(n=1)
    changed = x.clone()
    changed[:, :, 3, 2, 1] += 1  # the last voxel of the first patch
    difference = (pif(x) != pif(changed)).any(dim=1)[0]
    assert difference[2:4, 1:3, 0:2].all()
    assert difference.sum() == 2 * 2 * 2


def test_state_and_precision() -> None:
    pif = layer()
    assert sorted(pif.state_dict()) == ["bias", "shifted_bias", "shifted_weight", "weight"]
    assert pif.float()(volumes().float()).dtype == torch.float32
    assert "input_shape=(7, 9, 5)" in repr(pif)


def test_impossible_sizes_and_other_grids_are_refused() -> None:
    for wrong in ((2, 3, (4, 5), 2), (2, 3, (4, 5, 6), 0), (0, 3, (4, 5, 6), 2)):
        with pytest.raises(UsageError, match="cannot be built"):
            PIF3d(*wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="odd kernel"):
        PIF3d(2, 3, (4, 5, 6), 2, 2)
    with pytest.raises(UsageError, match=r"\(7, 9, 6\) voxels does not fit a PIF layer"):
        layer()(volumes((7, 9, 6)))
