"""Ask a tiny raw dataset for its sessions, and look at refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bids_xai.bids.derivatives import open_derivatives
from bids_xai.bids.records import Session
from bids_xai.bids.sessions.index import open_index
from bids_xai.bids.sessions.query import collect_sessions
from bids_xai.errors import UserError


def sessions(
    raw: Any,
    participant: str = "01",
    wanted: tuple[str, ...] = (),
    inputs: tuple[str, ...] = ("megre",),
    derivatives: tuple[tuple[str, Path], ...] = (),
    **filters: Any,
) -> list[Session]:
    folders = open_derivatives(derivatives)
    index = open_index(raw.root)
    if participant in index.unreadable:
        raise index.unreadable[participant]
    return collect_sessions(index.layout, participant, wanted, filters, inputs, folders)


def refused(raw: Any, kind: type[UserError], match: str, **filters: Any) -> UserError:
    with pytest.raises(UserError, match=match) as caught:
        sessions(raw, **filters)
    assert type(caught.value) is kind
    assert caught.value.file
    assert caught.value.fix
    assert "\n" not in str(caught.value)
    return caught.value
