"""TemplateFlow homes made by hand, asked through TemplateFlow's own client in this process."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flow_homes import UseHome

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="session")
def _client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """TemplateFlow's client class, imported without touching the user's own folder."""
    home = tmp_path_factory.mktemp("flow")
    (home / "tpl-None").mkdir()
    before = os.environ.get("TEMPLATEFLOW_HOME")
    os.environ["TEMPLATEFLOW_HOME"] = str(home)
    try:
        from templateflow.client import TemplateFlowClient
    finally:
        os.environ.pop("TEMPLATEFLOW_HOME")
        if before is not None:
            os.environ["TEMPLATEFLOW_HOME"] = before
    return TemplateFlowClient


@pytest.fixture
def use_home(_client: Any, monkeypatch: pytest.MonkeyPatch) -> UseHome:
    """Make a folder the TemplateFlow home of this test; downloads come from ``server``.

    Without ``names``, an update brings nothing, so that only what a test has put there is indexed:
    all names of TemplateFlow take seconds.
    """

    def use(home: Path, server: str = NOWHERE, *, names: bool = True) -> None:
        client = _client(root=home, autoupdate=False, s3_root=server, timeout=5)
        conf = SimpleNamespace(update=client.cache.update if names else lambda **_: True)
        monkeypatch.setitem(sys.modules, "templateflow", SimpleNamespace(api=client, conf=conf))
        monkeypatch.setenv("TEMPLATEFLOW_HOME", str(home))
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.setenv(name, "127.0.0.1")

    return use
