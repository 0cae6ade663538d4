"""The stamp of a session tells how this session was made, whatever later runs do."""

from __future__ import annotations

from pathlib import Path

from bids_xai.bids.manifest import Product, save_manifest
from bids_xai.bids.records import Session, SourceImage
from bids_xai.bids.stamps import read_stamp
from bids_xai.reports.citation import preprocessing_methods
from bids_xai.settings import EMBEDDED_TEMPLATE, OutputSpace, RunSettings
from bids_xai.workflows import participant
from bids_xai.workflows.nodes import Publish


def test_a_job_carries_its_methods_and_settings_without_paths(tmp_path: Path) -> None:
    image = tmp_path / "x.nii.gz"
    image.write_bytes(b"")
    atlas = tmp_path / "mine.nii.gz"
    atlas.write_bytes(b"")
    atlas.with_name("mine.tsv").write_text("")
    settings = RunSettings(
        Path("/in"),
        tmp_path / "out",
        "participant",
        sloppy=True,
        derivatives=(("lesions", tmp_path),),
        atlas=(f"Mine={atlas},{atlas.with_name('mine.tsv')}",),
        output_spaces=(OutputSpace(EMBEDDED_TEMPLATE),),
    )
    job = participant._preprocessing(
        Session("01", None, SourceImage(image, "", {"sub": "01"})), settings
    )
    about = job.build.keywords["record"].provenance  # type: ignore[attr-defined]
    assert about["methods"] == preprocessing_methods(settings).plain
    assert about["settings"]["sloppy"] is True
    assert about["settings"]["derivatives"] == ["lesions"]
    assert about["settings"]["atlases"] == ["Mine"]
    assert str(tmp_path) not in str(about)


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
        about=about,
    ).run(cwd=str(tmp_path))
    written = read_stamp(stamp)
    assert {key: written[key] for key in about} == about
    assert "sub-01/anat/sub-01_regions.tsv" in written["outputs"]
