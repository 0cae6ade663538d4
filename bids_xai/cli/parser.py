"""The command line. Building it imports nothing heavy."""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import bids_xai
from bids_xai.attribution import METHODS
from bids_xai.cli.boutiques import PrintDescriptor
from bids_xai.core.relaxometry.fit import R2STAR_METHODS
from bids_xai.errors import UsageError, did_you_mean
from bids_xai.group import FORMER_STEPS, STEPS
from bids_xai.settings import DEFAULT_TEMPLATE, EMBEDDED_TEMPLATE, LEVELS, OutputSpace, RunSettings


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
        f"network: add --output-spaces {EMBEDDED_TEMPLATE}, the template that is embedded.",
    )
    parser.add_argument("bids_dir", type=Path, help="folder of the raw BIDS dataset")
    parser.add_argument("output_dir", type=Path, help="folder for the derivatives and reports")
    parser.add_argument("analysis_level", metavar=f"{{{','.join(LEVELS)}}}", help="what to do")
    _bids_options(parser.add_argument_group("BIDS"))
    _performance_options(parser.add_argument_group("performance"))
    _workflow_options(parser.add_argument_group("workflow (participant level)"))
    _explain_options(parser.add_argument_group("explain (participant level)"))
    _group_options(parser.add_argument_group("group level"))
    _other_options(parser.add_argument_group("other"))
    return parser


def _bids_options(group: Any) -> None:
    group.add_argument(
        "--participant-label",
        "--participant_label",
        nargs="+",
        default=(),
        metavar="LABEL",
        help="participants to process, with or without sub- (default: all)",
    )
    group.add_argument(
        "--session-label",
        "--session_label",
        nargs="+",
        default=(),
        metavar="LABEL",
        help="sessions to process, with or without ses- (default: all)",
    )
    group.add_argument(
        "--bids-filter-file",
        type=Path,
        metavar="FILE",
        help='JSON with pybids filters under "megre", "t1w" and "flair"',
    )
    group.add_argument(
        "--bids-database-dir",
        type=Path,
        metavar="DIR",
        help="keep the index of the dataset here for later runs (delete it when data change)",
    )
    group.add_argument(
        "-d",
        "--derivatives",
        nargs="+",
        type=_named_path,
        default=(),
        metavar="NAME=PATH",
        help="datasets with precomputed maps, brain masks or lesion masks; at the group level also "
        "true regions (truth=PATH) and tables of region volumes (volumes=TABLE.tsv)",
    )
    group.add_argument(
        "--skip-bids-validation",
        action="store_true",
        help="do not ask for dataset_description.json",
    )


def _performance_options(group: Any) -> None:
    group.add_argument(
        "--nprocs",
        type=_positive,
        metavar="N",
        help="processes at a time (default: the processors this job may use)",
    )
    group.add_argument(
        "--omp-nthreads",
        type=_positive,
        metavar="N",
        help="threads of a training (default: --nprocs); participant stages use one thread each",
    )
    group.add_argument("--mem-mb", type=_positive, metavar="MB", help="memory the nodes may plan")
    group.add_argument(
        "--use-plugin",
        type=Path,
        metavar="FILE",
        help="YAML with one of nipype's plugins that is to run the participant level, for example "
        "SLURM (default: processes on this machine)",
    )
    group.add_argument(
        "--device",
        default="auto",
        type=_device,
        metavar="{auto,cpu,cuda[:i]}",
        help="where networks run (default: auto)",
    )
    group.add_argument(
        "--sloppy",
        action="store_true",
        help="fast, coarse registration, few epochs and splits: for tests; never for results",
    )


def _workflow_options(group: Any) -> None:
    group.add_argument(
        "--inputs",
        type=_inputs,
        default=("megre",),
        metavar="A,B,…",
        help="images to work on: megre, T1w, FLAIR, or the suffix of a map among --derivatives, "
        "for example R1map (default: megre)",
    )
    group.add_argument(
        "--r2star-method",
        choices=R2STAR_METHODS,
        default="nlls",
        help="estimator of R2* (default: nlls)",
    )
    group.add_argument(
        "--output-spaces",
        nargs="+",
        type=_space,
        metavar="SPACE[:cohort-C][:res-N]",
        default=(OutputSpace(DEFAULT_TEMPLATE),),
        help=f"templates; {EMBEDDED_TEMPLATE} is embedded, all others come from TemplateFlow; "
        f"without :res-N the resolution is 2 (default: {DEFAULT_TEMPLATE}:res-2)",
    )
    group.add_argument(
        "--noise-floor",
        type=_factor,
        default=0.0,
        metavar="SIGMAS",
        help="leave out a voxel's late echoes from the first below this many standard deviations "
        "of the noise in air on; nlls and loglin (default: 0, keep all)",
    )
    group.add_argument(
        "--rician",
        action="store_true",
        help="nlls: maximum likelihood under Rician noise of the level found in air",
    )
    group.add_argument(
        "--megre-transform",
        choices=("rigid", "affine"),
        default="rigid",
        help="transform from the multi-echo GRE to the T1w image (default: rigid)",
    )
    group.add_argument(
        "--brain-mask",
        choices=("auto", "derivatives", "synthstrip"),
        default="auto",
        help="find the brain by template registration, take masks from --derivatives, or use "
        "--synthstrip-model (default: auto)",
    )
    group.add_argument(
        "--synthstrip-model", type=Path, metavar="FILE", help="weights of SynthStrip"
    )
    group.add_argument(
        "--registration",
        choices=("nonlinear", "linear", "none"),
        default="nonlinear",
        help="T1w to template: affine and diffeomorphic, affine, or only centred "
        "(default: nonlinear)",
    )
    group.add_argument(
        "--registration-engine",
        choices=("ants", "greedy"),
        default="ants",
        help="program of the nonlinear registration (default: ants)",
    )
    group.add_argument(
        "--atlas",
        nargs="+",
        type=_atlas,
        default=(),
        metavar="NAME[=DSEG,TSV]",
        help="atlases of the first output space to bring to the T1w image: TissueNuclei, "
        "NAME[:desc-X] of TemplateFlow, or NAME=dseg.nii.gz[,labels.tsv]; the group level uses "
        "them all (default: the template's own)",
    )
    group.add_argument(
        "--random-seed",
        type=_natural,
        default=0,
        metavar="N",
        help="seed of registration, splits, weights and clustering (default: 0)",
    )


def _explain_options(group: Any) -> None:
    group.add_argument(
        "--model",
        type=Path,
        metavar="DIR_OR_CARD",
        help="a trained model: the folder of model.json, or that file",
    )
    group.add_argument(
        "--attribution",
        nargs="+",
        choices=tuple(METHODS),
        default=("lrp-zplus",),
        metavar="METHOD",
        help=f"attribution methods: {', '.join(METHODS)} (default: lrp-zplus)",
    )
    group.add_argument(
        "--target",
        metavar="CLASS",
        help="class to explain (default: the positive class; methods that start at the whole "
        "softmax vector, such as lrp-zplus, start at the probability of the class named)",
    )
    group.add_argument(
        "--renormalise",
        action="store_true",
        help="scale relevance on the template grid to its sum before the warp",
    )


def _group_options(group: Any) -> None:
    former = ", ".join(f"{old} for {new}" for old, new in FORMER_STEPS.items())
    group.add_argument(
        "--study",
        default="quick",
        metavar="PRESET_OR_FILE.toml",
        help="what to train and explain: the name of a preset, or a study file (default: quick)",
    )
    group.add_argument(
        "--steps",
        nargs="+",
        type=lambda name: FORMER_STEPS.get(name, name),
        choices=tuple(STEPS),
        default=(),
        metavar="STEP",
        help=f"steps to run: {', '.join(STEPS)} (default: all; {former} as well)",
    )
    group.add_argument(
        "--configuration",
        nargs="+",
        default=(),
        metavar="ID",
        help="train only these configurations (default: all)",
    )
    group.add_argument(
        "--split",
        nargs="+",
        type=_natural,
        default=(),
        metavar="K",
        help="train only these splits, counted from 0 (default: all)",
    )
    group.add_argument(
        "--tensorboard",
        action="store_true",
        help="write training curves for TensorBoard beside each model, too",
    )


def _other_options(group: Any) -> None:
    group.add_argument("--version", action="version", version=f"bids_xai {bids_xai.__version__}")
    group.add_argument(
        "--bids-exec-spec",
        action=PrintDescriptor,
        help="print the Boutiques descriptor of this command line, and stop",
    )
    group.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=0,
        help="say also why and with what (-vv: tracebacks of failed steps and nipype's own log, "
        "too); logs/RUN/run.log of the output folder has it all but the last",
    )
    group.add_argument(
        "-w",
        "--work-dir",
        type=Path,
        metavar="DIR",
        help="folder for intermediate files, kept (default: OUTPUT_DIR/work, removed when done)",
    )
    group.add_argument(
        "--clean-workdir", action="store_true", help="remove working files of finished sessions"
    )
    group.add_argument(
        "--stop-on-first-crash", action="store_true", help="stop at the first session that fails"
    )
    group.add_argument(
        "--reports-only",
        action="store_true",
        help="write the pages again from the files that are there, and do nothing else",
    )
    group.add_argument("--dry-run", action="store_true", help="say what would be done, and stop")


def parse_settings(argv: Sequence[str] | None = None) -> RunSettings:
    """Read the command line.

    Raises :class:`UsageError`; ``--help`` and ``--version`` end the program as argparse does.
    """
    values = vars(build_parser().parse_args(argv))
    known = {f.name for f in dataclasses.fields(RunSettings)}
    chosen = {key: _given(value) for key, value in values.items() if value is not None}
    return RunSettings(**{key: value for key, value in chosen.items() if key in known})


def _given(value: Any) -> Any:
    """A value as settings hold it: lists as tuples, paths absolute, since steps run elsewhere."""
    if isinstance(value, Path):
        return value.absolute()
    return tuple(map(_given, value)) if isinstance(value, (list, tuple)) else value


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of 1 or more")
    return int(text)


def _natural(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of 0 or more")
    return int(text)


def _inputs(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in ("megre", "T1w", "FLAIR") and not re.fullmatch(r"[A-Za-z0-9]+map", name):
            raise argparse.ArgumentTypeError(
                f"'{name}' is not megre, T1w, FLAIR or the suffix of a map (R1map, Chimap, …)"
            )
    return names


def _named_path(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (equals and path and name.isascii() and name.replace("-", "").isalnum()):
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=PATH")
    return name, Path(path)


def _factor(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1000:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of 0 or more")
    return value


def _atlas(text: str) -> str:
    from bids_xai.templates.atlas_spec import parse_atlas

    try:
        return str(parse_atlas(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


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
