"""The options of the command line by topic; each function fills a group of the parser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bids_xai.attribution import METHODS
from bids_xai.cli import values
from bids_xai.core.relaxometry.fit import R2STAR_METHODS
from bids_xai.group import FORMER_STEPS, STEPS
from bids_xai.settings import DEFAULT_TEMPLATE, EMBEDDED_TEMPLATE, OutputSpace


def add_bids_options(group: Any) -> None:
    """What to work on."""
    group.add_argument(
        "--participant-label",
        "--participant_label",
        nargs="+",
        action=values.Gather,
        default=(),
        metavar="LABEL",
        help="participants to process, with or without sub- (default: all)",
    )
    group.add_argument(
        "--session-label",
        "--session_label",
        nargs="+",
        action=values.Gather,
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
        help="keep the index of the dataset here for later runs (delete it when the data change)",
    )
    group.add_argument(
        "-d",
        "--derivatives",
        nargs="+",
        action=values.Gather,
        type=values.named_path,
        default=(),
        metavar="NAME=PATH",
        help="datasets with precomputed maps, brain masks or lesion masks; at the group level also "
        "true regions (truth=PATH) and tables of region volumes (volumes=TABLE.tsv)",
    )
    group.add_argument(
        "--skip-bids-validation",
        action="store_true",
        help="do not require dataset_description.json",
    )
    group.add_argument(
        "--assume-orientation",
        action="store_true",
        help="accept images whose header does not say how they lie (qform and sform codes 0): axes "
        "from right to left, back to front, bottom to top",
    )


def add_performance_options(group: Any) -> None:
    """How many processes, how much memory, which device."""
    group.add_argument(
        "--nprocs",
        type=values.positive,
        metavar="N",
        help="number of parallel processes (default: the processors available to this job)",
    )
    group.add_argument(
        "--omp-nthreads",
        type=values.positive,
        metavar="N",
        help="threads per training (default: --nprocs; without that, the number of processors idle "
        "at the start of the run); participant stages use one thread each",
    )
    group.add_argument(
        "--mem-mb", type=values.positive, metavar="MB", help="memory for sessions and trainings"
    )
    group.add_argument(
        "--use-plugin",
        type=Path,
        metavar="FILE",
        help="YAML naming the nipype plugin that runs the participant level, for example "
        "SLURM (default: processes on this machine)",
    )
    group.add_argument(
        "--device",
        default="auto",
        type=values.device,
        metavar="{auto,cpu,cuda[:i]}",
        help="device on which networks run (default: auto)",
    )
    group.add_argument(
        "--sloppy",
        action="store_true",
        help="fast, coarse registration, few epochs and splits: for tests, never for results",
    )


def add_workflow_options(group: Any) -> None:
    """How images are prepared (participant level)."""
    _add_map_options(group)
    _add_anatomy_options(group)


def _add_map_options(group: Any) -> None:
    group.add_argument(
        "--inputs",
        type=values.inputs,
        default=("megre",),
        metavar="A,B,…",
        help="images to process: megre, T1w, FLAIR, or the suffix of a map among --derivatives, "
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
        action=values.Gather,
        type=values.space,
        metavar="SPACE[:cohort-C][:res-N]",
        default=(OutputSpace(DEFAULT_TEMPLATE),),
        help=f"templates; {EMBEDDED_TEMPLATE} is embedded, all others come from TemplateFlow; "
        f"without :res-N the resolution is 2 (default: {DEFAULT_TEMPLATE}:res-2)",
    )
    group.add_argument(
        "--noise-floor",
        type=values.factor,
        default=0.0,
        metavar="SIGMAS",
        help="for each voxel, drop all echoes from the first one below this many standard "
        "deviations of the noise in air; nlls and loglin (default: 0, keep all)",
    )
    group.add_argument(
        "--rician",
        action="store_true",
        help="nlls: maximum likelihood under Rician noise of the level measured in air",
    )


def _add_anatomy_options(group: Any) -> None:
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
        help="brain mask by template registration, from --derivatives, or by "
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
        help="software for the nonlinear registration (default: ants)",
    )
    group.add_argument(
        "--atlas",
        nargs="+",
        action=values.Gather,
        type=values.atlas,
        default=(),
        metavar="NAME[=DSEG,TSV]",
        help="atlases of the first output space to warp to the T1w image: TissueNuclei, "
        "NAME[:desc-X] of TemplateFlow, or NAME=dseg.nii.gz[,labels.tsv]; the group level uses "
        "them all (default: the template's own)",
    )
    group.add_argument(
        "--random-seed",
        type=values.natural,
        default=0,
        metavar="N",
        help="seed of registration, splits, weights and clustering (default: 0)",
    )


def add_explain_options(group: Any) -> None:
    """Which model predicts, and how it is explained (participant level)."""
    group.add_argument(
        "--model",
        type=Path,
        metavar="DIR_OR_CARD",
        help="a trained model: the folder of model.json, or that file",
    )
    group.add_argument(
        "--attribution",
        nargs="+",
        action=values.Gather,
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


def add_group_options(group: Any) -> None:
    """Which study, and which parts of it (group level)."""
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
        action=values.Gather,
        type=lambda name: FORMER_STEPS.get(name, name),
        choices=tuple(STEPS),
        default=(),
        metavar="STEP",
        help=f"steps to run: {', '.join(STEPS)} (default: all; {former} as well)",
    )
    group.add_argument(
        "--configuration",
        nargs="+",
        action=values.Gather,
        default=(),
        metavar="ID",
        help="train only these configurations (default: all)",
    )
    group.add_argument(
        "--split",
        nargs="+",
        action=values.Gather,
        type=values.natural,
        default=(),
        metavar="K",
        help="train only these splits, counted from 0 (default: all)",
    )
    group.add_argument(
        "--keep-withdrawn",
        action="store_true",
        help="keep scans whose session is no longer in the raw dataset, for example because raw "
        "images lie elsewhere (default: they are excluded, since data may have been withdrawn)",
    )
    group.add_argument(
        "--tensorboard",
        action="store_true",
        help="also write training curves for TensorBoard beside each model",
    )
