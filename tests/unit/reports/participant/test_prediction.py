"""What models say of a session, in a sentence, a table and remarks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from participant_cases import write_session, write_study

from bids_xai.errors import BadDataError
from bids_xai.reports.blocks import TableBlock, Text
from bids_xai.reports.participant.context import Sources
from bids_xai.reports.participant.prediction import predictions
from bids_xai.tables.participant import CLASS_PROBABILITIES


def texts(blocks: object) -> list[str]:
    assert isinstance(blocks, tuple)
    return [str(block.text) for block in blocks if isinstance(block, Text)]


def test_sentence_context_and_table(tmp_path: Path) -> None:
    write_study(tmp_path, trained=("01",))
    folder = write_session(tmp_path, "2")
    said = predictions(folder, Sources(tmp_path, "01"), "2")
    first, *context = texts(said.blocks)
    assert first == "Predicted: AD, with a probability of 74.0 % (model tinyA0)."
    assert len(context) == 1  # how often such a probability is right; the truth is not at hand
    (table,) = [block for block in said.blocks if isinstance(block, TableBlock)]
    assert table.rows == (("tinyA0", "NC", "26.0 %", "no"), ("tinyA0", "AD", "74.0 %", "yes"))
    assert [model.study for model in said.models] == ["tiny"]
    (problem,) = said.problems
    assert problem.startswith("Session 2: sub-01 was used to train the model tiny,")


def test_without_the_study_the_context_is_not_known(tmp_path: Path) -> None:
    folder = write_session(tmp_path, "")
    said = predictions(folder, Sources(tmp_path, "01"), "")
    assert "is not available" in texts(said.blocks)[1]
    assert said.problems == ()


def test_two_predicted_classes_make_no_sentence(tmp_path: Path) -> None:
    folder = write_session(tmp_path, "")
    (file,) = folder.glob("*_prediction.tsv")
    rows = CLASS_PROBABILITIES.read(file)
    CLASS_PROBABILITIES.write(file, [*rows, rows[1]])
    said = predictions(folder, Sources(tmp_path, "01"), "")
    assert not any(text.startswith("Predicted") for text in texts(said.blocks))


def test_no_file_no_lines_and_a_damaged_table(tmp_path: Path) -> None:
    assert predictions(tmp_path, Sources(tmp_path, "01"), "").blocks == ()
    folder = write_session(tmp_path, "")
    (file,) = folder.glob("*_prediction.tsv")
    CLASS_PROBABILITIES.write(file, [])
    assert predictions(folder, Sources(tmp_path, "01"), "").blocks == ()
    file.write_text("model\tclass\n")
    with pytest.raises(BadDataError, match="lacks the columns probability, predicted"):
        predictions(folder, Sources(tmp_path, "01"), "")


def test_a_scan_unlike_the_training_is_told_of(tmp_path: Path) -> None:
    folder = write_session(tmp_path, "2")
    (file,) = folder.glob("*_prediction.tsv")
    sidecar = file.with_suffix(".json")
    content = json.loads(sidecar.read_text()) | {"Remarks": ["the scan is from 7 T"]}
    sidecar.write_text(json.dumps(content))
    said = predictions(folder, Sources(tmp_path, "01"), "2")
    assert texts(said.blocks)[1] == "Unlike the training: the scan is from 7 T."
    assert said.problems == ()
    rows = [
        replace(row, probability=None, predicted=False) for row in CLASS_PROBABILITIES.read(file)
    ]
    CLASS_PROBABILITIES.write(file, rows)
    sidecar.write_text(json.dumps(content | {"UnlikeTraining": True}))
    said = predictions(folder, Sources(tmp_path, "01"), "2")
    assert not any(text.startswith("Predicted") for text in texts(said.blocks))
    (table,) = [block for block in said.blocks if isinstance(block, TableBlock)]
    assert table.rows == (("tinyA0", "NC", "n/a", "no"), ("tinyA0", "AD", "n/a", "no"))
    (problem,) = said.problems
    assert problem.startswith("Session 2: the values of the map are far outside")
