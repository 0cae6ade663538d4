"""From nipype's crash files to one message a session."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

_NODE = re.compile(r"^Node: (\S+)$", re.MULTILINE)
_USER_ERROR = re.compile(r"^\s*bids_xai\.errors\.\w+: (.+)$", re.MULTILINE)

_ANY_ERROR = re.compile(r"^\s*([A-Za-z_][\w.]*(?:Error|Exception|error)(?:: .+)?)$", re.MULTILINE)


def failures_from_crashes(folder: Path, log_folders: Mapping[str, Path]) -> dict[str, str]:
    """Return session graph → message, and keep the crash files in the participants' log folders.

    A :class:`UserError` gives its own text; anything else its last line and where the traceback
    lies.
    """
    messages: dict[str, str] = {}
    for crash in sorted(folder.glob("crash-*.txt")):
        text = crash.read_text(errors="replace")
        node = _NODE.search(text)
        if node is None:
            continue
        parts = node.group(1).split(".")
        name = next((part for part in parts if part in log_folders), None)
        if name is None:
            continue
        copy = log_folders[name] / crash.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(crash, copy)
        messages.setdefault(name, _message(text, parts[-1], copy))
    return messages


def _message(text: str, node: str, crash: Path) -> str:
    user_errors = _USER_ERROR.findall(text)
    if user_errors:
        return str(user_errors[-1])
    causes = [line.strip() for line in _ANY_ERROR.findall(text) if "NodeExecutionError" not in line]
    last = causes[-1] if causes else "it gave no reason"
    return f"step {node} failed: {last} [{crash}]. Fix: read that file; it has the traceback."
