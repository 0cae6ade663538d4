"""A made-up study with a planted cheat, for the step ``spray``: heatmaps, tables, quality."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np

from bids_xai.bids.files import write_json, write_nifti, write_text
from bids_xai.group.context import GroupContext
from bids_xai.settings import RunSettings
from bids_xai.studies.schema import load_study
from bids_xai.tables.cohort import COHORT, CohortScan
from bids_xai.tables.predictions import PREDICTIONS, Prediction

N = 36
SHAPE = (12, 14, 12)
AFFINE = np.diag([5.0, 5.0, 5.0, 1.0])
MARKER = (10, 12, 10)


def ball() -> np.ndarray:
    x, y, z = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in SHAPE)]
    inside: np.ndarray = x**2 + y**2 + z**2 < 0.5
    return inside


def people() -> list[dict[str, object]]:
    rng = np.random.default_rng(0)
    return [
        {
            "participant_id": f"sub-{i:02d}",
            "diagnosis": ("NC", "AD")[i % 2],
            "site": str(rng.choice(list("ABC"))),
            "age": f"{70 + 6 * rng.normal():.1f}",
            "cheat": i % 6 == 1 or i % 6 == 3,
        }
        for i in range(N)
    ]


def relevance(person: dict[str, object], rng: np.random.Generator) -> np.ndarray:
    """In the brain, elsewhere there for patients, on the marker for cheats; the sum is 1."""
    data = rng.random(SHAPE) * ball()
    if person["diagnosis"] == "AD" and not person["cheat"]:
        data[5:7, 5:8, 5:7] += 6
    if person["cheat"]:
        data *= 0.4
        data[9:12, 11:14, 9:12] += 20
    return (data / data.sum()).astype(np.float32)


def tsv(path: Path, rows: list[dict[str, object]]) -> None:
    lines = ["\t".join(rows[0]), *("\t".join(str(v) for v in row.values()) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def prediction(
    name: str, class_name: str, split: int = 0, heatmap: Path | None = None
) -> Prediction:
    """A right prediction of configuration A."""
    positive = class_name == "AD"
    return Prediction(
        participant_id=name,
        session_id=None,
        configuration="A",
        split=split,
        method="lrp-zplus",
        relevance_class="all",
        set_name="test",
        true_class=class_name,
        predicted_class=class_name,
        probability=0.9 if positive else 0.1,
        outcome="TP" if positive else "TN",
        relevance_sum=1.0,
        warped_sum=None,
        inner_mask_share=None,
        heatmap=heatmap,
        warped_heatmap=None,
    )


def spray_study(tmp_path: Path) -> GroupContext:
    """Derivatives, predictions and heatmaps of one configuration, without a template."""
    raw, out = tmp_path / "raw", tmp_path / "out"
    folder = out / "group" / "quick"
    rng = np.random.default_rng(1)
    cohort, predictions = [], []
    for number, person in enumerate(people()):
        name = str(person["participant_id"])
        anat = out / name / "anat"
        write_nifti(anat / f"{name}_space-T1w_R2starmap.nii.gz", relevance(person, rng), AFFINE)
        mask = write_nifti(anat / f"{name}_desc-brain_mask.nii.gz", ball().astype(np.uint8), AFFINE)
        quality = {
            "image": f"{name}_desc-brain_mask",
            "metric": "BrainVolumeMl",
            "value": f"{1400 + 60 * rng.normal():.1f}",
            "low": 700,
            "high": 2200,
            "flagged": "false",
            "meaning": "volume of the brain mask in ml",
        }
        tsv(anat / f"{name}_qc.tsv", [quality])
        map_file = f"relevance/{name}_space-T1w_model-q_label-all_desc-lrp_relmap.nii.gz"
        write_nifti(folder / map_file, relevance(person, rng), AFFINE)
        write_json(
            raw / name / "anat" / f"{name}_echo-1_MEGRE.json",
            {"Manufacturer": ("X", "Y")[number // 2 % 2]},
        )
        tsv(raw / name / f"{name}_sessions.tsv", [{"session_id": "ses-1", "weight": 70}])
        cohort.append(
            CohortScan(
                participant_id=name,
                session_id=None,
                class_name=str(person["diagnosis"]),
                included=True,
                reason=None,
                map_file=Path(f"{name}/anat/{name}_space-T1w_R2starmap.nii.gz"),
                mask_file=mask.relative_to(out),
                to_template=None,
            )
        )
        predictions.append(prediction(name, str(person["diagnosis"]), number % 2, Path(map_file)))
    tsv(raw / "participants.tsv", [{k: v for k, v in p.items() if k != "cheat"} for p in people()])
    write_json(raw / "MEGRE.json", {"MagneticFieldStrength": 3, "Manufacturer": "Z"})
    COHORT.write(folder / "cohort.tsv", cohort)
    PREDICTIONS.write(folder / "predictions.tsv", predictions)
    quick = load_study("quick")
    settings = dataclasses.replace(quick.spray, bootstraps=10)  # for speed
    return GroupContext(
        RunSettings(raw, out, "group"), dataclasses.replace(quick, spray=settings), ""
    )
