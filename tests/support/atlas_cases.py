"""A study on a tiny template: maps, two atlases, labels and lesions on the T1w images."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bids_xai.bids.files import write_nifti
from bids_xai.bids.images import Volume
from bids_xai.core.regions.names import single_regions
from bids_xai.group.atlas import step as atlas
from bids_xai.group.atlas.region_values import View
from bids_xai.group.context import GroupContext
from bids_xai.settings import OutputSpace
from bids_xai.tables.cohort import COHORT, CohortScan
from bids_xai.tables.predictions import PREDICTIONS, Prediction
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


PREDICTION = Prediction(
    participant_id="sub-01",
    session_id=None,
    configuration="A",
    split=0,
    method="m",
    relevance_class=None,
    set_name="test",
    true_class="AD",
    predicted_class="AD",
    probability=0.95,
    outcome="TP",
    relevance_sum=None,
    warped_sum=None,
    inner_mask_share=None,
    heatmap=None,
    warped_heatmap=None,
)


def prediction(**changes: Any) -> Prediction:
    """A true positive, but for the changes."""
    return dataclasses.replace(PREDICTION, **changes)


def predictions_of(classes: Sequence[str]) -> list[Prediction]:
    """One right prediction of each, AD being positive."""
    outcomes = ["TP" if name == "AD" else "TN" for name in classes]
    return [
        prediction(participant_id=f"sub-{number:02}", true_class=name, outcome=outcome)
        for number, (name, outcome) in enumerate(zip(classes, outcomes, strict=True))
    ]


def view(sums: Sequence[Sequence[float]], totals: Sequence[float] | None = None) -> View:
    """Maps by regions of four voxels each."""
    values = np.array(sums, dtype=np.float64)
    labels = [(300 + n, f"region {n}") for n in range(values.shape[1])]
    whole = values.sum(axis=1) if totals is None else np.array(totals)
    return View(
        "X", False, single_regions(labels), np.full(len(labels), 4.0), values, np.abs(values), whole
    )


def tsv_rows(path: Path) -> list[dict[str, str]]:
    """The cells of a table as they stand in the file."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def class_of(person: str) -> str:
    return "AD" if int(person) % 2 else "NC"


@dataclass
class Case:
    """What was written, to be compared with."""

    context: GroupContext
    atlases: list[Atlas]
    maps: dict[tuple[str, str | None, int, str], np.ndarray] = field(default_factory=dict)
    rows: list[Prediction] = field(default_factory=list)

    def labels(self, name: str) -> np.ndarray:
        found: np.ndarray = next(a for a in self.atlases if a.name == name).volume.data
        return found

    def maps_of(self, **values: str | int) -> list[np.ndarray]:
        """The maps of the predictions with these values."""
        return [
            self.map_of(row)
            for row in self.rows
            if all(getattr(row, key) == value for key, value in values.items())
        ]

    def map_of(self, row: Prediction) -> np.ndarray:
        key = (row.configuration, row.method, row.split, row.participant_id[4:])
        found: np.ndarray = self.maps[key]
        return found


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
    grid = TemplateGrid(space, template, case.atlases[0], tuple(case.atlases[1:]))
    monkeypatch.setattr(atlas, "load_template_grid", lambda *_: grid)
    _write_maps(case, signed)
    _write_scans(case)
    return case


def _write_maps(case: Case, signed: bool) -> None:
    rng = np.random.default_rng(6)
    folder = case.context.folder
    for configuration in CONFIGURATIONS:
        for split in (0, 1):
            for person in PEOPLE:
                for method in METHODS:
                    data = rng.exponential(size=SHAPE).astype(np.float32) - signed * 0.8
                    name = f"relevance/{configuration}/{split}/sub-{person}_desc-{method[:3]}"
                    write_nifti(folder / f"{name}_relmap.nii.gz", data, AFFINE)
                    case.maps[configuration, method, split, person] = data
                    case.rows.append(
                        _prediction(person, configuration, split, method, f"{name}_relmap.nii.gz")
                    )
    baseline = dataclasses.replace(
        case.rows[0], configuration="svm", method=None, warped_heatmap=None
    )
    PREDICTIONS.write(folder / PREDICTIONS.file, [*case.rows, baseline])


def _prediction(
    person: str, configuration: str, split: int, method: str, heatmap: str
) -> Prediction:
    truth, right = class_of(person), int(person) % 5 != 0
    return prediction(
        participant_id=f"sub-{person}",
        configuration=configuration,
        split=split,
        method=method,
        true_class=truth,
        predicted_class=truth,
        probability=0.95 if truth == "AD" else 0.1,
        outcome=("T" if right else "F") + ("P" if (truth == "AD") == right else "N"),
        heatmap=Path(heatmap),
        warped_heatmap=Path(heatmap),
    )


def _write_scans(case: Case) -> None:
    """The atlas X of every second volume as large again, lesions of half the participants."""
    out, scans = case.context.output_dir, []
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
        scans.append(
            CohortScan(
                participant_id=f"sub-{person}",
                session_id=None,
                class_name=class_of(person),
                included=True,
                reason=None,
                map_file=anat / f"sub-{person}_space-T1w_R2starmap.nii.gz",
                mask_file=anat / f"sub-{person}_desc-brain_mask.nii.gz",
                to_template=None,
            )
        )
    COHORT.write(case.context.folder / COHORT.file, scans)
