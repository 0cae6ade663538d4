"""The study of a model, the true class, and how often such a probability is right."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

from participant_cases import CARD, region_tables, write_session, write_study

from bids_xai.reports.participant import context as participant_context
from bids_xai.reports.participant.context import (
    Sources,
    calibration_words,
    outcome_words,
    study_of,
    true_class,
)
from bids_xai.reports.participant.model import UsedModel
from bids_xai.reports.participant.page import write_participant_page
from bids_xai.tables.cohort import COHORT, CohortScan

MODEL = UsedModel.from_card(CARD)


def test_the_same_tenth_is_counted_among_other_participants(tmp_path: Path) -> None:
    write_study(tmp_path)
    write_session(tmp_path, "")
    origin = study_of(MODEL, Sources(tmp_path, "01"))
    assert origin is not None
    # sub-10 to sub-15 and no others; sub-10 and sub-13 are NC; all 9: sub-16 is NC as well
    words = calibration_words(origin, "A", "01", 0.74)
    assert words.startswith(
        "Of 6 test scans of other participants with a probability of AD from 0.7 to 0.8"
    )
    assert "4 were AD; of all 9 test scans, 6" in words
    few = calibration_words(origin, "A", "01", 0.15)
    assert "only 1 test scans" not in few
    assert "only 1 test scan of" in few
    assert "cannot be estimated" in few
    page = write_participant_page(tmp_path, "01", []).read_text()
    assert words in page


def test_a_probability_of_one_is_in_the_last_tenth() -> None:
    tenths = [participant_context._tenth(p) for p in (0.0, 0.1, 0.3, 0.6, 0.7, 0.95, 1.0)]
    assert tenths == [0, 1, 3, 6, 7, 9, 9]
    assert participant_context._tenth(math.nan) == -1


def test_the_true_class_is_told_where_a_table_has_it(tmp_path: Path) -> None:
    write_study(tmp_path)
    write_session(tmp_path, "1")
    raw = tmp_path / "raw"
    raw.mkdir()
    page = write_participant_page(tmp_path, "01", [], bids_dir=raw).read_text()
    assert "true class" not in page
    (raw / "participants.tsv").write_text("participant_id\tdiagnosis\nsub-01\tNC\nsub-02\tMCI\n")
    page = write_participant_page(tmp_path, "01", [], bids_dir=raw).read_text()
    assert (
        "The true class is NC (participants.tsv, column diagnosis): the prediction is wrong (FP)."
        in page
    )
    origin = study_of(MODEL, Sources(tmp_path, "02"))
    assert origin is not None
    assert true_class(origin, Sources(tmp_path, "02", raw), "") is None  # no class of the study
    scan = CohortScan(
        participant_id="sub-01",
        session_id="ses-1",
        class_name="AD",
        included=True,
        reason=None,
        map_file=None,
        mask_file=None,
        to_template=None,
    )
    COHORT.write(tmp_path / "group" / "tiny" / "cohort.tsv", [scan])
    page = write_participant_page(tmp_path, "01", [], bids_dir=raw).read_text()
    assert (
        "The true class is AD (cohort.tsv of the study tiny): the prediction is right (TP)" in page
    )


def test_outcomes() -> None:
    classes = ("NC", "AD")
    pairs = {
        ("AD", "AD"): "right (TP)",
        ("NC", "NC"): "right (TN)",
        ("NC", "AD"): "wrong (FP)",
        ("AD", "NC"): "wrong (FN)",
    }
    assert all(outcome_words(*pair, classes, "AD") == said for pair, said in pairs.items())
    assert outcome_words("MCI", "AD", ("NC", "MCI", "AD"), "AD") == "wrong"


def test_the_study_is_found_from_the_model_and_its_training_is_told(tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    write_study(elsewhere, trained=("01",))
    write_session(out, "1")
    model = elsewhere / "models" / "tiny" / "A" / "split-0"
    for given in (model, model / "model.json"):
        origin = study_of(MODEL, Sources(out, "01", None, given))
        assert origin is not None
        assert origin.study.output_dir == elsewhere.resolve()
        assert not origin.same
    page = write_participant_page(out, "01", [], model=model).read_text()
    assert "Session 1: a participant called sub-01 was used to train the model tiny" in page
    assert "own test scans are among them" not in page
    assert len(region_tables(page)[0][0]) == 6
    shutil.copytree(elsewhere / "models", out / "models")
    shutil.copytree(elsewhere / "group", out / "group")
    page = write_participant_page(out, "01", []).read_text()
    assert "sub-01 was used to train the model" in page
    assert study_of(MODEL, Sources(tmp_path, "01", None, tmp_path / "copied")) is None
    assert study_of(None, Sources(out, "01")) is None
