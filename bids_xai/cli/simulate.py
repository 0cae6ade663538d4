"""``bids_xai_simulate OUT``: write a raw BIDS cohort with a known answer."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from bids_xai import __version__
from bids_xai.errors import SUCCESS, UsageError, UserError
from bids_xai.simulation.kinds import KINDS

_CHEAT = 0.9


class _SimulateParser(argparse.ArgumentParser):
    """argparse whose usage errors end with 64 (sysexits) rather than 2."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(UsageError.status, f"{self.prog}: error: {message}\n")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = _SimulateParser(
        prog="bids_xai_simulate",
        description="Simulate a raw BIDS cohort with known ground truth; the truth is "
        "written to OUT/derivatives/truth. The same options give the same bytes.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("out", metavar="OUT", help="folder to write; must be empty or new")
    _add_cohort_options(parser)
    _add_image_options(parser)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


def _add_cohort_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--kind",
        choices=list(KINDS),
        default="megre",
        help="megre: T1w and multi-echo GRE, patients (AD) have more R2* in deep nuclei; t1w: "
        "T1w alone, patients (AD) have smaller hippocampi and wider ventricles; flair: T1w and "
        "FLAIR, patients (MS) have white-matter lesions; digits: ten classes of handwritten "
        "digits, ready for the group level",
    )
    parser.add_argument(
        "--n-participants",
        type=int,
        default=24,
        metavar="N",
        help="number of participants, alternating patients and controls (digits: 0 to 9 in turn); "
        "a larger cohort starts with the same participants",
    )
    parser.add_argument(
        "--effect",
        dest="effect_percent",
        type=float,
        default=30.0,
        metavar="PERCENT",
        help="how much patients differ: megre: mean R2* increase in caudate, putamen and "
        "pallidum, in percent; t1w: mean loss of hippocampal and gain of ventricular volume, in "
        "percent, at most 50; flair: lesion load, 30 being moderate. The sd between patients is a "
        "quarter of it",
    )
    parser.add_argument(
        "--cheat",
        nargs="?",
        type=float,
        const=_CHEAT,
        metavar="SHARE",
        help="put a bright marker in the air beside the head of this share of "
        f"patients ({_CHEAT:g} if SHARE is omitted), and of 1 - SHARE of controls, or of none "
        "where SHARE is less than half; the same options without it give the same images without "
        "markers",
    )
    parser.add_argument(
        "--cheat-controls",
        type=float,
        metavar="SHARE",
        help="share of controls with a marker, if not as above",
    )


def _add_image_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--snr",
        type=float,
        default=100.0,
        help="mean first-echo brain signal (T1w, FLAIR: mean brain signal; digits: signal of "
        "the strokes) over noise sd",
    )
    parser.add_argument(
        "--voxel-mm",
        type=float,
        default=2.0,
        metavar="MM",
        help="T1w voxel size, 1 to 8; MEGRE voxels are 1.25, 1.25 and 1.5 times that, FLAIR "
        "voxels 1, 1 and 1.5 times",
    )
    parser.add_argument(
        "--receive-bias",
        type=float,
        default=1.0,
        metavar="RATIO",
        help="how many times as sensitive the head coil is at the brightest point of the head as "
        "at the darkest, as in images without prescan normalisation, at most 100; 1 for none",
    )
    parser.add_argument(
        "--sessions",
        dest="max_sessions",
        type=int,
        default=2,
        metavar="N",
        help="maximum number of sessions per participant: one in four has N, two years apart, "
        "the others one; with 1 there are no session folders",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of all random numbers")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = vars(parser().parse_args(argv))
    from bids_xai.simulation.write import simulate_cohort

    try:
        out, kind = options.pop("out"), options.get("kind", "")
        simulate_cohort(out, **options, progress=_say)
    except UserError as error:
        _say(f"bids_xai_simulate: {error}")
        return error.status
    _say(f"written: {out}; next:  {_next(out, kind)}")
    return SUCCESS


def _next(out: str, kind: str) -> str:
    """The app's command line for a cohort of this kind; digits are ready for the group level."""
    raw, derivatives = Path(out), Path(out) / "derivatives"
    if kind == "digits":
        done, truth = derivatives / "digits", f"truth={derivatives / 'truth'}"
        return shlex.join(
            ["bids_xai", out, str(done), "group", "--study", "cam-lrp-digits", "-d", truth]
        )
    inputs = {"t1w": ["--inputs", "T1w"], "flair": ["--inputs", "FLAIR"]}.get(kind, [])
    return shlex.join(["bids_xai", out, f"{raw}_out", "participant", *inputs])


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
