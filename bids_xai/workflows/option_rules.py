"""Which options of the participant level do not go together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bids_xai.bids.records import Session
from bids_xai.bids.sessions.query import RAW_INPUTS
from bids_xai.core.relaxometry.fit import NOISE_FLOOR_METHODS, check_method
from bids_xai.errors import naming
from bids_xai.settings import EMBEDDED_TEMPLATE, RunSettings
from bids_xai.templates.atlas_spec import parse_atlas
from bids_xai.workflows.rules import OptionRule, check_rules

if TYPE_CHECKING:
    from bids_xai.models.card import ModelCard

_OWN_SPACES = ("t1w", "anat", "native", "scanner", "orig", "func", "megre")
_SAY_WHERE = "say where: --derivatives NAME=PATH"


def _maps(settings: RunSettings) -> list[str]:
    """The inputs that are precomputed maps."""
    return [name for name in settings.inputs if name not in RAW_INPUTS]


def _derivative_names(settings: RunSettings) -> list[str]:
    return [name for name, _ in settings.derivatives]


def _lacks_synthstrip(settings: RunSettings) -> bool:
    model = settings.synthstrip_model
    return settings.brain_mask == "synthstrip" and (model is None or not model.is_file())


def _has_two_cohorts(settings: RunSettings) -> bool:
    templates = {space.template for space in settings.output_spaces}
    cohorts = {(space.template, space.cohort) for space in settings.output_spaces}
    return len(cohorts) > len(templates)


def _not_templates(settings: RunSettings) -> list[str]:
    """Output spaces of other apps that name a participant's own space."""
    names = [space.template for space in settings.output_spaces]
    return [name for name in names if name.lower() in _OWN_SPACES]


OPTION_RULES: tuple[OptionRule[RunSettings], ...] = (
    OptionRule(
        lambda run: bool(_maps(run)) and not run.derivatives,
        lambda run: f"--inputs {','.join(_maps(run))} are precomputed maps",
        _SAY_WHERE,
    ),
    OptionRule(
        lambda run: run.brain_mask == "derivatives" and not run.derivatives,
        "--brain-mask derivatives needs a dataset",
        _SAY_WHERE,
    ),
    OptionRule(
        _lacks_synthstrip,
        "--brain-mask synthstrip needs the weights of SynthStrip",
        "download them from FreeSurfer and give --synthstrip-model FILE",
    ),
    OptionRule(
        lambda run: run.synthstrip_model is not None and run.brain_mask != "synthstrip",
        "--synthstrip-model has no effect without --brain-mask synthstrip",
        "add --brain-mask synthstrip, or omit the model",
    ),
    OptionRule(
        lambda run: run.registration_engine == "greedy" and run.registration != "nonlinear",
        lambda run: (
            "--registration-engine greedy has no effect with --registration " + run.registration
        ),
        "omit the engine: greedy only does the nonlinear step",
    ),
    OptionRule(
        lambda run: len({*_derivative_names(run), "raw"}) <= len(run.derivatives),
        "--derivatives names must differ, and 'raw' is the input folder",
        "give each dataset its own name",
    ),
    OptionRule(
        lambda run: "megre" in run.inputs and "R2starmap" in run.inputs,
        "R2starmap from --derivatives and R2* from megre would have the same name",
        "omit one of the two inputs",
    ),
    OptionRule(
        lambda run: run.noise_floor > 0 and run.r2star_method not in NOISE_FLOOR_METHODS,
        lambda run: f"--noise-floor is not for {run.r2star_method}",
        f"use --r2star-method {' or '.join(NOISE_FLOOR_METHODS)}",
    ),
    OptionRule(
        lambda run: run.rician and run.r2star_method != "nlls",
        lambda run: f"--rician is not for {run.r2star_method}",
        "use --r2star-method nlls",
    ),
    OptionRule(
        lambda run: bool(_not_templates(run)),
        lambda run: f"--output-spaces {', '.join(_not_templates(run))} is not a template",
        f"name templates alone, for example {EMBEDDED_TEMPLATE}; the images in T1w space and on "
        "their own grids are always written",
    ),
    OptionRule(
        lambda run: any(s.cohort for s in run.output_spaces if s.template == EMBEDDED_TEMPLATE),
        f"the embedded template {EMBEDDED_TEMPLATE} has no cohorts",
        f"give --output-spaces {EMBEDDED_TEMPLATE}",
    ),
    OptionRule(
        _has_two_cohorts,
        "two cohorts of one template",
        "run them one after the other into two output folders",
    ),
    OptionRule(
        lambda run: run.model is not None and bool(run.output_spaces[0].cohort),
        "--model does not support the cohorts of templates",
        "name a template without cohorts first in --output-spaces",
    ),
    OptionRule(
        lambda run: len({parse_atlas(text).label for text in run.atlas}) < len(run.atlas),
        "two --atlas share a name",
        "give each its own NAME: NAME=FILE",
    ),
)


@dataclass(frozen=True)
class ModelChoice:
    """The settings of a run, and the card of the model that they name."""

    settings: RunSettings
    card: ModelCard

    @property
    def suffixes(self) -> set[str]:
        """Suffixes of the maps that this run makes or takes over."""
        inputs = self.settings.inputs
        return {"R2starmap" if name == "megre" else name for name in inputs} | {"T1w"}

    @property
    def missing_input(self) -> str:
        """What ``--inputs`` names to get the maps that the model reads."""
        return "megre" if self.card.suffix == "R2starmap" else self.card.suffix


MODEL_RULES: tuple[OptionRule[ModelChoice], ...] = (
    OptionRule(
        lambda choice: choice.card.suffix not in choice.suffixes,
        lambda choice: f"the model reads {choice.card.suffix}, which this run does not produce",
        lambda choice: f"add {choice.missing_input} to --inputs",
        lambda choice: choice.settings.model,
    ),
)


def check_fit(sessions: Iterable[Session], settings: RunSettings) -> None:
    """Raise the error of a series whose echo times the estimator of R2* cannot use."""
    for session in sessions:
        for series in session.megre:
            with naming(series.files[0]):
                check_method(series.echo_times_s, settings.r2star_method)


def check_options(settings: RunSettings) -> None:
    """Raise :class:`UsageError` for options that do not go together, before any work."""
    check_rules(OPTION_RULES, settings)
    if settings.registration_engine == "greedy":
        from bids_xai.stages.greedy_tools import greedy_modules

        greedy_modules()
