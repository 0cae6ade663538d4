"""Files that are whole or not there: written aside under a name of their own, then renamed."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from bids_xai.errors import CannotCreateError

TEMPORARY = ".tmp-"  # files being written; nothing reads them
_ABANDONED_S = 2.0  # small files are written in a few milliseconds


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Within it, a file to write; afterwards it stands at ``path``, or is gone after an error.

    Its name is one that no other process uses. Nothing happens where it was not written. Raises
    :class:`CannotCreateError` naming the file where the folder or disk refuses.
    """
    temporary = path.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            if temporary.is_file():
                os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise CannotCreateError(
            f"cannot write the file: {error.strerror or error}",
            file=path,
            fix="check free space and write permission of the folder",
        ) from error


def remove_abandoned(folders: Iterable[Path]) -> None:
    """Remove small files that killed processes were writing in folders, but none that are young.

    Another process may be writing there right now.
    """
    for path in (path for folder in folders for path in folder.glob(f"{TEMPORARY}*")):
        with contextlib.suppress(OSError):  # gone meanwhile, or not ours to remove
            if time.time() - path.stat().st_mtime > _ABANDONED_S:
                path.unlink()
