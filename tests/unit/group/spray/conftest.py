"""The made-up study of the step ``spray``."""

from __future__ import annotations

from pathlib import Path

import pytest
from spray_cases import spray_study

from bids_xai.group.context import GroupContext


@pytest.fixture
def study(tmp_path: Path) -> GroupContext:
    return spray_study(tmp_path)
