"""Is this result still up to date? A stamp holds what went in and what came out."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

import bids_xai
from bids_xai.bids.files import write_json
from bids_xai.runtime.atomic import TEMPORARY
from bids_xai.runtime.digests import sha256_of
from bids_xai.runtime.run_lock import ENDING

_CONTENT = itemgetter("digest", "outputs")  # outputs: name below the root -> Output
STAMP = "stamp.json"
"""Name of the stamp of a unit of work that has a folder, and how the names of all others end."""


@dataclass(frozen=True)
class Output:
    """What a stamp knows of a file; ``sha256`` is empty in a stamp that knows sizes alone."""

    size: int
    sha256: str


@dataclass(frozen=True)
class StampRecord:
    """The stamp of a job: its file, the digest it holds, and how its outputs were made.

    provenance : ``methods`` (text, versions, references) and ``settings``, as JSON can hold them
    """

    stamp: Path
    digest: str
    provenance: dict[str, Any]


def session_stamp(output_dir: Path, label: str, ending: str = "") -> Path:
    """Return where the stamp of a session lies.

    label : ``sub-X`` or ``sub-X_ses-Y``; ending : ``_explanation`` for the second job
    """
    return output_dir / "logs" / label.partition("_")[0] / f"{label}{ending}.json"


def was_sloppy(output_dir: Path, label: str) -> bool:
    """Whether the derivatives of a session were made with ``--sloppy``, as far as is recorded."""
    settings = read_stamp(session_stamp(output_dir, label)).get("settings", {})
    return isinstance(settings, dict) and bool(settings.get("sloppy"))


def fingerprint(inputs: Iterable[Path], options: Mapping[str, Any]) -> str:
    """Return a digest of the options and of every input's name, size and time of change."""
    digest = hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode())
    for path in sorted({Path(p) for p in inputs}):
        stat = path.stat()  # follows links, as a DataLad annex needs
        digest.update(f"{path.name}:{stat.st_size}:{stat.st_mtime_ns};".encode())
    return digest.hexdigest()


def file_states(root: Path, *places: Path, leave_out: Collection[Path] = ()) -> list[str]:
    """Return name below ``root``, size and time of change of files, sorted.

    places : below ``root``: files, and folders of which all files count; those that are missing
        have no state
    leave_out : files and folders that do not count; nor do files that are being written, locks,
        and the history of a DataLad dataset (``.git``)
    """
    states = [_file_state(place, root) for place in places if place.is_file()]
    walks = (os.walk(place, followlinks=True) for place in places)
    for where, folders, names in chain.from_iterable(walks):
        here = Path(where)
        folders[:] = [n for n in folders if n != ".git" and here / n not in leave_out]
        states += [
            _file_state(here / name, root)
            for name in names
            if here / name not in leave_out and not _is_passing(name)
        ]
    return sorted(states)


def _is_passing(name: str) -> bool:
    """Whether a file is there only while a run works: half written, or a lock."""
    return name.startswith(TEMPORARY) or (name.startswith(".") and ENDING in name)


def _file_state(path: Path, root: Path) -> str:
    """A file that is gone meanwhile, or a link that leads nowhere, has a state of its own."""
    try:
        stat = path.stat()
    except OSError:
        return f"{path.relative_to(root)}:gone"
    return f"{path.relative_to(root)}:{stat.st_size}:{stat.st_mtime_ns}"


@cache
def code_state(*libraries: str) -> str:
    """Return the version and a digest of the files of this package, and the versions of libraries.

    For what is cheap to make again, such as pages: one that an earlier state of the code drew is
    stale even where the version is the same, as in a checkout.
    """
    root = Path(bids_xai.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(f"{path.relative_to(root)}:".encode() + path.read_bytes())
    versions = [f"{name} {version(name)}" for name in libraries]
    return " ".join([bids_xai.__version__, digest.hexdigest(), *versions])


def is_current(stamp: Path, digest: str, root: Path) -> bool:
    """Tell whether the stamp has this digest and all its outputs are there in full."""
    return not what_changed(stamp, digest, root)


def what_changed(stamp: Path, digest: str, root: Path) -> str:
    """Say in words why a result is not up to date; empty where it is.

    A stamp holds one digest of all inputs and options, so it cannot tell which of them changed.
    """
    try:
        content = content_of(stamp)
        stamped_ns = stamp.stat().st_mtime_ns
    except FileNotFoundError:
        return "it has not been done"
    except OSError:
        content = None
    if content is None:
        return f"its stamp cannot be read [{stamp}]"
    digest_of_stamp, outputs = content
    if digest_of_stamp != digest:
        return "its inputs, its options or the version differ from those of its stamp"
    states = ((root / name, output) for name, output in outputs.items())
    return next(
        (f"{path} is {state}" for path, out in states if (state := _state(path, out, stamped_ns))),
        "",
    )


def _state(path: Path, output: Output, stamped_ns: int) -> str:
    """How a file differs from what it was; empty where it does not.

    A file that is not older than its stamp is read; to read all would make a run that
    has nothing to do as long as one that reads all its results.
    """
    try:
        stat = path.stat()
        if stat.st_size != output.size:
            return "of another size"
        changed = stat.st_mtime_ns >= stamped_ns and output.sha256
        return "of another content" if changed and sha256_of(path) != output.sha256 else ""
    except OSError:
        return "gone"


def content_of(stamp: Path) -> tuple[str, dict[str, Output]] | None:
    """Return digest and outputs (name → what is known of it) of a stamp; None where it has none.

    Raises OSError where the file cannot be read.
    """
    text = stamp.read_bytes()
    try:
        digest, outputs = _CONTENT(json.loads(text))
        return digest, {name: _output(value) for name, value in outputs.items()}
    except (ValueError, KeyError, AttributeError, TypeError):
        return None


def _output(value: Any) -> Output:
    """Older stamps hold the size alone."""
    return Output(value, "") if isinstance(value, int) else Output(value["bytes"], value["sha256"])


def invalidate(stamp: Path) -> None:
    """Have a result made again; what its stamp knows of the outputs stays. Raises OSError."""
    write_json(stamp, read_stamp(stamp) | {"digest": ""})


def stamped_digest(stamp: Path) -> str | None:
    """Return the digest of what went into a result; None where there is no stamp to be read."""
    digest = read_stamp(stamp).get("digest")
    return digest if isinstance(digest, str) and digest else None


def read_stamp(stamp: Path) -> dict[str, Any]:
    """Return what a stamp holds; nothing where there is none or it cannot be read."""
    try:
        content = json.loads(stamp.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def stamped_outputs(stamp: Path, root: Path) -> set[Path]:
    """Return the outputs that a stamp lists; none where it cannot be read."""
    try:
        content = content_of(stamp)
    except OSError:
        return set()
    return {root / name for name in content[1]} if content else set()


def remove_leftovers(outputs: Iterable[Path], folders: Iterable[Path]) -> None:
    """Remove outputs of an earlier run, and what a killed process was writing in the folders."""
    begun = [path for folder in folders for path in folder.glob(f"{TEMPORARY}*")]
    for path in (*outputs, *begun):
        path.unlink(missing_ok=True)


def write_stamp(
    stamp: Path, digest: str, root: Path, outputs: Iterable[Path], **provenance: Any
) -> Path:
    """Record that the outputs (files below ``root``) belong to this digest.

    provenance : what else is to be known of how they were made, as JSON can hold it
    """
    content = {
        str(path.relative_to(root)): {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for path in sorted(set(outputs))
    }
    return write_json(stamp, {"digest": digest, **provenance, "outputs": content})
