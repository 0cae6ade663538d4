"""The command line. Building it imports nothing heavy."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import bids_xai
from bids_xai.attribution import METHODS
from bids_xai.core.relaxometry import R2STAR_METHODS
from bids_xai.errors import UsageError
from bids_xai.group import STEPS
from bids_xai.settings import DEFAULT_TEMPLATE, EMBEDDED_TEMPLATE, OutputSpace, RunSettings

LEVELS = ("participant", "group")


class _Parser(argparse.ArgumentParser):
    """argparse whose errors are :class:`UsageError` (exit status 64)."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, fix=f"see {self.prog} --help")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; its destinations are the fields of :class:`RunSettings`."""
    parser = _Parser(
        prog="bids_xai",
        description="A BIDS App that makes image classifiers of brain disease explain themselves.",
        epilog="Example: bids_xai /data /out participant, then bids_xai /data /out group",
    )
    parser.add_argument("bids_dir", type=Path, help="folder of the raw BIDS dataset")
    parser.add_argument("output_dir", type=Path, help="folder for the derivatives and reports")
    parser.add_argument("analysis_level", metavar="{participant,group}", help="what to do")
    _bids_options(parser.add_argument_group("BIDS"))
    _performance_options(parser.add_argument_group("performance"))
    _workflow_options(parser.add_argument_group("workflow (participant level)"))
    _explain_options(parser.add_argument_group("explain (participant level)"))
    _group_options(parser.add_argument_group("group level"))
    _other_options(parser.add_argument_group("other"))
    return parser


def _bids_options(group: Any) -> None:
    group.add_argument(
        "--participant-label", "--participant_label", nargs="+", default=(), metavar="LABEL",
        help="participants to process, with or without sub- (default: all)",
    )  # fmt: skip
    group.add_argument(
        "--session-label", "--session_label", nargs="+", default=(), metavar="LABEL",
        help="sessions to process, with or without ses- (default: all)",
    )  # fmt: skip
    group.add_argument(
        "--bids-filter-file", type=Path, metavar="FILE",
        help='JSON with pybids filters under "megre" and "t1w"',
    )  # fmt: skip
    group.add_argument(
        "--skip-bids-validation", action="store_true",
        help="do not ask for dataset_description.json",
    )  # fmt: skip


def _performance_options(group: Any) -> None:
    group.add_argument(
        "--nprocs", type=_positive, metavar="N",
        help="processes at a time (default: the processors this job may use)",
    )  # fmt: skip
    group.add_argument(
        "--omp-nthreads", type=_positive, metavar="N",
        help="threads of a training (default: --nprocs); participant stages use one thread each",
    )  # fmt: skip
    group.add_argument("--mem-mb", type=_positive, metavar="MB", help="memory the nodes may plan")
    group.add_argument(
        "--device", default="auto", type=_device, metavar="{auto,cpu,cuda[:i]}",
        help="where networks run (default: auto)",
    )  # fmt: skip
    group.add_argument(
        "--sloppy", action="store_true",
        help="fast, coarse registration, for tests and demos; never for results",
    )  # fmt: skip


def _workflow_options(group: Any) -> None:
    group.add_argument(
        "--r2star-method", choices=R2STAR_METHODS, default="nlls",
        help="estimator of R2* (default: nlls)",
    )  # fmt: skip
    group.add_argument(
        "--output-spaces", nargs="+", type=_space, metavar="SPACE[:res-N]",
        default=(OutputSpace(DEFAULT_TEMPLATE),),
        help=f"templates; {EMBEDDED_TEMPLATE} is embedded, all others come from TemplateFlow "
        f"(default: {DEFAULT_TEMPLATE}:res-2)",
    )  # fmt: skip
    group.add_argument(
        "--random-seed", type=_natural, default=0, metavar="N",
        help="seed of registration, splits, weights and clustering (default: 0)",
    )  # fmt: skip


def _explain_options(group: Any) -> None:
    group.add_argument(
        "--model", type=Path, metavar="DIR_OR_CARD",
        help="a trained model: the folder of model.json, or that file",
    )  # fmt: skip
    group.add_argument(
        "--attribution", nargs="+", choices=tuple(METHODS), default=("lrp-zplus",),
        metavar="METHOD", help=f"attribution methods: {', '.join(METHODS)} (default: lrp-zplus)",
    )  # fmt: skip
    group.add_argument(
        "--target", metavar="CLASS",
        help="class to explain (default: the method's own start, for lrp-zplus the whole softmax)",
    )  # fmt: skip


def _group_options(group: Any) -> None:
    group.add_argument(
        "--study", default="quick", metavar="PRESET_OR_FILE.toml",
        help="what to train and explain: the name of a preset, or a study file (default: quick)",
    )  # fmt: skip
    group.add_argument(
        "--steps", nargs="+", choices=tuple(STEPS), default=(), metavar="STEP",
        help=f"steps to run: {', '.join(STEPS)} (default: all)",
    )  # fmt: skip
    group.add_argument(
        "--configuration", nargs="+", default=(), metavar="ID",
        help="train only these configurations (default: all)",
    )  # fmt: skip
    group.add_argument(
        "--split", nargs="+", type=_natural, default=(), metavar="K",
        help="train only these splits, counted from 0 (default: all)",
    )  # fmt: skip


def _other_options(group: Any) -> None:
    group.add_argument("--version", action="version", version=f"bids_xai {bids_xai.__version__}")
    group.add_argument(
        "-v", "--verbose", action="count", default=0, help="say more (-vv: nipype's own log too)"
    )
    group.add_argument(
        "-w", "--work-dir", type=Path, metavar="DIR",
        help="folder for intermediate files, kept (default: OUTPUT_DIR/work, removed when done)",
    )  # fmt: skip
    group.add_argument(
        "--clean-workdir", action="store_true", help="remove working files of finished sessions"
    )
    group.add_argument(
        "--stop-on-first-crash", action="store_true", help="stop at the first session that fails"
    )
    group.add_argument("--dry-run", action="store_true", help="say what would be done, and stop")


def parse_settings(argv: Sequence[str] | None = None) -> RunSettings:
    """Read the command line.

    Raises :class:`UsageError`; ``--help`` and ``--version`` end the program as argparse does.
    """
    values = vars(build_parser().parse_args(argv))
    known = {f.name for f in dataclasses.fields(RunSettings)}
    chosen = {key: _frozen(value) for key, value in values.items() if value is not None}
    return RunSettings(**{key: value for key, value in chosen.items() if key in known})


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of 1 or more")
    return int(text)


def _natural(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of 0 or more")
    return int(text)


def _space(text: str) -> OutputSpace:
    try:
        return OutputSpace.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _device(text: str) -> str:
    kind, _, index = text.partition(":")
    if text not in ("auto", "cpu", "cuda") and not (kind == "cuda" and index.isdigit()):
        raise argparse.ArgumentTypeError(f"'{text}' is not auto, cpu, cuda or cuda:i")
    return text
