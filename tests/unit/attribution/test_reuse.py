"""What is not computed again equals what is: changed boxes, and relevance of changed layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from chains import conv_net, maps, patch_net, scramble, six_convolutions
from torch import Tensor, nn

from bids_xai.attribution import METHODS, explain
from bids_xai.attribution.randomization import MODES, randomised, stages
from bids_xai.attribution.reuse import stepped
from bids_xai.attribution.reuse.relevance import explain_again
from bids_xai.attribution.reuse.stepped import SteppedForward
from bids_xai.attribution.steps import Convolution
from bids_xai.errors import UsageError
from bids_xai.models import build

LARGE = (17, 16, 19)
NETS = {
    "strides": lambda: scramble(build("graz", LARGE, seed=1)),
    "pooling": lambda: scramble(build("gap3", LARGE, seed=1)),
    "dilation": lambda: scramble(
        nn.Sequential(
            nn.Conv3d(1, 2, 3, padding=1),
            nn.BatchNorm3d(2),
            nn.ELU(),
            nn.MaxPool3d((2, 3, 2), padding=(0, 1, 1)),
            nn.Conv3d(2, 3, (3, 1, 2), stride=(2, 1, 2), padding=(1, 0, 2), dilation=(1, 1, 2)),
            nn.ReLU(),
            nn.AvgPool3d((1, 2, 1), padding=(0, 1, 0)),
            nn.Conv3d(3, 2, 1),
            nn.Flatten(),
            nn.Linear(2 * 4 * 4 * 6, 2),
        )
    ),
    "cut off": lambda: scramble(
        nn.Sequential(nn.MaxPool3d((3, 1, 4)), nn.Flatten(), nn.Linear(5 * 16 * 4, 2))
    ),
    "no chain": lambda: scramble(_Whole()),
}


class _Whole(nn.Module):
    """Nothing that a change could be followed through."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(LARGE[0], 2)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.dense(x.mean(dim=(1, 3, 4)))
        return logits


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("share", [0.5, 100.0])
@pytest.mark.parametrize("at_once", [1, 2**18])
def test_steps_equal_whole_passes(
    net: str, share: float, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a share of 100 windows are run everywhere, also where they overlap."""
    monkeypatch.setattr(stepped, "SHARE", share)
    monkeypatch.setattr(stepped, "AT_ONCE", at_once)
    model, generator = NETS[net](), torch.Generator().manual_seed(2)
    volume, others = torch.rand(4, 1, *LARGE, generator=generator).double().split([1, 3])
    changed, edge = volume.repeat(3, 1, 1, 1, 1), torch.tensor([3, 4, 2])
    with torch.no_grad():
        forward = SteppedForward(model, volume, edge.tolist())
        torch.testing.assert_close(forward.logits, model(volume))
        copies = forward.copies(3, 4)
        for step in range(6):
            numbers = torch.randint(3, (0 if step == 4 else 4,), generator=generator)
            first = torch.stack(
                [torch.randint(n, (len(numbers),), generator=generator) for n in LARGE], dim=1
            )  # some boxes are cut off at the end of the volume
            end = (first + edge).minimum(torch.tensor(LARGE))
            for number, (a, c, e), (b, d, f) in zip(
                numbers.tolist(), first.tolist(), end.tolist(), strict=True
            ):
                changed[number, :, a:b, c:d, e:f] = others[number, :, a:b, c:d, e:f]
            logits = copies.change(numbers, torch.stack([first, end], dim=2), others)
            torch.testing.assert_close(logits, model(changed), rtol=1e-10, atol=1e-12)


def test_windows_are_run_where_they_are_less_work(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[tuple[int, ...]] = []
    real = stepped._Windows.run

    def counted(self: stepped._Windows, *given: Any) -> Tensor:
        runs.append(self.size)
        return real(self, *given)

    monkeypatch.setattr(stepped._Windows, "run", counted)
    model, volume = NETS["strides"](), torch.rand(1, 1, *LARGE).double()
    with torch.no_grad():
        forward = SteppedForward(model, volume, (2, 2, 2))
        one, box = torch.zeros(1, dtype=torch.long), torch.tensor([[[4, 6], [5, 7], [6, 8]]])
        forward.copies(1, 1).change(one, box, volume)
        assert runs == [(4, 4, 4), (3, 3, 3), (5, 5, 5)]  # of 17 x 16 x 19, 9 x 8 x 10 twice
        forward.copies(1, 10**6).change(one, box, volume)
        assert len(runs) == 3  # so many boxes: all of every layer


@pytest.mark.parametrize("method", [*(m for m in METHODS if m.startswith("lrp")), "saliency"])
def test_relevance_of_changed_layers_is_that_of_the_changed_network(method: str) -> None:
    shape = (9, 8, 10)
    model, untrained = (scramble(build("graz", shape, seed=seed), seed) for seed in (1, 2))
    _check(model, untrained, maps(shape), method)


@pytest.mark.parametrize(
    ("net", "method", "options"),
    [
        (conv_net, "lrp-alphabeta", {"beta": 1.0}),
        (conv_net, "lrp-epsilon", {"batch_norm": "identity", "max_pool": "average"}),
        (conv_net, "lrp-gamma", {"bias": "ignore"}),
        (lambda seed: conv_net(nn.ELU, seed=seed), "lrp-gamma", {"gamma": 1.0}),  # inputs < 0
        (conv_net, "lrp-zplus", {"zero_division": "zero", "bias": "absorb"}),
        (lambda seed: patch_net(nn.ReLU, seed), "lrp-zplus", {}),
        (lambda seed: patch_net(nn.ELU, seed), "lrp-alphabeta", {}),
        (six_convolutions, "lrp-composite-1", {}),
        (six_convolutions, "lrp-composite-3", {}),
        (lambda seed: conv_net(norm=False, seed=seed), "lrp-epsilon", {"engine": "zennit"}),
    ],
)
def test_rules_and_layers(net: Any, method: str, options: dict[str, Any]) -> None:
    _check(net(seed=1), net(seed=2), maps(), method, **options)


def _check(
    model: nn.Module, untrained: nn.Module, volumes: Tensor, method: str, **options: Any
) -> None:
    """Every stage in both modes, each of them twice, to the bit."""
    again = explain_again(method, model, volumes, 1, **options)
    before = explain(method, model, volumes, 1, **options)
    for _, layers in [stage for mode in MODES for stage in stages(model, mode)] * 2:
        lowest = min(position for layer in layers for position in layer.positions)
        with randomised(model, untrained, layers):
            relevance = again(lowest)
            assert torch.equal(relevance, explain(method, model, volumes, 1, **options))
        assert not torch.equal(relevance, before)
        assert not relevance.requires_grad


def test_layers_below_are_not_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model, untrained, volumes = conv_net(), conv_net(seed=5), maps()
    again = explain_again("lrp-epsilon", model, volumes, 1)
    (_, layers) = stages(model, "cascading")[0]  # the last layer
    runs: list[str] = []
    real = Convolution._run

    def counted(self: Convolution, *given: Any) -> Tensor:
        runs.append(self.name)
        return real(self, *given)

    monkeypatch.setattr(Convolution, "_run", counted)
    with randomised(model, untrained, layers):
        again(11)
        assert runs == ["4 Conv3d", "0 Conv3d"]  # once, for the sums that the rule divides by
        again(11)
        assert len(runs) == 2


def test_mistakes_are_those_of_explain() -> None:
    with pytest.raises(UsageError, match="no option wrong"):
        explain_again("lrp-zplus", conv_net(), maps(), wrong=1)(0)
    with pytest.raises(UsageError, match="inputs >= 0"):
        explain_again("lrp-zplus", conv_net(), -maps())
    with pytest.raises(UsageError, match="cannot be explained"):
        explain_again("lrp-zplus", conv_net(), maps()[0])(0)
