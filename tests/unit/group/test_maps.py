"""Where maps lie, and what belongs to each."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bids_xai.errors import NoInputError
from bids_xai.group.cohort import step as cohort
from bids_xai.group.context import GroupContext
from bids_xai.group.maps import input_space, labels_over, lesion_mask
from bids_xai.group.scans import Scan
from bids_xai.studies.tables import Configuration, Input

TEMPLATE = "MNI152NLin2009aSym"


def people(n: int, **columns: Any) -> str:
    """A participants.tsv: patients (odd numbers) are older and more often men."""
    lines = ["participant_id\tdiagnosis\tage\tsex\tsite"]
    for i in range(1, n + 1):
        patient = i % 2
        row = {
            "diagnosis": "AD" if patient else "NC",
            "age": 60 + i + 6 * patient,
            "sex": "M" if i % 3 == 0 else "F",
            "site": "A" if i <= n // 2 else "B",
        }
        row |= {name: value(i) for name, value in columns.items()}
        lines.append("\t".join(map(str, (f"sub-{i:02d}", *row.values()))))
    return "\n".join(lines) + "\n"


def everybody(derivatives: Any, n: int, **columns: Any) -> GroupContext:
    derivatives.people(people(n, **columns))
    for i in range(1, n + 1):
        derivatives.scan(f"{i:02d}")
    return derivatives.context()


def touch(root: Path, sub: str, *names: str) -> None:
    folder = root / f"sub-{sub}" / "anat"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"sub-{sub}_{name}.nii.gz").touch()


def test_maps_of_the_template_need_no_transform_and_the_finest_counts(derivatives: Any) -> None:
    for res in (1, 2):
        grid = f"space-{TEMPLATE}_res-{res}"
        touch(derivatives.out, "01", f"{grid}_desc-preproc_T1w", f"{grid}_desc-brain_mask")
    touch(derivatives.out, "01", "desc-preproc_T1w", "desc-brain_mask", "space-T1w_R2starmap")
    context = derivatives.context()
    (found,) = context.map_source.maps(Input(suffix="T1w", desc="preproc", space="template"))
    assert found.map.name == f"sub-01_space-{TEMPLATE}_res-1_desc-preproc_T1w.nii.gz"
    assert found.mask is not None
    assert found.mask.name == f"sub-01_space-{TEMPLATE}_res-1_desc-brain_mask.nii.gz"
    assert (found.to_template, found.problem) == (None, None)
    (own,) = context.map_source.maps(Input(suffix="T1w", desc="preproc", space="T1w"))
    assert own.map.name == "sub-01_desc-preproc_T1w.nii.gz"
    assert own.mask is not None
    assert own.mask.name == "sub-01_desc-brain_mask.nii.gz"
    assert own.problem is not None  # no transform to the template


def test_a_configuration_may_take_its_maps_elsewhere(derivatives: Any, tmp_path: Path) -> None:
    context = everybody(derivatives, 6)
    cohort.run(context)
    elsewhere = Configuration("B", input={"derivatives": "other"})
    scans = context.scans()
    assert context.scans_of(Configuration("A"), scans) is scans
    with pytest.raises(NoInputError, match="--derivatives other="):
        context.scans_of(elsewhere, scans)
    settings = dataclasses.replace(context.settings, derivatives=(("other", tmp_path / "o"),))
    context = dataclasses.replace(context, settings=settings)
    with pytest.raises(NoInputError, match=r"no \*_space-T1w_R2starmap.nii.gz of sub-01"):
        context.scans_of(elsewhere, scans)
    derivatives.out.rename(tmp_path / "o")
    moved = context.scans_of(elsewhere, scans)
    assert [scan.name for scan in moved] == [scan.name for scan in scans]
    assert all(str(scan.map_file).startswith(str(tmp_path / "o")) for scan in moved)


def scan_at(root: Path, name: str = "space-T1w_R2starmap", transform: Path | None = None) -> Scan:
    folder = root / "sub-01" / "anat"
    file = folder / f"sub-01_{name}.nii.gz"
    return Scan("sub-01", "01", "", "AD", file, folder / "mask.nii.gz", transform)


def test_the_lesion_mask_is_that_of_the_space_and_resolution_of_the_map(tmp_path: Path) -> None:
    grid = f"space-{TEMPLATE}"
    for name in ("space-T1w", f"{grid}_res-1", f"{grid}_res-2", f"{grid}_res-3", "space-Other"):
        touch(tmp_path, "01", f"{name}_label-lesion_mask")

    def found(map_name: str, space: str) -> str:
        mask = lesion_mask(scan_at(tmp_path, map_name), space)
        return "" if mask is None else mask.name.removeprefix("sub-01_").partition("_label")[0]

    assert found("space-T1w_R2starmap", "T1w") == "space-T1w"
    assert found(f"{grid}_res-2_T1w", TEMPLATE) == f"{grid}_res-2"
    assert found(f"{grid}_res-9_T1w", TEMPLATE) == f"{grid}_res-1"  # the finest
    assert found(f"{grid}_cohort-1_res-2_T1w", TEMPLATE) == ""
    assert found("space-T1w_R2starmap", "Nowhere") == ""


def test_labels_are_on_the_grid_of_the_scan(tmp_path: Path) -> None:
    own = scan_at(tmp_path, transform=tmp_path / "xfm.h5")
    assert labels_over(own, None) is None
    touch(tmp_path, "01", "space-T1w_atlas-B_dseg", "space-T1w_atlas-A_dseg")
    file = labels_over(own, None)
    assert isinstance(file, Path)
    assert file.name == "sub-01_space-T1w_atlas-A_dseg.nii.gz"
    volume = object()
    grid: Any = SimpleNamespace(atlas=SimpleNamespace(volume=volume))
    assert labels_over(scan_at(tmp_path), grid) is volume
    assert labels_over(scan_at(tmp_path), None) is None


def test_the_space_of_an_input_is_the_template_or_that_of_the_scan() -> None:
    assert input_space(Input(space="template"), TEMPLATE) == TEMPLATE
    assert input_space(Input(space="T1w"), TEMPLATE) == "T1w"
