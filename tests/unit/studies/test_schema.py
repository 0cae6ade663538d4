"""Study files: presets hold, every mistake is named with file, key and what is allowed."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from pathlib import Path

import pytest

from bids_xai.attribution import METHODS
from bids_xai.errors import BadDataError, NoInputError
from bids_xai.models import MODELS
from bids_xai.studies.schema import load_study, preset_names
from bids_xai.studies.tables import Plateau, Study

MINIMAL = """\
name = "mine"
[target]
column = "group"
negative = "HC"
positive = "MS"
[[configurations]]
id = "A"
"""


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str) -> str:
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def refused(path: str, *texts: str) -> None:
    with pytest.raises(BadDataError) as caught:
        load_study(path)
    assert caught.value.file == path
    assert caught.value.fix
    for text in texts:
        assert text in str(caught.value)


@pytest.mark.parametrize("name", preset_names())
def test_presets_parse_and_say_what_their_files_say(name: str) -> None:
    study = load_study(name)
    assert study.name == name
    plain = json.loads(json.dumps(study.as_plain()))
    folder = Path(__import__("bids_xai").__file__).parent / "studies"

    def check(said: object, got: object) -> None:
        if isinstance(said, dict):
            assert isinstance(got, dict)
            for key, value in said.items():
                check(value, got[key])
        elif isinstance(said, list) and said and isinstance(said[0], dict):
            assert isinstance(got, list)
            assert len(said) == len(got)
            for one, other in zip(said, got, strict=True):
                check(one, other)
        else:
            assert said == got

    check(tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8")), plain)


def test_there_is_the_default_preset() -> None:
    assert "quick" in preset_names()


def test_a_short_file_gets_the_defaults_of_the_paper(write) -> None:
    study = load_study(write(MINIMAL))
    assert isinstance(study, Study)
    assert (study.target.column, study.target.negative, study.target.positive) == (
        "group",
        "HC",
        "MS",
    )
    assert study.input.scale == 40
    assert study.splits.fractions == (0.7, 0.15, 0.15)
    assert (study.training.epochs, study.training.batch_size) == (60, 6)
    assert study.training.learning_rate == 1e-3
    assert study.training.plateau == Plateau(5, 0.3, 1e-6, 1e-4, True)
    assert [c.id for c in study.configurations] == ["A"]
    assert not study.configurations[0].skull_strip


def test_whole_numbers_may_stand_for_numbers(write) -> None:
    study = load_study(write(MINIMAL + "[input]\nscale = 40\n[spray]\nvoxel_mm = 3\n"))
    assert study.input.scale == 40.0
    assert isinstance(study.input.scale, float)


def test_the_layout_in_memory_is_true_false_or_left_to_the_device(write) -> None:
    given = [
        load_study(write(MINIMAL + text)).training.channels_last
        for text in ("", "[training]\nchannels_last = true", "[training]\nchannels_last = false")
    ]
    assert given == [None, True, False]


MISTAKES = {
    "unknown table": ("[magic]\nx = 1", "unknown key 'magic'", "allowed here: name, target"),
    "unknown key": (
        "[input]\nscal = 40",
        "unknown key 'input.scal' (line 9)",
        "suffix, desc, space",
    ),
    "unknown nested key": (
        "[training.plateau]\nwait = 1",
        "unknown key 'training.plateau.wait'",
        "patience",
    ),
    "table wanted": ("input = 3", "'input' must be a table", "write [input]"),
    "number wanted": ('[input]\nscale = "40"', "'input.scale' is '40'", "must be a number"),
    "no truth value": ("[input]\nscale = true", "'input.scale' is True", "must be a number"),
    "whole number wanted": ("[training]\nepochs = 1.5", "'training.epochs'", "a whole number"),
    "truth, no word": (
        '[training]\nchannels_last = "auto"',
        "'training.channels_last'",
        "true or false",
    ),
    "whole, not truth": ("[training]\nepochs = true", "'training.epochs'", "a whole number"),
    "truth value wanted": (
        "[training.plateau]\nreset_weights = 1",
        "plateau.reset_weights",
        "true or false",
    ),
    "text wanted": ("[model]\narchitecture = 3", "'model.architecture' is 3", "must be text"),
    "numbers wanted": ('[splits]\nfractions = ["a"]', "'splits.fractions'", "a list of numbers"),
    "texts wanted": ("[attribution]\nmethods = [1]", "'attribution.methods'", "a list of texts"),
    "list wanted": ('[attribution]\nmethods = "x"', "'attribution.methods'", "a list of texts"),
    "suffix": ('[input]\nsuffix = "T1w.nii"', "input.suffix", "letters and digits"),
    "scaling": ('[input]\nscaling = "max"', "input.scaling", "minmax", "zscore"),
    "guided on z-scores": (
        '[input]\nscaling = "zscore"\n[[configurations]]\nid = "B"\nrelevance_guided = true',
        "relevance guidance (z+) needs input.scaling",
    ),
    "counts": ("[splits]\ncounts = [18]", "splits.counts must be two numbers"),
    "fixed without a file": ('[splits]\nscheme = "fixed"', "splits.file is needed"),
    "a file for random splits": ('[splits]\nfile = "x.tsv"', "splits.file is needed"),
    "table of the target": ('[target2]\ntable = "x"', "unknown key 'target2'"),
    "optimizer": ('[training]\noptimizer = "lbfgs"', "training.optimizer", "'adamw'"),
    "strip": ("[training.augmentation]\nskull_strip = 1.5", "skull_strip must lie between 0 and 1"),
    "eroded": (
        "[training]\nguidance_erode = 1\n[training.augmentation]\nskull_strip = 0.5",
        "skull_strip needs guidance_mask",
    ),
    "axes": ("[training.augmentation]\nflip_axes = [3]", "flip_axes must be among 0, 1, 2"),
    "guidance mask": ('[training]\nguidance_mask = "head"', "training.guidance_mask"),
    "baseline": ('[[baselines]]\nid = "A"', "different ids"),
    "features": ('[[baselines]]\nid = "s"\nfeatures = "x"', "baselines.features"),
    "search": ('[search.values]\n"training.rate" = [1]', "search.values"),
    "change of a configuration": (
        '[[configurations]]\nid = "B"\ntraining = { epoch = 1 }',
        "unknown key 'configurations.training.epoch'",
        "allowed here: epochs",
    ),
    "type of a change": (
        '[[configurations]]\nid = "B"\ntraining = { epochs = "1" }',
        "'configurations.training.epochs' is '1'",
        "a whole number",
    ),
    "rule of a change": (
        '[[configurations]]\nid = "B"\nmodel = { architecture = "x" }',
        "model.architecture",
    ),
    "space": ('[input]\nspace = "MNI"', "input.space", "T1w"),
    "scale": ("[input]\nscale = 0", "input.scale must be above 0"),
    "nan scale": ("[input]\nscale = nan", "input.scale must be above 0"),
    "voxel": ("[input]\nvoxel_mm = -1", "input.voxel_mm"),
    "voxels of 0.01 mm": ("[input]\nvoxel_mm = 0.01", "input.voxel_mm must be 0, or between"),
    "clusters on voxels of 0.01 mm": ("[spray]\nvoxel_mm = 0.01", "spray.voxel_mm", "0.2"),
    "10^12 repeats": ("[splits]\nrepeats = 1_000_000_000_000", "splits.repeats must be 1000"),
    "10^12 steps": ("[quality]\nsteps = 1_000_000_000_000", "quality.steps must be 10000"),
    "many together": (
        "[splits]\nrepeats = 1000\nrepetitions = 1000",
        "more than 100,000 trainings",
    ),
    "a number beyond": ("[training]\nlearning_rate = 1e300", "larger than any", "line 9"),
    "thousands of digits": (f"[splits]\nrepeats = {'9' * 5000}", "not valid TOML"),
    "deep lists": (f"[spray]\nspaces = {'[' * 5000}{']' * 5000}", "more than 12 deep"),
    "deep tables": (f"[model.options]\n{'a.' * 3000}a = 1", "more than 12 deep"),
    "a large file": (f"# {'x' * 1_000_000}", "more than 1,000,000 bytes"),
    "type in a search": (
        '[search.values]\n"training.epochs" = [1, "2"]',
        "'search.values: training.epochs' is '2'",
        "a whole number",
    ),
    "key of a table in a search": (
        '[search.values]\n"training.plateau" = [{ patient = 1 }]',
        "unknown key",
        "patience",
    ),
    "rule in a search": (
        '[search.values]\n"training.optimizer" = ["adam", "lbfgs"]',
        "with 'lbfgs' for 'training.optimizer'",
        "training.optimizer must be",
    ),
    "a search for other scans": ('[search.values]\n"input.space" = ["T1w"]', "search.values"),
    "a search for splits": ('[search.values]\n"splits.repeats" = [2]', "search.values"),
    "repeats": ("[splits]\nrepeats = 0", "splits.repeats must be 1 or more"),
    "two shares": ("[splits]\nfractions = [0.7, 0.3]", "three shares"),
    "no shares": ("[splits]\nfractions = []", "three shares"),
    "too much": ("[splits]\nfractions = [0.7, 0.2, 0.2]", "sum to 1"),
    "nothing to test": ("[splits]\nfractions = [0.7, 0.3, 0.0]", "three shares"),
    "scheme": ('[splits]\nscheme = "loo"', "splits.scheme", "random", "kfold"),
    "network": ('[model]\narchitecture = "vgg"', "model.architecture", *MODELS),
    "method": ('[attribution]\nmethods = ["shap"]', "attribution.methods", *METHODS),
    "no method": ("[attribution]\nmethods = []", "attribution.methods"),
    "epochs": ("[training]\nepochs = -1", "training.epochs"),
    "accumulate": ("[training]\naccumulate = 0", "accumulate must be 1 or more"),
    "rate": ("[training]\nlearning_rate = 0", "training.learning_rate"),
    "factor": ("[training.plateau]\nfactor = 1.0", "factor must lie between 0 and 1"),
    "patience": ("[training.plateau]\npatience = -1", "plateau.patience"),
    "lowest rate": ("[training.plateau]\nmin = 0", "plateau.min"),
    "spray space": ('[spray]\nspaces = ["MNI"]', "spray.spaces", "T1w, template"),
    "neighbours": ("[spray]\nneighbours = 1", "spray.neighbours must be 2 or more"),
    "clusters": ("[spray]\nmax_clusters = 0", "spray.max_clusters"),
    "placement": ('[quality]\nplacement = "spiral"', "must be 'grid' or 'greedy'"),
    "ordering": ('[quality]\nordering = "size"', "quality.ordering must be 'sum' or 'absolute'"),
    "cubes": ("[quality]\ncube_mm = 0", "quality.cube_mm must be above 0"),
    "steps": ("[quality]\nsteps = 0", "quality.steps must be 1 or more"),
    "random orders": ("[quality]\nrandom_orders = 0", "quality.random_orders must be 1 or more"),
    "methods left out": (
        '[quality]\nrandomization_without = ["x"]',
        "quality.randomization_without must be among",
    ),
    "randomised scans": ("[quality]\nrandomization_scans = -1", "must be 0 or above"),
    "spray voxel": ("[spray]\nvoxel_mm = 0", "spray.voxel_mm"),
    "same id": ('[[configurations]]\nid = "A"', "different ids"),
    "id with a slash": ('[[configurations]]\nid = "../x"', "letters and digits"),
    "configuration without id": (
        "[[configurations]]\nskull_strip = true",
        "missing key 'configurations.id'",
    ),
    "unknown key of a configuration": (
        '[[configurations]]\nid = "B"\nstrip = true',
        "configurations.strip",
        "skull_strip",
    ),
    "not TOML": ("[input\nscale = 1", "not valid TOML", "line"),
    "twice": ("[input]\nscale = 1\n[input]\nscale = 2", "not valid TOML"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(mistake: str, write) -> None:
    text, *expected = MISTAKES[mistake]
    key, _, _ = text.partition("\n")
    # a bare key belongs before the first table
    content = f"{text}\n{MINIMAL}" if not key.startswith("[") else f"{MINIMAL}{text}\n"
    refused(write(content), *expected)


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ('name = "mine"\n', "", "missing key 'name'"),
        ('name = "mine"', 'name = "a/b"', "name must be letters, digits or -"),
        ('name = "mine"', 'name = ""', "name must be letters, digits or -"),
        ('positive = "MS"\n', "", "target needs negative and positive, or classes"),
        ('positive = "MS"', 'positive = "HC"', "must differ"),
        ('positive = "MS"', 'positive = "HC+"', "differ in their letters and digits"),
        ('positive = "MS"', 'positive = "病"', "differ in their letters and digits"),
        ('positive = "MS"', 'positive = "TP"', "none may be TP"),
        ('positive = "MS"', "positive = 1", "'target.positive' is 1"),
        ('[[configurations]]\nid = "A"\n', "", "missing key 'configurations'"),
        ('[[configurations]]\nid = "A"', '[configurations]\nid = "A"', "at least one table"),
        ('id = "A"', 'id = ""', "ids of letters and digits"),
        (MINIMAL, "", "missing key 'name'"),
    ],
)
def test_what_is_needed_is_asked_for(before: str, after: str, text: str, write) -> None:
    assert before in MINIMAL
    refused(write(MINIMAL.replace(before, after)), text)


def test_an_empty_list_of_configurations_is_refused(write) -> None:
    text = MINIMAL.replace('[[configurations]]\nid = "A"\n', "")
    refused(write("configurations = []\n" + text), "at least one table", "[[configurations]]")
    refused(write("configurations = [1]\n" + text), "'configurations'", "must be a table")


@pytest.mark.parametrize(
    "text",
    [
        "[input]\nscale = inf",
        "[training]\nlearning_rate = inf",
        "[training]\nguidance_weight = nan",
        "[training]\nguidance_weight = -1.0",
        "[training.plateau]\nmin = nan",
        "[training.plateau]\nmin_delta = -1.0",
    ],
)
def test_numbers_that_make_no_sense_are_refused(text: str, write) -> None:
    refused(write(MINIMAL + text + "\n"))


def test_rounded_thirds_pass(write) -> None:
    """The step cohort makes them sum to 1."""
    text = MINIMAL + "[splits]\nfractions = [0.33333333, 0.33333333, 0.33333333]\n"
    assert load_study(write(text)).splits.fractions == (0.33333333,) * 3


def test_ids_are_ascii(write) -> None:
    refused(write(MINIMAL.replace('id = "A"', 'id = "Größe"')), "ids of letters and digits")


def test_a_byte_order_mark_is_skipped(write) -> None:
    assert load_study(write("\ufeff" + MINIMAL)).name == "mine"


def test_files_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes('name = "Größe"\n'.encode("latin-1"))
    refused(str(path), "not valid TOML")


def test_a_study_that_does_not_exist_names_the_presets(tmp_path: Path) -> None:
    for name in ("nosuch", str(tmp_path / "gone.toml"), str(tmp_path)):
        with pytest.raises(NoInputError, match=r"no study.*quick.*path of a study file") as caught:
            load_study(name)
        assert name in str(caught.value)
        assert caught.value.status == 66


def test_classes_of_any_number(write) -> None:
    text = MINIMAL.replace('negative = "HC"\npositive = "MS"', 'classes = ["HC", "RR", "PP"]')
    target = load_study(write(text)).target
    assert target.names == ("HC", "RR", "PP")
    assert (target.positive_name, target.positive_index) == ("PP", 2)
    named = load_study(write(text.replace("[[conf", 'positive = "RR"\n[[conf', 1))).target
    assert named.positive_index == 1
    refused(write(text.replace("[[conf", 'positive = "XX"\n[[conf', 1)), "one of target.classes")


def test_a_configuration_changes_what_it_names_and_nothing_else(write) -> None:
    change = """\
[[configurations]]
id = "B"
input = { voxel_mm = 3 }
training = { epochs = 7, early_stopping = { patience = 2 } }
"""
    study = load_study(write(MINIMAL + change))
    first, second = (study.of(one) for one in study.configurations)
    assert first == study
    assert second.input == dataclasses.replace(study.input, voxel_mm=3.0)
    assert isinstance(second.input.voxel_mm, float)
    stopping = dataclasses.replace(study.training.early_stopping, patience=2)
    assert second.training == dataclasses.replace(study.training, epochs=7, early_stopping=stopping)
    assert second.model == study.model
