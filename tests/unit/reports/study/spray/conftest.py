"""Sections on clusters without drawings."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_xai.reports.study.spray import pictures
from bids_xai.reports.study_files import StudyFiles


@pytest.fixture
def study(study_dir: Path, monkeypatch: pytest.MonkeyPatch) -> StudyFiles:
    """The study of ``study_dir``; figures of clusters are not drawn."""
    for name in ("cluster_maps", "eigenvalue_panels", "embedding_panels"):
        monkeypatch.setattr(pictures, name, lambda *_args, **_options: b"<svg/>")
    return StudyFiles.at(study_dir, "tiny")
