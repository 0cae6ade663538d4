"""The input maps of a configuration as spectral relevance analysis reads them: its control.

Groups that are in the heatmaps and in the input maps alike say nothing about the classifier.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bids_xai.bids.images import Volume, read_volume
from bids_xai.bids.names import parse_name, scan_name
from bids_xai.core.grids import resample_grid
from bids_xai.group.context import GroupContext, Scan
from bids_xai.models.card import ModelCard
from bids_xai.stages.network_grid import InputRule, load_network_input
from bids_xai.studies.tables import Configuration


def input_readers(
    context: GroupContext,
    configuration: Configuration,
    scans: Sequence[Scan],
    space: str,
    template: Volume | None,
) -> tuple[str, list[Callable[[], Volume]]] | None:
    """Return what the control depends on besides the scans, and a reader a scan.

    In the space ``T1w`` maps are read as the network of the first split sees them; in template
    space the maps in that space among the derivatives, on the grid of ``template``. ``None`` where
    there are none.
    """
    if space == "T1w":
        rule = _rule(context, configuration)
        if rule is None:
            return None
        key = repr(
            (
                rule.shape,
                rule.voxel_mm,
                rule.scaling,
                rule.scale,
                rule.maximum,
                rule.skull_strip,
                configuration.id if rule.statistics else "",
            )
        )
        return key, [partial(_as_seen, scan, rule) for scan in scans]
    table = context.study.of(configuration).input
    files = [
        _in_template(scan, table.suffix, table.desc, context.template)
        if scan.to_template is not None
        else scan.map_file
        for scan in scans
    ]
    if template is None or None in files:
        return None
    found = [file for file in files if file is not None]
    return repr((table.suffix, table.desc)), [partial(_on_grid, f, template) for f in found]


def _rule(context: GroupContext, configuration: Configuration) -> InputRule | None:
    folder = context.model_folder(configuration.id, 0).parent
    for card in sorted(folder.glob("split-*/model.json")):
        text = card.read_text(encoding="utf-8")
        return InputRule.of_model(ModelCard.from_json(text, card), card.parent)
    return None


def _as_seen(scan: Scan, rule: InputRule) -> Volume:
    return load_network_input(scan.map_file, scan.mask_file, rule)[0]


def _on_grid(file: Path, like: Volume) -> Volume:
    volume = read_volume(file)
    return Volume(
        resample_grid(volume.data, volume.affine, like.data.shape, like.affine), like.affine
    )


def _in_template(scan: Scan, suffix: str, desc: str, template: str) -> Path | None:
    """The map of a scan in template space, the finest there is."""
    found = []
    for file in scan.map_file.parent.glob(f"*_space-{template}_*{suffix}.nii.gz"):
        entities, own_suffix, _ = parse_name(file.name)
        own = entities.get("desc", ""), own_suffix, entities.get("space")
        if (
            own == (desc, suffix, template)
            and scan_name(file.name) == scan.name
            and not ({"model", "label", "atlas"} & set(entities))
        ):
            found.append((int(entities.get("res", "0")), file))
    return min(found)[1] if found else None
