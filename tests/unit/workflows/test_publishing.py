"""The last node puts products in their places and writes the stamp."""

from __future__ import annotations

from pathlib import Path

from bids_xai.bids.manifest import Product, save_manifest
from bids_xai.bids.stamps import read_stamp
from bids_xai.workflows.publishing import Publish


def test_publishing_writes_them_into_the_stamp(tmp_path: Path) -> None:
    staged = tmp_path / "staged"
    staged.mkdir()
    (staged / "t.tsv").write_text("a\n1\n")
    manifest = save_manifest(staged, [Product("t.tsv", {"sub": "01"}, "regions", ".tsv", {})])
    about = {"methods": {"paragraphs": ["Maps were fitted."]}, "settings": {"sloppy": True}}
    stamp = tmp_path / "out" / "logs" / "s.json"
    Publish(
        manifests=[str(manifest)],
        output_dir=str(tmp_path / "out"),
        stamp=str(stamp),
        digest="d",
        provenance=about,
    ).run(cwd=str(tmp_path))
    written = read_stamp(stamp)
    assert {key: written[key] for key in about} == about
    assert "sub-01/anat/sub-01_regions.tsv" in written["outputs"]
