"""The input maps as a control."""

from __future__ import annotations

import json
import os

import pytest
from spray_cases import SHAPE, rows

from bids_xai.bids.files import write_json
from bids_xai.errors import BadDataError
from bids_xai.group.context import GroupContext
from bids_xai.group.spray import step


def write_card(study: GroupContext) -> None:
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


def test_a_damaged_input_map_is_named_and_not_left_out(study: GroupContext) -> None:
    """Without the control a shortcut in the inputs would look like one of the network."""
    write_card(study)
    map_file = next(study.output_dir.glob("sub-*/anat/*_space-T1w_R2starmap.nii.gz"))
    content = bytearray(map_file.read_bytes())
    content[len(content) // 2] ^= 1
    map_file.write_bytes(content)
    with pytest.raises(BadDataError, match="damaged") as caught:
        step.run(study)
    assert caught.value.file == str(map_file)


def test_input_maps_are_the_control(study: GroupContext) -> None:
    step.run(study)
    said = json.loads((study.folder / "study.json").read_text())["spray"]["A_T1w"]
    assert "there is no control" in " ".join(said["notes"])  # no model: no rule for inputs
    assert not (study.folder / "spray" / "A_T1w_input").exists()
    write_card(study)
    os.utime(study.folder / "predictions.tsv")
    step.run(study)
    said = json.loads((study.folder / "study.json").read_text())["spray"]["A_T1w"]
    assert said["inputs"]["ari"] > 0.8  # the inputs were drawn as the heatmaps were
    for name in ("eigenvalues", "clusters", "embedding"):
        assert rows(study.folder / "spray" / "A_T1w_input" / f"{name}.tsv")
