"""What study.json says, also where an older version wrote less of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bids_xai.bids.files import write_json, write_text
from bids_xai.errors import BadDataError
from bids_xai.reports.study_description import StudyDescription
from bids_xai.studies.schema import load_study, preset_names
from bids_xai.studies.tables import EarlyStopping, Plateau, Spray
from bids_xai.tables.spray import MeanAri, TileSheet


@pytest.mark.parametrize("name", preset_names())
def test_settings_are_read_as_they_were_written(tmp_path: Path, name: str) -> None:
    study = load_study(name)
    file = write_json(tmp_path / "study.json", {"settings": study.as_plain()})
    settings = StudyDescription.read(file).settings
    assert settings is not None
    for table in ("target", "input", "cohort", "splits", "training", "baselines", "quality"):
        assert getattr(settings, table) == getattr(study, table)
    assert settings.spray == study.spray
    assert settings.attribution.methods == study.attribution.methods
    assert [entry.id for entry in settings.configurations] == [c.id for c in study.configurations]


def test_nothing_is_written_without_a_file(tmp_path: Path) -> None:
    description = StudyDescription.read(tmp_path / "study.json")
    assert description == StudyDescription()
    assert not description.is_written
    write_text(tmp_path / "study.json", "[]")
    with pytest.raises(BadDataError, match=r"study\.json"):
        StudyDescription.read(tmp_path / "study.json")


def test_absent_keys_have_their_defaults_and_unknown_ones_are_left() -> None:
    settings = {
        "training": {"plateau": {"patience": 9}, "epochs": 3, "magic": True},
        "spray": {},
        "baselines": [{"id": "svm"}],
        "cohort": {"undersample": {"age": "years"}, "match": ["sex"]},
    }
    plain: dict[str, Any] = {
        "future": 1,
        "configurations": [{"id": "A", "relevance_guided": True}],
        "settings": settings,
    }
    description = StudyDescription.from_plain(plain)
    (configuration,) = description.configurations
    assert (configuration.skull_strip, configuration.relevance_guided) == (None, True)
    read = description.settings
    assert read is not None
    assert read.training.plateau == Plateau(patience=9)
    assert (read.training.epochs, read.training.early_stopping) == (3, EarlyStopping())
    assert read.spray == Spray()
    assert read.target.column == ""
    assert read.baselines[0].kernel == "linear"
    assert read.cohort.undersample is not None
    assert (read.cohort.undersample.age, read.cohort.undersample.sex) == ("years", "sex")
    assert read.cohort.match == ("sex",)
    assert description.recorded_settings == settings
    assert description.is_written


def test_versions_of_early_files_are_of_the_package() -> None:
    assert StudyDescription.from_plain({"versions": "0.1"}).versions == {"bids_xai": "0.1"}
    assert StudyDescription.from_plain({"versions": {"torch": 2}}).versions == {"torch": "2"}


def test_analyses_are_read_as_far_as_they_are_described() -> None:
    spray = {
        "A_T1w": {
            "n_clusters": 3,
            "notes": ["few maps"],
            "ari": {"seed": 0.5, "neighbours": None, "bootstrap": 1.0},
            "tile": {"height": 1, "width": 2, "tiles": 3},
            "inputs": {"n_clusters": 2, "ari": 0.25},
        },
        "B_T1w": {},
    }
    first, second = StudyDescription.from_plain({"spray": spray}).spray.values()
    assert (first.n_clusters, first.notes) == (3, ("few maps",))
    assert first.ari == MeanAri(seed=0.5, neighbours=None, bootstrap=1.0)
    assert first.tile == TileSheet(height=1, width=2, tiles=3)
    assert first.inputs is not None
    assert (first.inputs.n_clusters, first.inputs.ari) == (2, 0.25)
    assert (second.n_clusters, second.notes, second.ari, second.tile) == (None, (), None, None)
