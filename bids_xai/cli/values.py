"""The texts of the command line as values; each raises ``ArgumentTypeError`` for what is none."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from bids_xai.settings import OutputSpace


class Gather(argparse.Action):
    """Values of an option that may be given several times: ``-d A=x -d B=y`` is ``-d A=x B=y``.

    argparse itself would keep the last ones alone, without a word.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Add the values to those given before; the default counts where none are."""
        before = getattr(namespace, self.dest)
        given = () if before is self.default else before
        setattr(namespace, self.dest, [*given, *values])


def positive(text: str) -> int:
    """A whole number of 1 or more."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of 1 or more")
    return int(text)


def natural(text: str) -> int:
    """A whole number of 0 or more."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of 0 or more")
    return int(text)


def inputs(text: str) -> tuple[str, ...]:
    """Names of images and maps, parted by commas; each once."""
    names = tuple(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in ("megre", "T1w", "FLAIR") and not re.fullmatch(r"[A-Za-z0-9]+map", name):
            raise argparse.ArgumentTypeError(
                f"'{name}' is not megre, T1w, FLAIR or the suffix of a map (R1map, Chimap, …)"
            )
    return names


def named_path(text: str) -> tuple[str, Path]:
    """``NAME=PATH``."""
    name, equals, path = text.partition("=")
    if not (equals and path and name.isascii() and name.replace("-", "").isalnum()):
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=PATH")
    return name, Path(path)


def factor(text: str) -> float:
    """A number of 0 or more."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1000:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of 0 or more")
    return value


def atlas(text: str) -> str:
    """An atlas, as :func:`bids_xai.templates.atlas_spec.parse_atlas` reads it."""
    from bids_xai.templates.atlas_spec import parse_atlas

    try:
        return str(parse_atlas(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def space(text: str) -> OutputSpace:
    """A template with its resolution."""
    try:
        return OutputSpace.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def device(text: str) -> str:
    """``auto``, ``cpu``, ``cuda`` or ``cuda:i``."""
    kind, _, index = text.partition(":")
    if text not in ("auto", "cpu", "cuda") and not (kind == "cuda" and index.isdigit()):
        raise argparse.ArgumentTypeError(f"'{text}' is not auto, cpu, cuda or cuda:i")
    return text
