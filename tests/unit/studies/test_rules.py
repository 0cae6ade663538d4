"""The table of rules: messages are told once and in order, and each is broken by what it names."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from bids_xai.studies.key_rules import KEY_RULES
from bids_xai.studies.rule import value_at
from bids_xai.studies.rules import STUDY_RULES, broken_rule
from bids_xai.studies.schema import load_study, preset_names
from bids_xai.studies.tables import Study


@pytest.fixture
def study() -> Study:
    return load_study("quick")


def test_every_message_stands_once() -> None:
    messages = [rule.message for rule in (*KEY_RULES, *STUDY_RULES)]
    assert len(set(messages)) == len(messages)


@pytest.mark.parametrize("name", preset_names())
def test_presets_break_none(name: str) -> None:
    assert broken_rule(load_study(name)) == ""


def test_the_first_rule_is_told(study: Study) -> None:
    wrong = replace(study, name="a/b", training=replace(study.training, epochs=-1))
    assert broken_rule(wrong) == "training.epochs must be 0 or more"
    assert broken_rule(replace(study, name="a/b")) == "name must be letters, digits or -"


def test_numbers_must_be_finite(study: Study) -> None:
    wrong = replace(study, training=replace(study.training, weight_decay=math.inf))
    assert broken_rule(wrong) == "training.weight_decay must be a finite number"


def test_values_are_those_under_dotted_keys(study: Study) -> None:
    assert value_at(study, "training.plateau.factor") == study.training.plateau.factor
    with_options = replace(study, model=replace(study.model, options={"depth": 3}))
    assert value_at(with_options, "model.options.depth") == 3
    absent = replace(study, cohort=replace(study.cohort, undersample=None))
    assert value_at(absent, "cohort.undersample.bin_years") is None
    for key in ("training.rate", "magic", "name.x", "target.names"):
        assert value_at(study, key) is None
