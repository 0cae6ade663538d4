"""All analyses of a study: precision, spaces."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from spray_cases import AFFINE, ball, people, relevance, rows, tsv

from bids_xai.bids.files import write_nifti
from bids_xai.group.context import GroupContext
from bids_xai.group.spray import step


def test_half_precision_finds_the_same(study: GroupContext) -> None:
    step.run(study)
    path = study.folder / "spray" / "A_T1w" / "clusters.tsv"
    whole = [row["cluster"] for row in rows(path)]
    mean = (path.parent / "cluster-1_mean.nii.gz").read_bytes()
    settings = dataclasses.replace(study.study.spray, precision="float16", inputs=False)
    half = dataclasses.replace(study, study=dataclasses.replace(study.study, spray=settings))
    step.run(half)
    assert [row["cluster"] for row in rows(path)] == whole
    assert (path.parent / "cluster-1_mean.nii.gz").read_bytes() != mean


def test_template_space_is_cut_to_the_brain(
    study: GroupContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Warped maps within the mask alone; places by region; input maps found by name."""
    from bids_xai.bids.images import Volume
    from bids_xai.settings import OutputSpace
    from bids_xai.templates.grid import TemplateGrid
    from bids_xai.templates.lookup import Atlas, Template

    volume = Volume(ball().astype(np.float32), AFFINE)
    atlas = Atlas("drawn", Volume(ball().astype(np.int32), AFFINE), ((1, "middle"),))
    grid = TemplateGrid(OutputSpace("T", 2), Template("T", volume, volume), atlas)
    monkeypatch.setattr(step, "load_template_grid", lambda _: grid)
    folder, rng = study.folder, np.random.default_rng(2)
    predictions = rows(folder / "predictions.tsv")
    cohort = rows(folder / "cohort.tsv")
    for row, person in zip(predictions, people(), strict=True):
        data = relevance(person, rng)
        if person["cheat"]:
            data[5:8, 5:8, 5:8] += 0.1
        row["warped"] = row["relevance"].replace("T1w", "T_res-2")
        write_nifti(folder / row["warped"], data, AFFINE)
        anat = study.output_dir / row["participant_id"] / "anat"
        write_nifti(anat / f"{row['participant_id']}_space-T_res-2_R2starmap.nii.gz", data, AFFINE)
    for row in cohort:
        row["to_template"] = "somewhere.h5"
    tsv(folder / "predictions.tsv", [dict(row) for row in predictions])
    tsv(folder / "cohort.tsv", [dict(row) for row in cohort])
    step.run(dataclasses.replace(study, template="T"))
    import nibabel as nib

    for file in (folder / "spray" / "A_template").glob("cluster-*_mean.nii.gz"):
        assert not nib.load(file).get_fdata()[~ball()].any()
    said = json.loads((folder / "spray" / "summary.json").read_text())["A_template"]
    assert said["inputs"]["ari"] == 1.0  # the same maps
    verdicts = [r for r in rows(folder / "spray" / "verdicts.tsv") if r["space"] == "template"]
    assert any("mm (middle)" in row["verdict"] for row in verdicts)
    cheats = {str(p["participant_id"]) for p in people() if p["cheat"]}
    clusters = rows(folder / "spray" / "A_template" / "clusters.tsv")
    own = {row["cluster"] for row in clusters if row["participant_id"] in cheats}
    assert len(own) == 1
