"""Options that cannot be combined are refused before any work, in these very words."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bids_xai.bids.records import EchoSeries, Session
from bids_xai.errors import BadDataError, UsageError
from bids_xai.settings import OutputSpace, RunSettings
from bids_xai.workflows.option_rules import (
    MODEL_RULES,
    OPTION_RULES,
    ModelChoice,
    check_fit,
    check_options,
)
from bids_xai.workflows.rules import check_rules

OTHER = (("q", Path("/q")),)
WHERE = "say where: --derivatives NAME=PATH"


def settings(**options: Any) -> RunSettings:
    return RunSettings(Path("/in"), Path("/out"), "participant", **options)


BROKEN: list[tuple[dict[str, Any], str, str]] = [
    ({"inputs": ("R1map", "Chimap")}, "--inputs R1map,Chimap are precomputed maps", WHERE),
    ({"brain_mask": "derivatives"}, "--brain-mask derivatives needs a dataset", WHERE),
    (
        {"brain_mask": "synthstrip"},
        "--brain-mask synthstrip needs the weights of SynthStrip",
        "download them from FreeSurfer and give --synthstrip-model FILE",
    ),
    (
        {"synthstrip_model": Path("s.pt")},
        "--synthstrip-model has no effect without --brain-mask synthstrip",
        "add --brain-mask synthstrip, or omit the model",
    ),
    (
        {"registration_engine": "greedy", "registration": "linear"},
        "--registration-engine greedy has no effect with --registration linear",
        "omit the engine: greedy only does the nonlinear step",
    ),
    (
        {"derivatives": (("raw", Path("/q")),)},
        "--derivatives names must differ, and 'raw' is the input folder",
        "give each dataset its own name",
    ),
    (
        {"inputs": ("megre", "R2starmap"), "derivatives": OTHER},
        "R2starmap from --derivatives and R2* from megre would have the same name",
        "omit one of the two inputs",
    ),
    (
        {"noise_floor": 3.0, "r2star_method": "arlo"},
        "--noise-floor is not for arlo",
        "use --r2star-method nlls or loglin",
    ),
    (
        {"rician": True, "r2star_method": "loglin"},
        "--rician is not for loglin",
        "use --r2star-method nlls",
    ),
    (
        {"output_spaces": (OutputSpace("T1w", 2),)},
        "--output-spaces T1w is not a template",
        "name templates alone, for example MNI152NLin2009aSym; the images in T1w space and on "
        "their own grids are always written",
    ),
    (
        {"output_spaces": (OutputSpace("MNI152NLin2009aSym", 2, "3"),)},
        "the embedded template MNI152NLin2009aSym has no cohorts",
        "give --output-spaces MNI152NLin2009aSym",
    ),
    (
        {"output_spaces": (OutputSpace("T", 1, "1"), OutputSpace("T", 1, "2"))},
        "two cohorts of one template",
        "run them one after the other into two output folders",
    ),
    (
        {"model": Path("m"), "output_spaces": (OutputSpace("T", 2, "1"),)},
        "--model does not support the cohorts of templates",
        "name a template without cohorts first in --output-spaces",
    ),
    (
        {"atlas": ("A=/a.nii", "A=/b.nii")},
        "two --atlas share a name",
        "give each its own NAME: NAME=FILE",
    ),
]


def test_every_rule_has_its_case() -> None:
    assert len(BROKEN) == len(OPTION_RULES)
    for rule, (options, problem, _) in zip(OPTION_RULES, BROKEN, strict=True):
        assert rule.applies(settings(**options)), problem
        assert not rule.applies(settings()), problem


@pytest.mark.parametrize(("options", "problem", "fix"), BROKEN)
def test_what_does_not_go_together_is_refused(
    options: dict[str, Any], problem: str, fix: str
) -> None:
    with pytest.raises(UsageError) as caught:
        check_options(settings(**options))
    assert (caught.value.problem, caught.value.fix, caught.value.file) == (problem, fix, None)


def test_two_datasets_of_one_name_are_refused_as_well() -> None:
    with pytest.raises(UsageError, match="names must differ"):
        check_options(settings(derivatives=(*OTHER, *OTHER)))


def test_of_several_the_first_rule_is_told() -> None:
    with pytest.raises(UsageError, match="--inputs R1map are precomputed maps"):
        check_options(settings(inputs=("R1map",), rician=True, r2star_method="arlo"))


def test_what_goes_together_passes(tmp_path: Path) -> None:
    check_options(settings())
    check_options(settings(inputs=("megre", "R1map"), derivatives=OTHER, brain_mask="derivatives"))
    check_options(settings(noise_floor=3.0, rician=True))
    check_options(settings(output_spaces=(OutputSpace("T", 1, "1"), OutputSpace("T", 2, "1"))))
    weights = tmp_path / "s.pt"
    weights.write_bytes(b"")
    check_options(settings(brain_mask="synthstrip", synthstrip_model=weights))


@pytest.mark.parametrize(
    ("inputs", "suffix", "missing"),
    [
        (("T1w",), "R2starmap", "megre"),
        (("megre",), "FLAIR", "FLAIR"),
        (("megre",), "R1map", "R1map"),
        (("megre",), "R2starmap", None),
        (("megre",), "T1w", None),  # made in every run
        (("R1map",), "R1map", None),
    ],
)
def test_the_maps_of_the_model_must_be_made(
    inputs: tuple[str, ...], suffix: str, missing: str | None
) -> None:
    card = cast("Any", SimpleNamespace(suffix=suffix))
    choice = ModelChoice(settings(inputs=inputs, model=Path("/m")), card)
    if missing is None:
        check_rules(MODEL_RULES, choice)
        return
    with pytest.raises(UsageError) as caught:
        check_rules(MODEL_RULES, choice)
    assert caught.value.problem == f"the model reads {suffix}, which this run does not produce"
    assert caught.value.fix == f"add {missing} to --inputs"
    assert caught.value.file == "/m"


def test_an_estimator_that_cannot_use_the_echoes_is_told_before_any_work() -> None:
    files = (Path("a_echo-1.nii.gz"), Path("a_echo-2.nii.gz"))
    session = Session("01", None, None, (EchoSeries({}, files, (0.01, 0.02)),))
    check_fit([session], settings())
    with pytest.raises(BadDataError, match=r"three echoes, found 2.*a_echo-1") as caught:
        check_fit([session], settings(r2star_method="arlo"))
    assert caught.value.fix == "use nlls, loglin or numart2s"
