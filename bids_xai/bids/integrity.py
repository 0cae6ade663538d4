"""Files of earlier steps are read only if they are what was written: damage is told, not used.

The stamp of a result holds the SHA-256 of each of its files. Before work begins, the files that it
reads and that a stamp knows are compared with it. Where one differs, the result counts as not
done, so that the step which made it does so again, and the error says which step that is. Until
then the file is refused each time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bids_xai.bids.files import as_json
from bids_xai.bids.stamps import STAMP, Output, content_of, invalidate, read_stamp
from bids_xai.errors import BadDataError, UserError
from bids_xai.runtime.digests import sha256_of

STUDY_AGAIN = "run --steps cohort, which writes it anew, and then the steps after it"
"""The way out where ``study.json`` is damaged."""

_SEAL = "sha256"
_DEEPEST = 6  # folders between a file and its stamp


def check_intact(files: Iterable[Path], look: Callable[[], object] | None = None) -> None:
    """Raise :class:`BadDataError` for the first file that differs from what its stamp says.

    files : of any kind; those that no stamp knows, such as raw data, are not read
    look : called before that error is raised; it may raise one that says more of the damage
    From then on the stamp stands for nothing that is done, where it may be written.
    """
    for file in files:
        stamps = _contradicting(file)
        for stamp in stamps:
            with contextlib.suppress(OSError, UserError):  # of somebody else, or a read-only disk
                invalidate(stamp)
        if stamps:
            if look is not None:
                look()
            raise BadDataError(
                "the file is damaged or was changed: its content is not what was written",
                file=file,
                fix=_again(stamps[0]),
            )


def content_digest(file: Path, earlier: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the SHA-256 of a file: as its stamp has it while size and time fit, else by reading.

    earlier : digests that were read before, by :func:`state_of` the file
    Raises OSError.
    """
    stat = file.stat()
    for stamp, output in _recorded(file):
        if output.size == stat.st_size and stat.st_mtime_ns < stamp.stat().st_mtime_ns:
            return output.sha256
    return earlier.get(state_of(file)) or sha256_of(file)


def is_stamped(file: Path) -> bool:
    """Whether a stamp knows the content of a file."""
    return bool(_recorded(file))


def state_of(file: Path) -> str:
    """Return path, size and times of change of a file. Raises OSError."""
    stat = file.stat()
    return f"{file}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a JSON file that several steps write, with a digest of all else in it.

    A stamp of one step could not hold it.
    """
    plain = {key: value for key, value in content.items() if key != _SEAL}
    return {**plain, _SEAL: _seal(plain)}


def check_seal(content: Mapping[str, Any], file: Path, fix: str) -> None:
    """Raise :class:`BadDataError` for content that is not what its own digest says.

    file, fix : for the message; content without a digest, of earlier versions, passes
    """
    if _SEAL in content and content[_SEAL] != sealed(content)[_SEAL]:
        raise BadDataError(
            "the file is damaged or was changed: its content is not what was written",
            file=file,
            fix=fix,
        )


def _seal(content: Mapping[str, Any]) -> str:
    text = json.dumps(as_json(content), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _contradicting(file: Path) -> list[Path]:
    """The stamps that know a file, where all of them know another content."""
    recorded = _recorded(file)
    if not recorded or sha256_of(file) in {output.sha256 for _, output in recorded}:
        return []  # of two steps that wrote it the later one counts
    return [stamp for stamp, _ in recorded]


def _recorded(file: Path) -> list[tuple[Path, Output]]:
    """The stamps that know the content of a file, and what each of them knows."""
    folders = file.parents[:_DEEPEST]
    stamps = [stamp for folder in folders for stamp in _stamps_in(folder, file)]
    return [
        (stamp, output)
        for stamp in stamps
        for folder in folders
        if (output := _outputs_of(stamp).get(str(file.relative_to(folder))))
        and stamp.is_relative_to(folder)
    ]


def _stamps_in(folder: Path, file: Path) -> tuple[Path, ...]:
    """Stamps of units of work in a folder, and those of a participant, in its folder of logs."""
    subject = file.relative_to(folder).parts[0]
    return _listed(folder, f"*{STAMP}") + _listed(folder / "logs" / subject, "sub-*.json")


def _listed(folder: Path, pattern: str) -> tuple[Path, ...]:
    try:
        return _listed_in(folder, pattern, folder.stat().st_mtime_ns)
    except OSError:
        return ()


@lru_cache(maxsize=10_000)
def _listed_in(folder: Path, pattern: str, changed_ns: int) -> tuple[Path, ...]:
    return tuple(sorted(folder.glob(pattern)))


def _outputs_of(stamp: Path) -> Mapping[str, Output]:
    """Name → what is known of an output; nothing where the stamp is gone or of an older version."""
    try:
        stat = stamp.stat()
    except OSError:
        return {}
    return _outputs_in(stamp, (stat.st_size, stat.st_mtime_ns))


@lru_cache(maxsize=1_000)
def _outputs_in(stamp: Path, state: tuple[int, int]) -> Mapping[str, Output]:
    _, outputs = content_of(stamp) or ("", {})
    return {name: output for name, output in outputs.items() if output.sha256}


def _again(stamp: Path) -> str:
    """What to run so that a result is made again."""
    content: Mapping[str, Any] = read_stamp(stamp)
    if stamp.parent.parent.name == "logs":
        label = stamp.parent.name.removeprefix("sub-")
        return f"run the participant level with --participant-label {label}, which makes it again"
    step = content.get("step")
    return f"run --steps {step}, which makes it again" if step else "run the step that made it"
