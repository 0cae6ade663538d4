"""Texts of the command line as values, and those that are refused."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bids_xai.cli import values
from bids_xai.settings import OutputSpace


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (values.positive, "12", 12),
        (values.natural, "0", 0),
        (values.inputs, "megre,R1map,megre", ("megre", "R1map")),
        (values.named_path, "a-1=/x=y", ("a-1", Path("/x=y"))),
        (values.factor, "2.5", 2.5),
        (values.atlas, "A=/a.nii.gz,/a.tsv", "A=/a.nii.gz,/a.tsv"),
        (values.space, "MNI:res-1", OutputSpace("MNI", 1)),
        (values.device, "cuda:3", "cuda:3"),
    ],
)
def test_what_a_text_becomes(read: Callable[[str], Any], text: str, value: Any) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (values.positive, "0", "'0' is not a whole number of 1 or more"),
        (values.natural, "-1", "'-1' is not a whole number of 0 or more"),
        (values.named_path, "=x", "'=x' is not NAME=PATH"),
        (values.factor, "1000", "'1000' is not a number of 0 or more"),
        (values.device, "cuda:", "'cuda:' is not auto, cpu, cuda or cuda:i"),
    ],
)
def test_what_is_refused(read: Callable[[str], Any], text: str, message: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        read(text)
    assert str(caught.value) == message
