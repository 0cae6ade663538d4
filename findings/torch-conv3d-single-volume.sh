#!/usr/bin/env bash
# torch 2.13.0 on the CPU: a single brain volume is convolved by another, slower kernel than two.
#
# Guess: conv3d of a batch of one is half the work of a batch of two, by the same kernel.
# Seen:  where n * channels * x * y is at most 20,480 (a volume of 96 x 114 x 96 voxels with one channel:
#        the first layer of a network), conv3d takes aten::slow_conv3d_forward; with two volumes, or with
#        eight channels, oneDNN (aten::mkldnn_convolution). One volume took longer than two on one thread
#        (73 against 44 ms, 24 ms by torch.mkldnn_convolution called by name; torch 2.7.1, memory kept).
#        The values are the same. The kernels were the same with torch 2.7.1.
# Date:  2026-12-01, x86-64 with AVX-512.
# Exits with 1 if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
from torch.profiler import ProfilerActivity, profile

torch.manual_seed(0)
weight = torch.rand(8, 1, 3, 3, 3) - 0.5
volumes = torch.rand(2, 1, 96, 114, 96)


def kernels(x):
    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU]) as seen:
        y = torch.nn.functional.conv3d(x, weight, padding=1)
    names = {event.key for event in seen.key_averages()}
    return y, names & {"aten::slow_conv3d_forward", "aten::mkldnn_convolution"}


alone, by_one = kernels(volumes[:1])
both, by_two = kernels(volumes)
named = torch.mkldnn_convolution(volumes[:1], weight, None, [1] * 3, [1] * 3, [1] * 3, 1)
print("torch", torch.__version__)
print("one volume:", *by_one, "| two volumes:", *by_two)
print("largest difference from oneDNN:", float((alone - named).abs().max()))
as_seen = (
    by_one == {"aten::slow_conv3d_forward"}
    and by_two == {"aten::mkldnn_convolution"}
    and torch.allclose(alone, both[:1])
)
sys.exit(0 if as_seen else 1)
PYTHON
