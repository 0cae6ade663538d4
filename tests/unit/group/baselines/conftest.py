"""Sixteen participants with maps, brains and labels."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from baseline_cases import INPUT, TEMPLATE, N, brain, labels, noise, place, save, splits

from bids_xai.bids.files import write_tsv
from bids_xai.core.baselines import search as machines
from bids_xai.group.context import GroupContext
from bids_xai.settings import RunSettings
from bids_xai.studies.schema import load_study
from bids_xai.studies.tables import Baseline
from bids_xai.tables.cohort import COHORT, SPLITS


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GroupContext:
    """Sixteen participants, half of them AD, in two splits."""
    monkeypatch.setattr(machines, "C_GRID", (0.1, 10.0))
    monkeypatch.setattr(machines, "GAMMA_GRID", (0.1, 1.0))
    out, rows = tmp_path / "out", []
    for i in range(N):
        sub = f"{i:02d}"
        files = [
            save(place(out, sub, "R2starmap", space="T1w"), noise(i)),
            save(place(out, sub, "mask", desc="brain"), brain(i)),
        ]
        save(place(out, sub, "dseg", space="T1w", atlas="Mine"), labels())
        names = [str(file.relative_to(out)) for file in files]
        rows.append(
            {
                "participant_id": f"sub-{sub}",
                "session_id": "ses-1",
                "included": True,
                "class": "AD" if i % 2 else "NC",
                "map": names[0],
                "mask": names[1],
            }
        )
    folder = out / "group" / "quick"
    write_tsv(folder / "cohort.tsv", rows, COHORT.meanings())
    write_tsv(folder / "splits.tsv", splits(), SPLITS.meanings())
    study = dataclasses.replace(
        load_study("quick"), input=INPUT, baselines=(Baseline("svm", "regions", inner_folds=3),)
    )
    return GroupContext(RunSettings(tmp_path, out, "group"), study, TEMPLATE)
