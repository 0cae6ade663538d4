"""The step ``spray`` on made-up heatmaps with a planted cheat: tables, verdicts, repetition."""

from __future__ import annotations

import json
import time

import pytest
from spray_cases import people, rows

from bids_xai.bids.files import write_json
from bids_xai.group.context import GroupContext
from bids_xai.group.spray import step


def test_a_planted_cheat_is_named(study: GroupContext) -> None:
    written = step.run(study)
    folder = study.folder / "spray"
    assert all(path.is_file() for path in written)
    clusters = rows(folder / "A_T1w" / "clusters.tsv")
    assert list(clusters[0])[:9] == [
        "participant_id",
        "session_id",
        "configuration",
        "space",
        "cluster",
        "stability",
        "outcome",
        "y_true",
        "probability",
    ]
    cheats = {str(p["participant_id"]) for p in people() if p["cheat"]}
    assert cheats == {
        row["participant_id"]
        for row in clusters
        if row["cluster"] == next(r["cluster"] for r in clusters if r["participant_id"] in cheats)
    }
    confounds = rows(folder / "confounds.tsv")
    assert list(confounds[0])[:9] == [
        "configuration",
        "space",
        "cluster",
        "covariate",
        "test",
        "statistic",
        "effect_size",
        "p",
        "q",
    ]
    assert confounds == rows(folder / "A_T1w" / "confounds.tsv")
    tested = {row["covariate"] for row in confounds}
    assert tested >= {
        "class",
        "split",
        "site",
        "age",
        "Manufacturer",
        "BrainVolumeMl_desc-brain_mask",
        "relevance_outside",
    }
    assert not {"MagneticFieldStrength", "participant_id", "diagnosis", "weight"} & tested
    worst = rows(folder / "verdicts.tsv")[0]
    assert worst["finding"] == "suspicious"
    assert set(worst["examples"].split(",")) <= cheats
    assert "relevance outside the brain" in worst["verdict"]
    assert "22 mm right, 28 mm front, 22 mm up from the middle of the image" in worst["verdict"]
    assert "inside the brain in 0 % of the scans" in worst["verdict"]
    assert not (study.output_dir / "work").exists()


def test_nothing_is_done_twice(study: GroupContext, caplog: pytest.LogCaptureFixture) -> None:
    step.run(study)
    files = sorted((study.folder / "spray").rglob("*"))
    before = [(path, path.stat().st_mtime_ns) for path in files]
    write_json(study.folder / "study.json", {"study": "quick"})  # as the step explain does
    caplog.set_level("INFO", "bids_xai")
    step.run(study)
    assert "have not changed" in caplog.text
    assert [(path, path.stat().st_mtime_ns) for path in files] == before
    assert json.loads((study.folder / "study.json").read_text())["spray"]["A_T1w"]["n_clusters"]
    time.sleep(0.01)
    table = study.settings.bids_dir / "participants.tsv"
    table.write_text(table.read_text().replace("\tA\t", "\tD\t"))
    stale = study.folder / "spray" / "A_T1w" / "cluster-9_mean.nii.gz"
    stale.touch()
    step.run(study)
    assert any(row["site"] == "D" for row in rows(study.folder / "spray" / "covariates.tsv"))


def test_maps_and_analyses_are_counted(
    study: GroupContext, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bids_xai.runtime.progress.FIRST_S", 0.0)
    caplog.set_level("INFO", "bids_xai")
    table = study.folder / "predictions.tsv"
    header, *lines = table.read_text().splitlines()
    twice = [line.replace("\tA\t", "\tB\t", 1) for line in lines]
    table.write_text("\n".join([header, *lines, *twice]) + "\n")
    step.run(study)
    said = [text.strip() for text in caplog.messages]
    n = len(lines)
    assert any(text.startswith(f"{n - 1} of {n} maps done, about ") for text in said)
    assert any(text.startswith("1 of 2 analyses done, about ") for text in said)
