"""SynthStrip's network against torch modules of the published layout, and the way to its grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from bids_xai.bids.images import Volume
from bids_xai.core.masks import dice
from bids_xai.errors import BadDataError, NoInputError
from bids_xai.stages.synthstrip import SynthStrip, conformed_grid, load_synthstrip, synthstrip_mask


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


class Block(nn.Module):
    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(n_in, n_out, 3, padding=1)


class Small(nn.Module):
    """Two levels of the layout, each wired by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(
            [nn.ModuleList([Block(1, 2), Block(2, 2)]), nn.ModuleList([Block(2, 3), Block(3, 3)])]
        )
        self.decoder = nn.ModuleList(
            [nn.ModuleList([Block(3, 4), Block(4, 4)]), nn.ModuleList([Block(7, 3), Block(3, 3)])]
        )
        self.remaining = nn.ModuleList([Block(5, 2), Block(2, 2), Block(2, 1)])

    def forward(self, x: Any) -> Any:
        def act(block: Any, x: Any) -> Any:
            y = block.conv(x)
            return torch.maximum(y, 0.2 * y)

        up = nn.Upsample(scale_factor=2, mode="nearest")
        (a, b), (c, d) = self.encoder
        (e, f), (g, h) = self.decoder
        first = act(b, act(a, x))
        second = act(d, act(c, nn.MaxPool3d(2)(first)))
        y = act(f, act(e, nn.MaxPool3d(2)(second)))
        y = act(h, act(g, torch.cat([up(y), second], 1)))
        y = torch.cat([up(y), first], 1)
        return self.remaining[2].conv(act(self.remaining[1], act(self.remaining[0], y)))


@pytest.fixture
def small() -> Small:
    torch.manual_seed(0)
    return Small().eval()


def test_the_network_is_that_of_the_layout(small: Small, tmp_path: Path) -> None:
    torch.save({"model_state_dict": small.state_dict()}, tmp_path / "model.pt")
    image = torch.rand(1, 1, 8, 12, 16)
    with torch.no_grad():
        found, expected = load_synthstrip(tmp_path / "model.pt")(image), small(image)
    assert found.shape == image.shape
    torch.testing.assert_close(found, expected)


def test_other_files_are_refused(small: Small, tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match="no SynthStrip model"):
        load_synthstrip(tmp_path / "nothing.pt")
    (tmp_path / "text.pt").write_text("no model")
    torch.save({"fc.weight": torch.zeros(2, 3)}, tmp_path / "other.pt")
    code = {"model_state_dict": small.state_dict(), "trap": Trap(tmp_path / "sprung")}
    torch.save(code, tmp_path / "pickled.pt")
    for name in ("text.pt", "other.pt", "pickled.pt"):
        with pytest.raises(BadDataError, match="not a SynthStrip model"):
            load_synthstrip(tmp_path / name)
    assert not (tmp_path / "sprung").exists()
    with pytest.raises(ValueError, match="U-Net"):
        SynthStrip({k: v for k, v in small.state_dict().items() if "decoder.1" not in k})


def head() -> tuple[Volume, NDArray[np.bool_]]:
    """A ball, radius 45 mm, off the centre of an oblique grid whose axes are A, S, R."""
    turn = nib.affines.from_matvec(
        nib.eulerangles.euler2mat(0.1, 0.05, -0.08)
        @ np.array([[0, 0, 1.0], [1, 0, 0], [0, 1, 0]])
        @ np.diag([1.5, 1.2, 2.0]),
        [-60, -70, -75],
    )
    where = np.moveaxis(np.indices((100, 116, 58)), 0, -1) @ turn[:3, :3].T + turn[:3, 3]
    ball = np.linalg.norm(where - [3, 10, 4], axis=-1) < 45
    return Volume(np.where(ball, 100.0, 20.0).astype(np.float32), turn), ball


def test_the_grid_is_lia_at_1_mm_around_the_same_centre() -> None:
    volume, _ = head()
    affine, shape = conformed_grid(volume)
    assert nib.aff2axcodes(affine) == ("L", "I", "A")
    np.testing.assert_allclose(nib.affines.voxel_sizes(affine), 1)
    assert shape == (192, 192, 192)
    centre = affine @ [*((np.array(shape) - 1) / 2), 1]
    own = volume.affine @ [*((np.array(volume.data.shape) - 1) / 2), 1]
    np.testing.assert_allclose(centre, own)
    long = Volume(np.zeros((200, 400, 150), np.float32), np.eye(4))  # R, A, S
    assert conformed_grid(long)[1] == (256, 192, 320)


def test_the_mask_comes_back_to_the_grid_of_the_head() -> None:
    volume, ball = head()
    seen = []

    def network(image: Any) -> Any:
        seen.append(image)
        return torch.where(image > 0.6, -3.0, 5.0)

    found = synthstrip_mask(volume, network)
    assert found.shape == volume.data.shape
    assert dice(found, ball) > 0.97
    assert float(seen[0].min()) == 0
    assert float(seen[0].max()) == 1
    wider = synthstrip_mask(volume, network, border_mm=4.0)
    assert wider.sum() > found.sum()
    with pytest.raises(BadDataError, match="found no brain"):
        synthstrip_mask(volume, lambda image: image + 50.0)
    with pytest.raises(BadDataError, match="no contrast"):
        synthstrip_mask(Volume(volume.data * 0, volume.affine), network)
