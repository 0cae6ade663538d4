"""A study on a tiny template: maps, two atlases, labels and lesions on the T1w images."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bids_xai.bids.files import write_nifti
from bids_xai.bids.images import Volume
from bids_xai.group.atlas import step as atlas
from bids_xai.group.context import GroupContext, write_table
from bids_xai.settings import OutputSpace
from bids_xai.tables.cohort import COHORT
from bids_xai.tables.predictions import PREDICTIONS
from bids_xai.templates.grid import TemplateGrid
from bids_xai.templates.lookup import Atlas, Template

SHAPE = (14, 13, 12)
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
METHODS = ("lrp-zplus", "saliency")
CONFIGURATIONS = ("A", "C")
PEOPLE = tuple(f"{n:02}" for n in range(1, 13))  # odd ones are ill
PAIRS = tuple(f"Part{n}" for n in range(11))
LABELS = (
    *(
        (300 + 2 * n + right, f"{name}_{'LR'[right]}")
        for n, name in enumerate(PAIRS)
        for right in (0, 1)
    ),
    (7, "Stem"),
    (8, "Missing"),
)


def class_of(person: str) -> str:
    return "AD" if int(person) % 2 else "NC"


@dataclass
class Case:
    """What was written, to be compared with."""

    context: GroupContext
    atlases: list[Atlas]
    maps: dict[tuple[str, str, str, str], np.ndarray] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)

    def labels(self, name: str) -> np.ndarray:
        found: np.ndarray = next(a for a in self.atlases if a.name == name).volume.data
        return found

    def chosen(self, **wanted: str) -> list[np.ndarray]:
        """The maps of the lines with these values."""
        return [
            self.maps[row["configuration"], row["method"], row["split"], row["participant_id"][4:]]
            for row in self.rows
            if all(row[key] == value for key, value in wanted.items())
        ]


def atlases() -> list[Atlas]:
    rng = np.random.default_rng(5)
    values = [index for index, name in LABELS if name != "Missing"]
    first = rng.choice([0, *values], size=SHAPE).astype(np.int32)
    second = rng.choice([0, 1, 70000, 9], size=SHAPE).astype(np.int32)  # 9 has no name
    return [
        Atlas("X", Volume(first, AFFINE), LABELS),
        Atlas("Y", Volume(second, AFFINE), ((1, "Grey"), (70000, "White"))),
    ]


def build(context: GroupContext, monkeypatch: pytest.MonkeyPatch, signed: bool = False) -> Case:
    """Write maps, predictions, cohort, labels and lesions; put the tiny template in place."""
    study = context.study
    configurations = tuple(c for c in study.configurations if c.id in CONFIGURATIONS)
    attribution = dataclasses.replace(study.attribution, methods=METHODS)
    study = dataclasses.replace(study, configurations=configurations, attribution=attribution)
    context = dataclasses.replace(context, study=study)
    case = Case(context, atlases())
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:-2, 2:-2, 2:-2] = 1
    space = OutputSpace(context.template, 2)
    template = Template(context.template, Volume(mask * 1.0, AFFINE), Volume(mask, AFFINE))
    grid = TemplateGrid(space, template, None)
    monkeypatch.setattr(atlas, "load_template_grid", lambda _: grid)
    monkeypatch.setattr(atlas, "find_atlases", lambda _: case.atlases)
    _write_maps(case, signed)
    _write_scans(case)
    return case


def _write_maps(case: Case, signed: bool) -> None:
    rng = np.random.default_rng(6)
    folder = case.context.folder
    for configuration in CONFIGURATIONS:
        for split in ("0", "1"):
            for person in PEOPLE:
                for method in METHODS:
                    data = rng.exponential(size=SHAPE).astype(np.float32) - signed * 0.8
                    name = f"relevance/{configuration}/{split}/sub-{person}_desc-{method[:3]}"
                    write_nifti(folder / f"{name}_relmap.nii.gz", data, AFFINE)
                    case.maps[configuration, method, split, person] = data
                    truth = class_of(person)
                    right = int(person) % 5 != 0
                    case.rows.append(
                        {
                            "participant_id": f"sub-{person}",
                            "session_id": "n/a",
                            "configuration": configuration,
                            "split": split,
                            "method": method,
                            "set": "test",
                            "true_class": truth,
                            "predicted_class": truth,
                            "probability": 0.95 if truth == "AD" else 0.1,
                            "outcome": ("T" if right else "F")
                            + ("P" if (truth == "AD") == right else "N"),
                            "relevance": f"{name}_relmap.nii.gz",
                            "warped": f"{name}_relmap.nii.gz",
                        }
                    )
    baseline = {**case.rows[0], "configuration": "svm", "method": "n/a", "warped": "n/a"}
    write_table(folder / "predictions.tsv", [*case.rows, baseline], PREDICTIONS.meanings())


def _write_scans(case: Case) -> None:
    """The atlas X of every second volume as large again, lesions of half the participants."""
    out, lines = case.context.output_dir, []
    for person in PEOPLE:
        folder = out / f"sub-{person}" / "anat"
        number = int(person)
        labels = np.where(case.labels("X") > 0, case.labels("X"), 0)
        labels[:number] = 0
        write_nifti(folder / f"sub-{person}_space-T1w_atlas-X_dseg.nii.gz", labels, AFFINE)
        if number <= 6:
            lesions = np.zeros(SHAPE, np.uint8)
            lesions[: number + 1, :4] = 1
            name = f"sub-{person}_space-T1w_label-lesion_mask.nii.gz"
            write_nifti(folder / name, lesions, AFFINE)
        anat = Path(f"sub-{person}") / "anat"
        lines.append(
            {
                "participant_id": f"sub-{person}",
                "session_id": "n/a",
                "class": class_of(person),
                "included": True,
                "map": anat / f"sub-{person}_space-T1w_R2starmap.nii.gz",
                "mask": anat / f"sub-{person}_desc-brain_mask.nii.gz",
                "to_template": "n/a",
            }
        )
    write_table(case.context.folder / "cohort.tsv", lines, COHORT.meanings())
