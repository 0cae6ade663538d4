"""The Boutiques descriptor (schema 0.5) of the command line, made from its parser."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import bids_xai
from bids_xai import errors
from bids_xai.settings import LEVELS

_EXIT_CODES = {
    errors.SOME_FAILED: "Some sessions failed; the log names them. The others are finished.",
    errors.InvalidBidsError.status: "The input folder is not a BIDS dataset.",
    errors.UNKNOWN_LEVEL: "Unknown analysis level.",
    errors.NothingMatchedError.status: "Labels or filters matched no data.",
    errors.UsageError.status: "The command line is invalid.",
    errors.BadDataError.status: "A file has content that cannot be processed.",
    errors.NoInputError.status: "A required file or folder does not exist.",
    errors.CannotCreateError.status: "An output cannot be created.",
    errors.FileAccessError.status: "Reading or writing failed midway.",
    errors.InterruptedRunError.status: "Stopped by a signal; the same command continues.",
}
_PATHS_THAT_EXIST = ("bids_dir", "bids_filter_file", "use_plugin", "synthstrip_model", "model")


class PrintDescriptor(argparse.Action):
    """``--bids-exec-spec``: print the descriptor of the parser, and stop."""

    def __init__(self, option_strings: Sequence[str], dest: str, **kwargs: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, **kwargs)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(json.dumps(descriptor(parser), indent=2, ensure_ascii=False))
        parser.exit()


def descriptor(parser: argparse.ArgumentParser) -> dict[str, Any]:
    """Return the descriptor of a parser; what ends the program by itself is left out."""
    actions = [action for action in parser._actions if action.default is not argparse.SUPPRESS]
    inputs = [_input(action) for action in actions]
    return {
        "name": "bids_xai",
        "description": parser.description,
        "tool-version": bids_xai.__version__,
        "schema-version": "0.5",
        "command-line": f"{parser.prog} {' '.join(_key(action.dest) for action in actions)}",
        "container-image": {"type": "docker", "image": f"bids_xai:{bids_xai.__version__}"},
        "inputs": inputs,
        "output-files": [
            {
                "id": "results",
                "name": "Derivatives and reports",
                "path-template": _key("output_dir"),
            }
        ],
        "error-codes": [
            {"code": code, "description": text} for code, text in sorted(_EXIT_CODES.items())
        ],
        "suggested-resources": {"cpu-cores": 2, "ram": 8},
        "tags": {"domain": ["neuroinformatics", "neuroimaging"], "standard": ["bids"]},
    }


def _key(name: str) -> str:
    return f"[{name.upper()}]"


def _input(action: argparse.Action) -> dict[str, Any]:
    """One argument; defaults stay out, since the program knows them."""
    described: dict[str, Any] = {
        "id": action.dest,
        "name": action.dest.replace("_", " ").capitalize(),
        "description": (action.help or "").replace("%%", "%"),
        "value-key": _key(action.dest),
        "optional": bool(action.option_strings) and not action.required,
    }
    if action.option_strings:
        described |= {"command-line-flag": max(action.option_strings, key=_preference)}
    if action.nargs == 0:
        return {**described, "type": "Flag"}
    described |= _type(action)
    if action.nargs == "+":
        described |= {"list": True, "min-list-entries": 1}
    if action.dest == "analysis_level":
        described |= {"value-choices": list(LEVELS)}
    elif action.choices is not None:
        described |= {"value-choices": list(action.choices)}
    return described


def _preference(option: str) -> tuple[bool, bool]:
    """Long names before short ones, dashes before underscores."""
    return option.startswith("--"), "_" not in option


def _type(action: argparse.Action) -> dict[str, Any]:
    kind: Callable[[str], Any] | str | None = action.type
    if kind is Path and action.dest in _PATHS_THAT_EXIST:
        return {"type": "File"}
    return {"type": "Number", "integer": True} if _takes_integers(kind) else {"type": "String"}


def _takes_integers(kind: Any) -> bool:
    if not callable(kind) or isinstance(kind, type):
        return kind is int
    return kind.__annotations__.get("return") in (int, "int")
