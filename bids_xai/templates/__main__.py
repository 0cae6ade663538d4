"""Fill TEMPLATEFLOW_HOME with what the app needs of some templates: for containers and clusters.

python -m bids_xai.templates MNI152NLin2009cAsym:res-1 MNI152NLin2009cAsym:res-2
python -m bids_xai.templates MNI152NLin6Asym:res-1 --atlas HOSPA HOCPA
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bids_xai.errors import SUCCESS, UserError
from bids_xai.settings import OutputSpace
from bids_xai.templates.flow import complete_index
from bids_xai.templates.lookup import load_atlas, load_head, load_template, parse_atlas


def fill(space: OutputSpace, atlases: Sequence[str] = ()) -> list[str]:
    """Fetch brain, head, mask and atlases of a space, and say what is there now.

    Without ``atlases`` the default one. Everything is read once and checked as a run would do it.
    Raises the errors of :func:`load_template` and :func:`load_atlas`.
    """
    parts = [f"brain and mask {load_template(space).mask.data.shape}"]
    if load_head(space) is not None:
        parts.append("head")
    named = [load_atlas(space, parse_atlas(name)) for name in atlases]
    for atlas in named or [load_atlas(space)]:
        if atlas is not None:
            parts.append(f"atlas {atlas.name} ({len(atlas.labels)} regions)")
    return parts


def main(argv: Sequence[str] | None = None) -> int:
    """Fetch; return the exit status of the first space that cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m bids_xai.templates")
    parser.add_argument("space", nargs="*", type=OutputSpace.parse, help="NAME[:cohort-C][:res-N]")
    parser.add_argument("--atlas", nargs="+", default=(), help="as --atlas of bids_xai")
    asked = parser.parse_args(argv)
    if asked.space:
        complete_index()
    try:
        for space in asked.space:
            print(f"{space}: {', '.join(fill(space, asked.atlas))}", flush=True)
    except UserError as error:
        print(f"bids_xai.templates: error: {error}", file=sys.stderr)
        return error.status
    return SUCCESS


if __name__ == "__main__":
    sys.exit(main())
