"""SHA-256 of files, computed once a process for each state of a file."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file's content, as hexadecimal text. Raises OSError.

    A file whose inode, size and times of change (of content and of inode) are as before is not
    read again.
    """
    stat = file.stat()
    return _sha256(file, (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino))


@lru_cache(maxsize=100_000)
def _sha256(file: Path, state: tuple[int, ...]) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
