"""Single volumes by oneDNN: equal to torch, and torch's wherever oneDNN cannot be had."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from bids_xai.models import build
from bids_xai.runtime import convolution
from bids_xai.runtime.convolution import Conv3d, convolve, convolve_transposed

SHAPE = (9, 10, 11)
CASES = [
    (nn.Conv3d(1, 8, 3, padding=1), SHAPE),
    (nn.Conv3d(2, 3, (1, 2, 3), stride=(2, 1, 3), padding=(0, 1, 2)), SHAPE),
    (nn.Conv3d(2, 4, 3, dilation=(1, 2, 1), bias=False), SHAPE),
    (nn.Conv3d(4, 6, 3, groups=2), SHAPE),
    (nn.Conv3d(3, 2, 1), SHAPE),
]


def drawn(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def twin(layer: nn.Conv3d) -> Conv3d:
    """Our layer with the weights of torch's."""
    ours = Conv3d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,  # type: ignore[arg-type]
        layer.stride,  # type: ignore[arg-type]
        layer.padding,  # type: ignore[arg-type]
        layer.dilation,  # type: ignore[arg-type]
        layer.groups,
        layer.bias is not None,
        layer.padding_mode,
    )
    ours.load_state_dict(layer.state_dict())
    return ours


def kernels(layer: nn.Module, x: Tensor) -> set[str]:
    """Which of torch's two kernels a layer is run by."""
    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU]) as seen:
        layer(x)
    names = {event.key for event in seen.key_averages()}
    return names & {"aten::slow_conv3d_forward", "aten::mkldnn_convolution"}


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize(("layer", "shape"), CASES)
def test_values_and_gradients_are_those_of_torch(
    layer: nn.Conv3d, shape: tuple[int, ...], n: int
) -> None:
    ours = twin(layer)
    results = []
    for each in (layer, ours):
        x = drawn(n, layer.in_channels, *shape).requires_grad_()
        y = each(x)
        gradients = torch.autograd.grad(y.square().sum(), [x, *each.parameters()])
        results.append((y.detach(), *gradients))
    torch.testing.assert_close(results[1], results[0], rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), results[0][0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2, (2, 1, 3)])
@pytest.mark.parametrize("n", [1, 2])
def test_the_transpose_is_that_of_torch(n: int, stride: int | tuple[int, int, int]) -> None:
    steps = (stride,) * 3 if isinstance(stride, int) else stride
    left_over = [step - 1 for step in steps]
    x, weight = drawn(n, 4, 5, 6, 7) - 0.5, drawn(4, 2, 3, 3, 3) - 0.5
    expected = functional.conv_transpose3d(x, weight, None, steps, 1, left_over)
    with torch.no_grad():
        given = convolve_transposed(x, weight, steps, (1, 1, 1), left_over)
    assert given.shape == expected.shape
    torch.testing.assert_close(given, expected, rtol=1e-5, atol=1e-6)
    weight.requires_grad_()
    torch.testing.assert_close(
        torch.autograd.grad(
            convolve_transposed(x, weight, steps, (1, 1, 1), left_over).sum(), weight
        ),
        torch.autograd.grad(
            functional.conv_transpose3d(x, weight, None, steps, 1, left_over).sum(), weight
        ),
    )


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")
def test_a_single_volume_takes_the_fast_kernel() -> None:
    layer = nn.Conv3d(1, 8, 3, padding=1)
    x = drawn(1, 1, *SHAPE)
    if kernels(layer, x) != {"aten::slow_conv3d_forward"}:
        pytest.skip("this torch has no slow kernel any more: Conv3d may go")
    assert kernels(twin(layer), x) == {"aten::mkldnn_convolution"}


def test_without_a_graph_channels_lie_last() -> None:
    """Whatever the number of volumes; with a graph the layout is the caller's."""
    layer = Conv3d(2, 8, 3)
    for n in (1, 2):
        x = drawn(n, 2, *SHAPE)
        with torch.no_grad():
            assert layer(x).is_contiguous(memory_format=torch.channels_last_3d)
            assert layer.double()(x.double()).is_contiguous()
        layer.float()
        assert layer(x).is_contiguous()
        y = layer.to(memory_format=torch.channels_last_3d)(x)
        assert y.is_contiguous(memory_format=torch.channels_last_3d)
        layer.to(memory_format=torch.contiguous_format)


def test_without_one_dnn_the_layer_is_torch_s(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = nn.Conv3d(1, 8, 3, padding=1)
    ours, x = twin(layer), drawn(1, 1, *SHAPE)
    with torch.no_grad():
        expected = layer(x)
        monkeypatch.delattr(torch, "mkldnn_convolution")
        assert torch.equal(ours(x), expected)
        monkeypatch.undo()
        torch.backends.mkldnn.enabled = False  # flags() there warns of GPUs
        try:
            assert torch.equal(ours(x), expected)
            assert kernels(ours, x) == {"aten::slow_conv3d_forward"}
        finally:
            torch.backends.mkldnn.enabled = True


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (nn.Conv3d(1, 2, 3).double(), drawn(1, 1, *SHAPE).double()),
        (nn.Conv3d(1, 2, 3).bfloat16(), drawn(1, 1, *SHAPE).bfloat16()),
        (nn.Conv3d(1, 2, 3, padding=1, padding_mode="circular"), drawn(1, 1, *SHAPE)),
        (nn.Conv3d(1, 2, 3, padding="same"), drawn(1, 1, *SHAPE)),
        (nn.Conv3d(1, 2, 3), drawn(1, *SHAPE)),
        (nn.Conv3d(1, 2, 3), drawn(2, 1, *SHAPE)),
    ],
)
def test_whatever_else_is_torch_s(layer: nn.Conv3d, x: Tensor) -> None:
    ours = twin(layer).to(x.dtype)
    assert torch.equal(ours(x), layer(x))
    with torch.no_grad():
        torch.testing.assert_close(ours(x), layer(x))


def test_autocast_has_its_precision() -> None:
    ours, x = twin(nn.Conv3d(1, 2, 3)), drawn(1, 1, *SHAPE)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert ours(x).dtype == torch.bfloat16


@pytest.mark.parametrize("shape", [(1, 1, 2, 5, 5), (1, 2, 5, 5, 5)])
def test_what_cannot_be_is_refused_as_by_torch(shape: tuple[int, ...]) -> None:
    """Too few voxels, other channels."""
    layer, x = nn.Conv3d(1, 2, 3), torch.zeros(shape)
    with pytest.raises(RuntimeError) as expected:
        layer(x)
    for with_graph in (True, False):
        with torch.set_grad_enabled(with_graph), pytest.raises(RuntimeError) as raised:
            twin(layer)(x)
        assert str(raised.value) == str(expected.value)


def test_no_volume_is_no_error() -> None:
    assert convolve(torch.zeros(0, 1, 5, 5, 5), torch.ones(2, 1, 3, 3, 3)).shape == (0, 2, 3, 3, 3)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")
def test_only_small_planes_are_slow() -> None:
    """The limit is that of torch: beyond it, the kernel is oneDNN's without us."""
    layer = nn.Conv3d(1, 2, 3, padding=1)
    assert kernels(layer, drawn(1, 1, 160, 128, 3)) == {"aten::slow_conv3d_forward"}
    assert kernels(layer, drawn(1, 1, 160, 129, 3)) == {"aten::mkldnn_convolution"}
    assert convolution.SMALL == 160 * 128


@pytest.mark.parametrize("name", ["graz", "boehle", "gap3"])
def test_a_volume_alone_gets_what_it_gets_in_company(name: str) -> None:
    shape = (80, 80, 80) if name == "boehle" else (24, 26, 28)
    model = build(name, shape, seed=1).eval()
    volumes = drawn(2, 1, *shape)
    with torch.no_grad():
        alone = torch.cat([model(volume[None]) for volume in volumes])
        torch.testing.assert_close(alone, model(volumes), rtol=1e-6, atol=1e-6)
