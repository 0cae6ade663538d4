"""The input maps as a control."""

from __future__ import annotations

import json
import os

from spray_cases import SHAPE, rows

from bids_xai.bids.files import write_json
from bids_xai.group.context import GroupContext
from bids_xai.group.spray import step


def test_input_maps_are_the_control(study: GroupContext) -> None:
    step.run(study)
    said = json.loads((study.folder / "study.json").read_text())["spray"]["A_T1w"]
    assert "there is no control" in " ".join(said["notes"])  # no model: no rule for inputs
    assert not (study.folder / "spray" / "A_T1w_input").exists()
    card = {
        "architecture": "graz",
        "options": {},
        "input_shape": list(SHAPE),
        "voxel_mm": None,
        "suffix": "R2starmap",
        "space": "T1w",
        "scale": 1.0,
        "maximum": None,
        "skull_strip": False,
        "channels": 1,
        "scaling": "fixed",
        "weights_sha256": "0" * 64,
        "classes": ["NC", "AD"],
        "positive": "AD",
        "seed": 0,
        "study": "quick",
        "configuration": "A",
        "split": 0,
        "split_hash": "x",
        "training_participants": [],
        "relevance_guided": False,
        "metrics": {},
        "versions": {},
    }
    write_json(study.model_folder("A", 0) / "model.json", card)
    os.utime(study.folder / "predictions.tsv")
    step.run(study)
    said = json.loads((study.folder / "study.json").read_text())["spray"]["A_T1w"]
    assert said["inputs"]["ari"] > 0.8  # the inputs were drawn as the heatmaps were
    for name in ("eigenvalues", "clusters", "embedding"):
        assert rows(study.folder / "spray" / "A_T1w_input" / f"{name}.tsv")
