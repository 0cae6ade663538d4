"""The template grid of relevance and the atlases on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_xai.bids.files import write_nifti
from bids_xai.errors import UsageError
from bids_xai.settings import EMBEDDED_TEMPLATE
from bids_xai.templates.grid import load_atlases


def test_the_embedded_atlas_comes_beside_those_that_are_named(tmp_path: Path) -> None:
    (embedded,) = load_atlases(EMBEDDED_TEMPLATE, ())
    assert embedded.name == "TissueNuclei"
    image, table = tmp_path / "x_dseg.nii.gz", tmp_path / "x_dseg.tsv"
    write_nifti(image, embedded.volume.data, embedded.volume.affine)
    lines = [f"{index}\t{name}" for index, name in embedded.labels]
    table.write_text("index\tname\n" + "\n".join(lines) + "\n")
    mine = f"Mine={image}"
    assert [a.name for a in load_atlases(EMBEDDED_TEMPLATE, [mine])] == ["Mine", "TissueNuclei"]
    found = load_atlases(EMBEDDED_TEMPLATE, ["TissueNuclei", mine])
    assert [a.name for a in found] == ["TissueNuclei", "Mine"]
    assert found[1].labels == embedded.labels
    with pytest.raises(UsageError, match="two atlases are called TissueNuclei"):
        load_atlases(EMBEDDED_TEMPLATE, [f"TissueNuclei={image}"])
