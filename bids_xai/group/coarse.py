"""For ``--sloppy``: the coarsest voxels that each network of a study still takes."""

from __future__ import annotations

from dataclasses import replace

from bids_xai.errors import UsageError
from bids_xai.group.context import GroupContext
from bids_xai.models.size import network_size
from bids_xai.stages.network_grid import common_shape
from bids_xai.studies.tables import Configuration, Study

_EDGES_MM = (6.0, 5.0, 4.0, 3.0, 2.5, 2.0, 1.5)


def coarsened(context: GroupContext) -> GroupContext:
    """Return the context with every configuration on the coarsest voxels its network takes."""
    study = context.study
    configurations = tuple(
        _coarsened(context, configuration) for configuration in study.configurations
    )
    return replace(context, study=replace(study, configurations=configurations))


def _coarsened(context: GroupContext, configuration: Configuration) -> Configuration:
    study = context.study.of(configuration)
    maps = [files.map for files in context.map_source.maps(study.input)][:1]
    for edge in _EDGES_MM:
        if edge <= study.input.voxel_mm:
            break  # no coarser than the study has it
        if _fits(study, common_shape(maps, edge)):
            changed = {**configuration.input, "voxel_mm": edge}
            return replace(configuration, input=changed)
    return configuration


def _fits(study: Study, shape: tuple[int, int, int]) -> bool:
    try:
        network_size(
            study.model.architecture, shape, len(study.target.names), **study.model.options
        )
    except UsageError:
        return False
    return True
