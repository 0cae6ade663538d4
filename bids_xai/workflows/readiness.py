"""What a run reads before its first job, so that it fails before hours of work, not after."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bids_xai.settings import RELEVANCE_RESOLUTION, OutputSpace, RunSettings
from bids_xai.templates.lookup import Atlas, AtlasSpec, load_atlas, load_template, parse_atlas
from bids_xai.workflows.option_rules import MODEL_RULES, ModelChoice
from bids_xai.workflows.rules import check_rules

if TYPE_CHECKING:
    from bids_xai.models.card import ModelCard

LOG = logging.getLogger("bids_xai")


@dataclass(frozen=True)
class ReadyModel:
    """A trained model that fits this run, and the device that its workers choose by."""

    path: Path
    card: ModelCard
    device: str


def ready_templates(settings: RunSettings) -> list[Atlas]:
    """Fail before hours of work, not after; return the atlases."""
    first = settings.output_spaces[0]
    relevant: list[Atlas] = []
    if settings.model is not None:  # relevance is reported on this grid
        from bids_xai.templates.grid import load_atlases

        load_template(OutputSpace(first.template, RELEVANCE_RESOLUTION))
        relevant = load_atlases(first.template, settings.atlas)
    for space in settings.output_spaces:
        load_template(space)
    specs: list[AtlasSpec | None] = [parse_atlas(text) for text in settings.atlas]
    atlases = [load_atlas(first, spec) for spec in specs or [None]]
    if None in atlases:
        LOG.warning("no atlas for %s: no region tables there", first.template)
    warped = [atlas for atlas in atlases if atlas is not None]
    return list({atlas.name: atlas for atlas in [*relevant, *warped]}.values())


def ready_model(settings: RunSettings) -> ReadyModel | None:
    """Read the model once, so that one clear message comes before the graph."""
    if settings.model is None:
        return None
    from bids_xai.bids.integrity import check_intact
    from bids_xai.models.card import load_model, model_files
    from bids_xai.runtime.device import choose_device
    from bids_xai.stages.model import check_request
    from bids_xai.workflows.explanation import model_space

    check_intact(model_files(settings.model))
    _, card = load_model(settings.model)
    check_rules(MODEL_RULES, ModelChoice(settings, card))
    model_space(card, settings)
    check_request(card, settings.attribution, settings.target)
    if settings.use_plugin:  # a batch system runs the graph: its nodes look for a device themselves
        return ReadyModel(settings.model, card, settings.device)
    device = choose_device(settings.device, ask_card=False)
    LOG.info("the model predicts and explains on %s", device)
    return ReadyModel(settings.model, card, "cpu" if device == "cpu" else settings.device)
