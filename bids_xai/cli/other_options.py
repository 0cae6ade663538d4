"""Options of the command line that concern the run itself: folders, words, what to leave out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bids_xai
from bids_xai.cli.boutiques import PrintDescriptor


def add_other_options(group: Any) -> None:
    """Folders, words and what to leave out."""
    group.add_argument("--version", action="version", version=f"bids_xai {bids_xai.__version__}")
    group.add_argument(
        "--bids-exec-spec",
        action=PrintDescriptor,
        help="print the Boutiques descriptor of this command line and exit",
    )
    group.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=0,
        help="more detailed messages (-vv: also tracebacks of failed steps and nipype's own log); "
        "logs/RUN/run.log in the output folder always has everything except nipype's log",
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
        help="write the pages again from the existing files and do nothing else",
    )
    group.add_argument("--dry-run", action="store_true", help="show what would be done and exit")
