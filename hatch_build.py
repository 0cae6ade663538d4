"""Build hook: fetches the volume viewer NiiVue (BSD 2-Clause) from the npm registry, once.

One file of one pinned release, checked by its digest. Where the registry is out of reach, the
package is built without it, and pages have no volume viewer.
"""

from __future__ import annotations

import base64
import hashlib
import io
import sys
import tarfile
import urllib.request
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VERSION = "0.69.0"
URL = f"https://registry.npmjs.org/@niivue/niivue/-/niivue-{VERSION}.tgz"
SHA512 = "YMjQvJgD1W2b7DuoxkwlC4VxbrgIePRJ5qyQzXKxi2v2MBVg285P/CIQyg46oDDGDIcaNlbd+MhtO/edMbXJkA=="
MEMBER = "package/dist/niivue.umd.js"
TARGET = Path("bids_xai") / "reports" / "niivue" / f"niivue-{VERSION}.js"


class CustomBuildHook(BuildHookInterface[Any]):
    """Puts the viewer into the source tree, from where it goes into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fetch what is not there yet."""
        target = Path(self.root) / TARGET
        if not target.is_file():
            try:
                fetch(target)
            except (OSError, KeyError, ValueError, tarfile.TarError) as error:
                print(f"built without the volume viewer ({URL}: {error})", file=sys.stderr)
                return
        build_data["artifacts"].append(TARGET.as_posix())


def fetch(target: Path) -> None:
    """Download the release, check it, and write the one file of it that is needed."""
    with urllib.request.urlopen(URL, timeout=60) as answer:
        content = answer.read()
    if base64.b64encode(hashlib.sha512(content).digest()).decode() != SHA512:
        raise ValueError("not the release that was expected")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        member = archive.extractfile(MEMBER)
        if member is None:
            raise ValueError(f"no {MEMBER} in it")
        script = member.read()
    part = target.with_suffix(".part")
    part.write_bytes(script)
    part.replace(target)
