"""Synthetic output folders: one participant's derivatives, and a whole study's group files."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from study_tables import write_rows

from bids_xai.bids.files import write_json, write_nifti, write_tsv
from bids_xai.bids.stamps import write_stamp
from bids_xai.reports.citation import preprocessing_methods
from bids_xai.reports.participant.session_pictures import participant_figures
from bids_xai.reports.study.page import write_group_page
from bids_xai.settings import EMBEDDED_TEMPLATE, OutputSpace, RunSettings
from bids_xai.tables.atlas import BIOLOGY, FINGERPRINTS, GAIN, OVERLAP, REGIONS
from bids_xai.tables.cohort import COHORT, SPLITS
from bids_xai.tables.predictions import COMPARISONS, PERFORMANCE, PERFORMANCE_SUMMARY, PREDICTIONS
from bids_xai.tables.qc import SESSION_QC, Measure
from bids_xai.tables.spray import CLUSTER_VERDICTS, CLUSTERS, EIGENVALUES, EMBEDDING
from bids_xai.tables.training import TRAINING

STUDY = "tiny"
CLASSES = ("NC", "AD")
CONFIGURATIONS = ("A", "B", "C")
SHAPE = (20, 26, 18)
OUTCOMES = {("NC", "NC"): "TN", ("NC", "AD"): "FP", ("AD", "AD"): "TP", ("AD", "NC"): "FN"}


def affine(mm: float = 8.0) -> np.ndarray:
    """Voxels of ``mm`` over the embedded template's field of view."""
    matrix = np.diag([mm, mm, mm, 1.0])
    matrix[:3, 3] = (-80.0, -110.0, -60.0)
    return matrix


def ball(shape: Sequence[int] = SHAPE, radius: float = 0.8) -> np.ndarray:
    """A filled ellipsoid that nearly fills the grid."""
    axes = [np.linspace(-1, 1, n) for n in shape]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return x**2 + y**2 + z**2 < radius**2


def rows_to_tsv(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write a table with a description of every column."""
    write_tsv(path, rows, {name: f"the {name}" for name in rows[0]})


def write_qc(path: Path, values: Sequence[tuple[str, str, float]]) -> None:
    """Write a quality table from (image, metric, value), with the limits of the package."""
    SESSION_QC.write(path, [Measure.of(image, metric, value) for image, metric, value in values])


@pytest.fixture(name="write_qc")
def _write_qc() -> Callable[[Path, Sequence[tuple[str, str, float]]], None]:
    """:func:`write_qc`, for tests."""
    return write_qc


@pytest.fixture
def participant_dir(tmp_path: Path) -> Path:
    """An output folder with two sessions of ``sub-01``, made in two ways."""
    return _write_participant(tmp_path)


@pytest.fixture(scope="session")
def drawn_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """The same with its figures, and what was said to be drawn; only to be read."""
    folder = _write_participant(tmp_path_factory.mktemp("participant"))
    return folder, participant_figures(folder, "01")


@pytest.fixture
def drawn_dir(drawn_once: tuple[Path, list[Path]], tmp_path: Path) -> Path:
    """A copy of that folder."""
    shutil.copytree(drawn_once[0], tmp_path, dirs_exist_ok=True)
    return tmp_path


def _write_participant(folder: Path) -> Path:
    for session, method in (("1", "nlls"), ("2", "arlo")):
        _write_session(folder, session)
        _write_stamp(folder, session, r2star_method=method)
    return folder


def _write_stamp(out: Path, session: str, **options: Any) -> None:
    """The stamp of a session as a run with these options leaves it, without outputs."""
    settings = RunSettings(
        Path("/in"), out, "participant", output_spaces=(OutputSpace(EMBEDDED_TEMPLATE),), **options
    )
    stamp = out / "logs" / "sub-01" / f"sub-01_ses-{session}.json"
    about = {"methods": preprocessing_methods(settings).plain, "settings": options}
    write_stamp(stamp, "digest", out, [], **about)


def _write_session(out: Path, session: str) -> None:
    rng = np.random.default_rng(int(session))
    stem = out / "sub-01" / f"ses-{session}" / "anat" / f"sub-01_ses-{session}"
    brain = ball()
    t1w = (rng.uniform(0.4, 1.0, SHAPE) * brain).astype(np.float32)
    r2star = (rng.normal(20, 5, SHAPE) * brain).astype(np.float32)
    relevance = (rng.random(SHAPE) ** 4 * brain).astype(np.float32)
    template = f"space-{EMBEDDED_TEMPLATE}_res-8"
    images = {
        "desc-preproc_T1w": t1w,
        "desc-brain_mask": brain.astype(np.uint8),
        "R2starmap": r2star,
        "space-MEGRE_desc-brain_mask": brain.astype(np.uint8),
        "space-T1w_R2starmap": r2star,
        f"{template}_desc-preproc_T1w": t1w,
        f"{template}_desc-brain_mask": brain.astype(np.uint8),
        "space-T1w_model-A_label-AD_desc-lrpzplus_relmap": relevance,
        f"{template}_model-A_label-AD_desc-gradient_relmap": relevance - 0.2 * brain,
    }
    for name, data in images.items():
        write_nifti(Path(f"{stem}_{name}.nii.gz"), data, affine())
    sidecar = {"EchoTime": [0.005, 0.0101], "EstimationAlgorithm": "nlls", "Units": "1/s"}
    write_json(Path(f"{stem}_R2starmap.json"), sidecar)
    template_t1w = f"{stem.name}_{template}_desc-preproc_T1w"
    write_qc(
        Path(f"{stem}_qc.tsv"),
        [
            (f"{stem.name}_desc-brain_mask", "BrainVolumeMl", 1402.5),
            (template_t1w, "MaskDice", 0.71 if session == "2" else 0.95123),
        ],
    )
    about = {"Method": "lrp-zplus", "Start": "softmax", "InnerMaskShare": 0.876}
    write_json(Path(f"{stem}_space-T1w_model-A_label-AD_desc-lrpzplus_relmap.json"), about)
    prediction = [
        {"model": "A", "target": "diagnosis", "class": c, "probability": p, "predicted": c == "AD"}
        for c, p in zip(CLASSES, (0.2, 0.8), strict=True)
    ]
    rows_to_tsv(Path(f"{stem}_model-A_prediction.tsv"), prediction)


@pytest.fixture
def study_dir(_written_study: Path, tmp_path: Path) -> Path:
    """An output folder with every group file of a study of 24 scans and two splits."""
    shutil.copytree(_written_study, tmp_path, copy_function=shutil.copy, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture(scope="session")
def _written_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("written"))


@pytest.fixture(scope="session")
def finished_study(_written_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with its page, made once and only to be read."""
    folder = tmp_path_factory.mktemp("study")
    shutil.copytree(_written_study, folder, dirs_exist_ok=True)
    write_group_page(folder, STUDY)
    return folder


def write_study(tmp_path: Path) -> Path:
    """Write every group file of the study and return the output folder."""
    rng = np.random.default_rng(0)
    group = tmp_path / "group" / STUDY
    scans = _write_cohort(group, rng)
    _write_predictions(group, scans, rng)
    _write_training(tmp_path / "models" / STUDY, rng)
    _write_regions(group, scans, rng)
    _write_means(group, rng)
    for configuration, space in product(CONFIGURATIONS, ("T1w", "template")):
        _write_spray(group / "spray" / f"{configuration}_{space}", scans, rng)
    _write_verdicts(group / "spray")
    flags = {"A": (False, False), "B": (True, False), "C": (False, True)}
    description = {
        "study": STUDY,
        "template": EMBEDDED_TEMPLATE,
        "resolution": 4,  # of the template that stands below the maps
        "classes": list(CLASSES),
        "method": "lrp-zplus",
        "seed": 0,
        "atlas": "TissueNuclei",
        "configurations": [
            {"id": c, "skull_strip": s, "relevance_guided": g} for c, (s, g) in flags.items()
        ],
        "versions": {"bids_xai": "0.1.0", "torch": "2.6"},
        "spray": {"C_template": {"n_clusters": 2, "notes": ["only 16 maps: 11 <neighbours>"]}},
    }
    write_json(group / "study.json", description)
    return tmp_path


def _write_cohort(group: Path, rng: np.random.Generator) -> list[dict[str, Any]]:
    scans = [
        {
            "participant_id": f"sub-{i:02d}",
            "session_id": f"ses-{s}",
            "class": CLASSES[i % 2],
            "included": True,
            "reason": None,
            "age": float(60 + rng.integers(20)),
            "sex": "FM"[i % 3 == 0],
            "map": f"sub-{i:02d}_ses-{s}_R2starmap.nii.gz",
        }
        for i, s in product(range(12), (1, 2))
    ]
    bad = scans[0] | {
        "participant_id": "sub-99",
        "included": False,
        "reason": "no age",
        "age": None,
    }
    write_rows(COHORT, group, [*scans, bad])
    sets = ("train", "train", "validation", "test")
    splits = [
        {"participant_id": f"sub-{i:02d}", "split": k, "set": sets[(i // 2 + k) % 4]}
        for i, k in product(range(12), range(2))
    ]
    write_rows(SPLITS, group, splits)
    return scans


def _write_predictions(group: Path, scans: list[dict[str, Any]], rng: np.random.Generator) -> None:
    rows = []
    for configuration, split, scan in product(CONFIGURATIONS, range(2), scans):
        p = float(np.clip(rng.normal(0.65 if scan["class"] == "AD" else 0.35, 0.2), 0, 1))
        predicted = CLASSES[int(p >= 0.5)]
        rows.append(
            {
                "participant_id": scan["participant_id"],
                "session_id": scan["session_id"],
                "configuration": configuration,
                "split": split,
                "true_class": scan["class"],
                "predicted_class": predicted,
                "probability": p,
                "outcome": OUTCOMES[scan["class"], predicted],
                "relevance_sum": 1.0,
                "inner_mask_share": float(rng.uniform(0.5, 1.0)),
            }
        )
    write_rows(PREDICTIONS, group, rows)
    scores = [
        {"configuration": c, "split": k, "n_test": 24, "accuracy": 0.7}
        for c, k in product(CONFIGURATIONS, range(2))
    ]
    write_rows(PERFORMANCE, group, scores)
    metrics = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "auc")
    summary = [
        {
            "configuration": c,
            "metric": m,
            "mean": 0.642 + 0.05 * i,
            "sd": 0.065,
            "percentile_2_5": 0.535,
            "percentile_97_5": 0.769,
            "n_splits": 2,
        }
        for (i, c), m in product(enumerate(CONFIGURATIONS), metrics)
    ]
    write_rows(PERFORMANCE_SUMMARY, group, summary)
    pairs = [
        {
            "configuration_a": a,
            "configuration_b": b,
            "n": 24,
            "only_a_correct": 3,
            "only_b_correct": 5,
            "p_value": 0.7266,
            "p_holm": 1.0,
        }
        for a, b in (("A", "B"), ("A", "C"), ("B", "C"))
    ]
    write_rows(COMPARISONS, group, pairs)


def _write_training(models: Path, rng: np.random.Generator) -> None:
    for configuration, split in product(CONFIGURATIONS, range(2)):
        rows = [
            {
                "epoch": e,
                "lr": 1e-3,
                "train_loss": 1 / e,
                "train_ce": 1 / e,
                "validation_loss": 1.1 / e,
                "validation_ce": 1.1 / e + 0.1 * float(rng.random()),
                "validation_balanced_accuracy": 1 - 0.5 / e,
                "inner_mask_share": 1 - 0.6 / e,
                "relevance_sum": 1.0,
                "seconds": 1.5,
            }
            for e in range(1, 9)
        ]
        write_rows(TRAINING, models / configuration / f"split-{split}", rows)


def _write_regions(group: Path, scans: list[dict[str, Any]], rng: np.random.Generator) -> None:
    """Fourteen nuclei of both sides, one without a gain, and what follows from them."""
    labels = [(2 * i + r, f"{('Left', 'Right')[r]} nucleus {i}") for i in range(14) for r in (0, 1)]
    same = {"method": "lrp-zplus", "atlas": "TissueNuclei"}
    lines = [
        {
            "participant_id": s["participant_id"],
            "session_id": s["session_id"],
            "configuration": c,
            "split": n % 2,
            **same,
            "index": i,
            "name": name,
            "hemisphere": name[0],
            "n_voxels": 50 + i,
            "sum": float(rng.exponential(2 + (s["class"] == "AD") * (i % 5))),
            "true_class": s["class"],
        }
        for c, (n, s), (i, name) in product(CONFIGURATIONS, enumerate(scans), labels)
    ]
    write_rows(REGIONS, group / "atlas", lines)
    joined = [(i, name.removeprefix("Left ")) for i, name in labels[::2]]
    rows = [
        {
            "configuration": c,
            **same,
            "index": i,
            "name": name,
            "group": g,
            "n": 12,
            "gain": None if (i, g) == (4, "AD") else 1.0 + (g == "AD"),
            "hemisphere": "both",
            "merged": merged,
            "n_voxels": 100 * (i + 1),
            "mean_sum": float(rng.random()),
            "mean_density": float(rng.random()),
            "mean_share": 0.1 * float(rng.random()),
        }
        for c, (merged, known), g in product(
            CONFIGURATIONS, ((False, labels), (True, joined)), ("NC", "AD", "TP", "TN")
        )
        for i, name in known
    ]
    write_rows(GAIN, group / "atlas", rows)
    prints = [
        {
            "configuration": c,
            **same,
            "merged": True,
            "individual": who,
            "participant_id": person,
            "session_id": "n/a",
            "split": 0,
            "probability": 0.95,
            "cosine_distance": 0.4321,
            "n_candidates": 7,
            "index": i,
            "name": name,
            "density": float(rng.random()),
        }
        for c, (who, person), (i, name) in product(
            CONFIGURATIONS, (("A", "sub-01"), ("B", "sub-03")), joined
        )
    ]
    write_rows(FINGERPRINTS, group / "atlas", prints)
    _write_overlap(group, rng)
    _write_biology(group, joined, rng)


def _write_overlap(group: Path, rng: np.random.Generator) -> None:
    tops = [f"top10_{m}" for m in ("sum", "abs_sum", "density", "gain")]
    maps = ["iou_0.1", "iou_0.4", "iou_0.5", "ssim", "spearman", "euclidean", "l2"]
    pairs = [("configurations", "n/a", a, b) for a, b in (("A", "B"), ("A", "C"), ("B", "C"))]
    pairs += [("splits", c, "0", "1") for c in CONFIGURATIONS]
    rows = [
        {
            "comparison": kind,
            "configuration": c,
            "method": "lrp-zplus",
            "group": g,
            "a": a,
            "b": b,
            "atlas": "TissueNuclei" if metric in tops else "n/a",
            "merged": "true" if metric in tops else "n/a",
            "metric": metric,
            "value": float(rng.integers(0, 11)) / 10,
        }
        for (kind, c, a, b), g, metric in product(pairs, ("NC", "AD", "TP", "TN"), tops + maps)
    ]
    write_rows(OVERLAP, group / "atlas", rows)


def _write_biology(group: Path, regions: Any, rng: np.random.Generator) -> None:
    about = {"method": "lrp-zplus", "group": "AD", "n": 6, "n_permutations": 720, "exact": True}
    rows = [
        {
            "configuration": c,
            "atlas": "TissueNuclei",
            "index": i,
            "name": name,
            "source": "dseg",
            "measure": measure,
            "r": float(rng.uniform(-1, 1)),
            "p_value": 0.01,
            "p_holm": 0.14,
            "mean": 3.5,
            **about,
        }
        for c, measure, (i, name) in product(CONFIGURATIONS, ("volume", "lesion_load"), regions)
    ]
    rows += [
        {
            **rows[0],
            "configuration": c,
            "atlas": "n/a",
            "name": "whole map",
            "r": None,
            "p_value": None,
            "p_holm": None,
            "measure": "lesion_share",
            "mean": 0.1234,
        }
        for c in CONFIGURATIONS
    ]
    write_rows(BIOLOGY, group / "atlas", rows)


def _write_means(group: Path, rng: np.random.Generator) -> None:
    for c, name in product(CONFIGURATIONS, ("AD", "NC", "TP", "FP", "TN", "FN")):
        data = (rng.random(SHAPE) ** 3 * ball()).astype(np.float32)
        path = group / "means" / f"configuration-{c}_group-{name}_mean.nii.gz"
        write_nifti(path, data, affine())


def _write_verdicts(folder: Path) -> None:
    """One suspicious cluster, and one that is not."""
    rows = [
        {
            "configuration": "A",
            "space": "T1w",
            "cluster": 1 + (finding == "diagnosis"),
            "finding": finding,
            "verdict": f"Cluster <x> ({finding}).",
            "examples": "sub-01,sub-03",
        }
        for finding in ("suspicious", "diagnosis")
    ]
    write_rows(CLUSTER_VERDICTS, folder, rows)


def _write_spray(folder: Path, scans: list[dict[str, Any]], rng: np.random.Generator) -> None:
    values = np.sort(rng.random(8))
    gaps = [*np.diff(values), None]
    write_rows(
        EIGENVALUES,
        folder,
        [{"index": i + 1, "eigenvalue": v, "gap": gaps[i]} for i, v in enumerate(values)],
    )
    members = [
        {
            "participant_id": s["participant_id"],
            "session_id": s["session_id"],
            "split": i % 2,
            "cluster": i % 3,
            "true_class": s["class"],
            "outcome": ("TN", "FN", "TP", "FP")[i % 4],
            "scan": f"{s['participant_id']}_{s['session_id']}",
        }
        for i, s in enumerate(scans)
    ]
    write_rows(CLUSTERS, folder, members)
    points = [m | {"x": float(rng.normal()), "y": float(rng.normal())} for m in members]
    write_rows(EMBEDDING, folder, points)
    for k in range(3):
        data = (rng.random(SHAPE) ** 3 * ball()).astype(np.float32)
        write_nifti(folder / f"cluster-{k}_mean.nii.gz", data, affine())
