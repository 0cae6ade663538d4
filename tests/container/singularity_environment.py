"""Print the environment of a container started from ``singularity.def``, one NAME=value a line.

    python singularity_environment.py singularity.def BASE_ENVIRONMENT [USER_ID [SCRIPT]]
    python singularity_environment.py singularity.def --section post

As Apptainer does it: the image's own environment, then the commands of ``%environment``, then
those that ``%post`` wrote into a script. The second form prints a section.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def section(definition: str, name: str) -> str:
    """The lines of ``%name``."""
    found = re.search(rf"^%{name}[^\n]*\n(.*?)(?=^%|\Z)", definition, re.M | re.S)
    if found is None:
        raise SystemExit(f"no %{name} in the definition")
    return found[1]


def main() -> None:
    definition, docker, *rest = sys.argv[1:]
    if docker == "--section":
        sys.stdout.write(section(Path(definition).read_text(), rest[0]))
        return
    user, scripts = rest[:1], rest[1:]
    start = dict(line.partition("=")[::2] for line in Path(docker).read_text().splitlines())
    script = section(Path(definition).read_text(), "environment")
    if user:  # the user inside; here the commands run as somebody else
        script = script.replace("$(id -u)", user[0])
    script += "".join(Path(file).read_text() for file in scripts)
    done = subprocess.run(
        ["/bin/sh", "-ec", f"{script}\n/usr/bin/env -0"],
        env=start,
        capture_output=True,
        text=True,
        check=True,
    )
    skipped = ("_=", "SHLVL=", "PWD=", "OLDPWD=")
    lines = [line for line in done.stdout.split("\0") if line and not line.startswith(skipped)]
    sys.stdout.write("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    main()
