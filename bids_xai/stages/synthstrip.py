"""Brain mask by SynthStrip's network, from a model file of the user's (no weights are shipped).

SynthStrip (Hoopes et al. 2022, doi:10.1016/j.neuroimage.2022.119474) is a U-Net that predicts the
signed distance (mm) to the surface of the brain. Its published file ``synthstrip.1.pt`` holds a
``model_state_dict`` with ``encoder.<level>.<n>.conv``, ``decoder.<level>.<n>.conv`` and
``remaining.<n>.conv``; number and width of the layers are read from it. Written from that
description; **not checked against the published file**, which this project cannot download.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_xai.arrays import Bools, Floats32, Floats64
from bids_xai.bids.images import Volume
from bids_xai.core.masks import largest_component
from bids_xai.errors import BadDataError, NoInputError

Layers = list[tuple[Any, Any]]  # (weight, bias) of one convolution after the other

_KEY = re.compile(r"(encoder|decoder)\.(\d+)\.(\d+)\.conv\.weight|remaining\.(\d+)\.conv\.weight")
_LIA = ("L", "I", "A")
_LEAK = 0.2
_SIZES = (192, 320)  # the grid is padded or cropped to multiples of 64 between these
_FAR_MM = 100.0


class SynthStrip:
    """The network. ``encoder`` and ``decoder`` hold lists of layers a level, ``last`` the rest."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        groups: dict[tuple[str, int], dict[int, tuple[Any, Any]]] = {}
        for key, weight in state.items():
            match = _KEY.fullmatch(key)
            if match:
                part, level, number, last = match.groups()
                group = (part, int(level)) if part else ("remaining", 0)
                bias = state[key[: -len("weight")] + "bias"]
                groups.setdefault(group, {})[int(number or last or 0)] = (weight, bias)
        self.encoder = _levels(groups, "encoder")
        self.decoder = _levels(groups, "decoder")
        self.last = next(iter(_levels(groups, "remaining")), [])
        if not self.encoder or len(self.encoder) != len(self.decoder) or not self.last:
            raise ValueError("encoder, decoder and remaining layers do not form a U-Net")

    def __call__(self, image: Any) -> Any:
        """Return the signed distance (1, 1, x, y, z) of a batch of one image in [0, 1].

        Axes must be multiples of 2 to the number of levels.
        """
        import torch
        from torch.nn import functional

        seen, x = [image], image
        for layers in self.encoder:
            x = _convolve(x, layers)
            seen.append(x)
            x = functional.max_pool3d(x, 2)
        for layers in self.decoder:
            x = functional.interpolate(_convolve(x, layers), scale_factor=2, mode="nearest")
            x = torch.cat([x, seen.pop()], dim=1)
        weight, bias = self.last[-1]
        return functional.conv3d(_convolve(x, self.last[:-1]), weight, bias, padding=1)


def load_synthstrip(path: Path) -> SynthStrip:
    """Read a model file; only tensors are unpickled, no code.

    Raises :class:`NoInputError` where there is none, :class:`BadDataError` for another file.
    """
    import torch

    if not path.is_file():
        raise NoInputError(
            "no SynthStrip model", file=path, fix="give the path of FreeSurfer's synthstrip.1.pt"
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        return SynthStrip(content.get("model_state_dict", content))
    except (RuntimeError, ValueError, KeyError, AttributeError, EOFError, pickle.PickleError) as e:
        raise BadDataError(
            f"not a SynthStrip model ({str(e)[:120]})",
            file=path,
            fix="use the file synthstrip.1.pt of FreeSurfer 7.3 or later",
        ) from e


def synthstrip_mask(head: Volume, network: Any, *, border_mm: float = 1.0) -> Bools:
    """Return the brain mask (x, y, z) on the grid of ``head``.

    network : (1, 1, x, y, z) image in [0, 1] → signed distance in mm; e.g. :func:`load_synthstrip`
    border_mm : the surface is moved outwards by so much (1 mm is SynthStrip's default)

    The image is sampled at 1 mm in LIA order on a grid of 192, 256 or 320 voxels an axis, shifted
    to a minimum of 0 and scaled to its 99th percentile. Raises :class:`BadDataError` where the
    image has no contrast or the network finds no brain.
    """
    import torch

    affine, shape = conformed_grid(head)
    values = _sample(np.nan_to_num(head.data), head.affine, affine, shape, 0.0)
    values -= values.min()
    top = np.percentile(values, 99)
    if not top > 0:
        raise BadDataError("the image has no contrast", fix="check the file; it may be empty")
    scaled = np.clip(values / top, 0, 1).astype(np.float32)
    with torch.no_grad():
        distance = network(torch.from_numpy(scaled)[None, None])[0, 0].numpy()
    back = _sample(distance, affine, head.affine, head.data.shape, _FAR_MM)
    inside = back < border_mm
    if not inside.any():
        raise BadDataError("SynthStrip found no brain", fix="check the T1w image and the model")
    return np.asarray(ndimage.binary_fill_holes(largest_component(inside)))


def conformed_grid(head: Volume) -> tuple[Floats64, tuple[int, int, int]]:
    """Return affine and shape of the 1 mm LIA grid with the same centre."""
    import nibabel as nib

    turn = nib.orientations.ornt_transform(
        nib.io_orientation(head.affine), nib.orientations.axcodes2ornt(_LIA)
    )
    extent = np.empty(3)
    extent[turn[:, 0].astype(int)] = np.array(head.data.shape) * head.voxel_mm
    blocks = np.ceil(np.ceil(extent - 1e-3) / 64).astype(int) * 64
    shape = np.clip(blocks, *_SIZES)
    affine = np.eye(4)
    affine[:3, :3] = [[-1, 0, 0], [0, 0, 1], [0, -1, 0]]
    centre = head.affine[:3, :3] @ ((np.array(head.data.shape) - 1) / 2) + head.affine[:3, 3]
    affine[:3, 3] = centre - affine[:3, :3] @ ((shape - 1) / 2)
    return affine, (int(shape[0]), int(shape[1]), int(shape[2]))


def _sample(
    data: NDArray[Any],
    source: NDArray[Any],
    target: NDArray[Any],
    shape: tuple[int, ...],
    outside: float,
) -> Floats32:
    to_source = np.linalg.inv(source) @ target
    return np.asarray(
        ndimage.affine_transform(
            np.asarray(data, dtype=np.float32),
            to_source[:3, :3],
            to_source[:3, 3],
            output_shape=shape,
            order=1,
            mode="constant",
            cval=outside,
        )
    )


def _levels(
    groups: Mapping[tuple[str, int], dict[int, tuple[Any, Any]]], part: str
) -> list[Layers]:
    levels = sorted(level for name, level in groups if name == part)
    return [[layers for _, layers in sorted(groups[part, level].items())] for level in levels]


def _convolve(x: Any, layers: Layers) -> Any:
    from torch.nn import functional

    for weight, bias in layers:
        x = functional.leaky_relu(functional.conv3d(x, weight, bias, padding=1), _LEAK)
    return x
