"""The input maps of a configuration as spectral relevance analysis reads them: its control.

Groups that are in the heatmaps and in the input maps alike say nothing about the classifier.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bids_xai.bids.images import Volume, read_volume
from bids_xai.bids.names import parse_name, scan_name
from bids_xai.core.grids import resample_grid
from bids_xai.group.context import Scan
from bids_xai.models.card import ModelCard
from bids_xai.stages.network_grid import InputRule, load_network_input


@dataclass(frozen=True)
class InputMaps:
    """Input maps, one reader a scan, and how they are read.

    rule : what the maps depend on besides the scans; equal rules give equal maps
    """

    rule: str
    readers: tuple[Callable[[], Volume], ...]


@dataclass(frozen=True)
class InputSource:
    """Where the input maps of a configuration lie.

    models : folder of its ``split-*/model.json``; suffix, desc : of its maps, as files are named
    template : the maps in template space have it as their space
    """

    configuration: str
    models: Path
    suffix: str
    desc: str
    template: str

    def network_maps(self, scans: Sequence[Scan]) -> InputMaps | None:
        """Return the maps as the network of the first split sees them; None without a network.

        Raises ``BadDataError`` for a damaged model card, ``NoInputError`` without the statistics
        of z-scores.
        """
        rule = self._network_rule()
        if rule is None:
            return None
        key = (
            *(rule.shape, rule.voxel_mm, rule.scaling, rule.scale, rule.maximum, rule.skull_strip),
            self.configuration if rule.statistics else "",
        )
        return InputMaps(repr(key), tuple(partial(_as_seen, scan, rule) for scan in scans))

    def template_maps(self, scans: Sequence[Scan], template: Volume) -> InputMaps | None:
        """Return the maps in template space, on the grid of ``template``; None where one lacks."""
        files = [self._template_file(scan) for scan in scans]
        if None in files:
            return None
        readers = tuple(partial(_on_grid, file, template) for file in files if file is not None)
        return InputMaps(repr((self.suffix, self.desc)), readers)

    def _network_rule(self) -> InputRule | None:
        for card in sorted(self.models.glob("split-*/model.json")):
            text = card.read_text(encoding="utf-8")
            return InputRule.of_model(ModelCard.from_json(text, card), card.parent)
        return None

    def _template_file(self, scan: Scan) -> Path | None:
        """The map of a scan in template space, the finest there is."""
        if scan.to_template is None:
            return scan.map_file
        candidates = []
        pattern = f"*_space-{self.template}_*{self.suffix}.nii.gz"
        for file in scan.map_file.parent.glob(pattern):
            entities, suffix, _ = parse_name(file.name)
            description = entities.get("desc", ""), suffix, entities.get("space")
            if (
                description == (self.desc, self.suffix, self.template)
                and scan_name(file.name) == scan.name
                and not ({"model", "label", "atlas"} & set(entities))
            ):
                candidates.append((int(entities.get("res", "0")), file))
        return min(candidates)[1] if candidates else None


def _as_seen(scan: Scan, rule: InputRule) -> Volume:
    return load_network_input(scan.map_file, scan.mask_file, rule)[0]


def _on_grid(file: Path, like: Volume) -> Volume:
    volume = read_volume(file)
    return Volume(
        resample_grid(volume.data, volume.affine, like.data.shape, like.affine), like.affine
    )
