"""The command line. Building it imports nothing heavy."""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from bids_xai.cli.options import (
    add_bids_options,
    add_explain_options,
    add_group_options,
    add_performance_options,
    add_workflow_options,
)
from bids_xai.cli.other_options import add_other_options
from bids_xai.errors import UsageError, did_you_mean
from bids_xai.settings import EMBEDDED_TEMPLATE, LEVELS, RunSettings


class _Parser(argparse.ArgumentParser):
    """argparse whose errors are :class:`UsageError` (exit status 64)."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message + self._nearest(message), fix=f"see {self.prog} --help")

    def _nearest(self, message: str) -> str:
        """The option or choice that a misspelt one may mean."""
        if option := re.search(r"unrecognized arguments:.*?(--[^\s=]+)", message):
            return did_you_mean(option[1], self._option_string_actions)
        if choice := re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message):
            return did_you_mean(choice[1], re.findall(r"[^\s',]+", choice[2]))
        return ""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; its destinations are the fields of :class:`RunSettings`."""
    parser = _Parser(
        prog="bids_xai",
        description="A BIDS App that makes image classifiers of brain disease explain themselves.",
        epilog="Example: bids_xai /data /out participant, then bids_xai /data /out group. Without "
        f"a network connection: add --output-spaces {EMBEDDED_TEMPLATE}, the template that is "
        "embedded.",
    )
    parser.add_argument("bids_dir", type=Path, help="folder of the raw BIDS dataset")
    parser.add_argument("output_dir", type=Path, help="folder for the derivatives and reports")
    parser.add_argument("analysis_level", metavar=f"{{{','.join(LEVELS)}}}", help="what to do")
    add_bids_options(parser.add_argument_group("BIDS"))
    add_performance_options(parser.add_argument_group("performance"))
    add_workflow_options(parser.add_argument_group("workflow (participant level)"))
    add_explain_options(parser.add_argument_group("explain (participant level)"))
    add_group_options(parser.add_argument_group("group level"))
    add_other_options(parser.add_argument_group("other"))
    return parser


def parse_settings(argv: Sequence[str] | None = None) -> RunSettings:
    """Read the command line.

    Raises :class:`UsageError`; ``--help`` and ``--version`` end the program as argparse does.
    """
    arguments = vars(build_parser().parse_args(argv))
    fields = {field.name for field in dataclasses.fields(RunSettings)}
    given = {key: value for key, value in arguments.items() if value is not None}
    return RunSettings(**{key: _setting(value) for key, value in given.items() if key in fields})


def asks_for_threads(argv: Sequence[str]) -> bool:
    """Whether a command line that :func:`parse_settings` takes says how many threads to use."""
    arguments = build_parser().parse_args(argv)
    return arguments.nprocs is not None or arguments.omp_nthreads is not None


def _setting(value: Any) -> Any:
    """A value as settings hold it: lists as tuples, paths absolute, since steps run elsewhere."""
    if isinstance(value, Path):
        return value.absolute()
    return tuple(map(_setting, value)) if isinstance(value, (list, tuple)) else value
