"""From a stage's folder to the derivatives."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bids_xai.bids.manifest import Product, label_table, publish, save_manifest

ENTITIES = {"sub": "01", "ses": "1", "run": "02"}


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    folder = tmp_path / "work" / "fit"
    folder.mkdir(parents=True)
    (folder / "any_name.nii.gz").write_bytes(b"map")
    (folder / "t.h5").write_bytes(b"transform")
    return save_manifest(
        folder,
        [
            Product("any_name.nii.gz", ENTITIES, "R2starmap", ".nii.gz", {"Units": "1/s"}),
            Product(
                "t.h5", {**ENTITIES, "from": "T1w", "to": "MNI", "mode": "image"}, "xfm", ".h5"
            ),
        ],
    )


def test_products_get_their_names_and_sidecars(manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    written = publish(manifest, out)
    stem = "sub-01/ses-1/anat/sub-01_ses-1_run-02"
    expected = {
        f"{stem}_R2starmap.nii.gz": b"map",
        f"{stem}_R2starmap.json": b'{\n  "Units": "1/s"\n}\n',
        f"{stem}_from-T1w_to-MNI_mode-image_xfm.h5": b"transform",
    }
    found = {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert found == expected
    assert {str(p.relative_to(out)) for p in written} == set(expected)


def test_publishing_again_touches_nothing(manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for path in publish(manifest, out):
        os.utime(path, ns=(10**9, 10**9))
    assert {path.stat().st_mtime_ns for path in publish(manifest, out)} == {10**9}


def test_the_manifest_moves_with_its_folder(manifest: Path, tmp_path: Path) -> None:
    assert "work" not in json.dumps(json.loads(manifest.read_text()))
    moved = manifest.parent.rename(tmp_path / "moved")
    assert len(publish(moved / "manifest.json", tmp_path / "out")) == 3


def test_a_missing_product_is_no_success(manifest: Path, tmp_path: Path) -> None:
    (manifest.parent / "t.h5").unlink()
    with pytest.raises(OSError, match=r"t\.h5"):
        publish(manifest, tmp_path / "out")


def test_label_tables_are_those_of_bids() -> None:
    text = label_table([(1, "Left caudate"), (300, "Right caudate")])
    assert text == "index\tname\n1\tLeft caudate\n300\tRight caudate\n"
