"""Every preset runs end to end on a small cohort of its kind, cut short by ``--sloppy``.

Nothing here looks at what is learnt: test_learning.py does. ``make presets`` runs these side by
side; they take too long for ``make test``. The tests that do not need the T1w cohort come first, so
that one worker has something to do while the other makes it.
"""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path

import pytest
from conftest import EMBEDDED, Finished, Run, command, shared_folder, simulate
from filelock import FileLock

from bids_xai.studies.schema import load_study, preset_names

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("PRESETS"), reason="every preset: run `make presets`"),
]

SPACE = f"{EMBEDDED}:res-2"
T1W = (
    "boehle2019",
    "cam-lrp-thesis",
    "eitel-ritter2019",
    "eitel2019-pretraining",
    "eitel2021-pif",
    "rieke2018",
)
MEGRE = ("quick", "tinauer2025")
OTHERS = ("cam-lrp-digits", "eitel2019", "klingenberg2021")


def made(folder: Path, kind: str, n: int, *options: object) -> Run:
    """A cohort through the participant level."""
    raw, out = folder / "raw", folder / "out"
    done = simulate(
        raw, "--kind", kind, "--n-participants", n, "--voxel-mm", 4, "--sessions", 1, "--seed", 2
    )
    assert done.status == 0, done.err
    return preprocessed(raw, out, *options)


def preprocessed(raw: Path, out: Path, *options: object) -> Run:
    done = command(
        raw, out, "participant", "--output-spaces", SPACE, "--sloppy", "--nprocs", 2, *options
    )
    assert done.status == 0, done.err
    return Run(raw, out, done)


@pytest.fixture(scope="module")
def t1w(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One cohort for all workers, each with outputs of its own."""
    folder = shared_folder(tmp_path_factory, "t1w")
    with FileLock(folder / "lock"):
        if not (folder / "made").exists():
            made(folder, "t1w", 12, "--inputs", "T1w")
            (folder / "made").touch()
    out = tmp_path_factory.mktemp("t1w") / "out"
    shutil.copytree(folder / "out", out)
    return Run(folder / "raw", out, Finished(0, "", ""))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def studied(run: Run, name: str, *options: object) -> None:
    """Run a study; every network and method left its files, no number is undefined."""
    done = command(run.raw, run.out, "group", "--study", name, "--sloppy", "--nprocs", 1, *options)
    assert done.status == 0, done.err
    assert "Traceback" not in done.err
    study = load_study(name)
    folder = run.out / "group" / name
    predictions = rows(folder / "predictions.tsv")
    ids = {one.id for one in study.configurations} | {one.id for one in study.baselines}
    assert {row["configuration"] for row in predictions} == ids
    for one in study.configurations:
        mine = [row for row in predictions if row["configuration"] == one.id]
        assert {row["method"] for row in mine} == set(study.attribution.methods)
        assert all((folder / row["relevance"]).is_file() for row in mine)
        assert (run.out / "models" / name / one.id / "split-0" / "model.safetensors").is_file()
    assert {row["configuration"] for row in rows(folder / "performance.tsv")} == ids
    for table in folder.glob("*.tsv"):
        assert "nan" not in table.read_text().lower(), table
    assert (run.out / f"group_{name}.html").is_file()


def test_the_lists_above_hold_every_preset() -> None:
    assert sorted((*T1W, *MEGRE, *OTHERS)) == preset_names()


def test_studies_of_r2star_maps(tmp_path: Path) -> None:
    run = made(tmp_path, "megre", 10)
    for name in MEGRE:
        studied(run, name)


def test_ten_digits(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    done = simulate(raw, "--kind", "digits", "--n-participants", 60, "--seed", 2)
    assert done.status == 0, done.err
    out = raw / "derivatives" / "digits"
    studied(Run(raw, out, done), "cam-lrp-digits")
    predictions = rows(out / "group" / "cam-lrp-digits" / "predictions.tsv")
    for row in predictions:
        total = sum(float(row[f"probability_{digit}"]) for digit in range(10))
        assert total == pytest.approx(1, abs=1e-4)
    assert {row["true_class"] for row in predictions} == {str(digit) for digit in range(10)}


@pytest.mark.parametrize("name", T1W)
def test_studies_of_t1w_images(t1w: Run, name: str) -> None:
    studied(t1w, name)


def test_three_kinds_of_registration(t1w: Run, tmp_path: Path) -> None:
    folders = {"nonlinear": t1w.out}
    for kind in ("none", "linear"):
        folders[kind] = tmp_path / kind
        preprocessed(t1w.raw, folders[kind], "--inputs", "T1w", "--registration", kind)
    named = [f"{kind}={folder}" for kind, folder in folders.items()]
    same = Run(of_one_age(t1w.raw, tmp_path / "same"), t1w.out, t1w.finished)
    studied(same, "klingenberg2021", "--derivatives", *named)


def of_one_age(raw: Path, folder: Path) -> Path:
    """The tables of a cohort, everybody 70 and as many women as men: undersampling keeps all."""
    folder.mkdir()
    shutil.copy(raw / "dataset_description.json", folder)
    people = rows(raw / "participants.tsv")
    for number, person in enumerate(people):
        person |= {"age": "70", "sex": "FM"[number // 2 % 2]}
    with (folder / "participants.tsv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, people[0], delimiter="\t")
        writer.writeheader()
        writer.writerows(people)
    return folder


def test_transfer_to_another_disease(t1w: Run, tmp_path: Path) -> None:
    """From T1w images of one cohort to FLAIR images of another, beside two baselines."""
    lesions = tmp_path / "raw" / "derivatives" / "lesions"
    others = [f"{number:02d}" for number in range(13, 23)]  # 01 to 12 are those of the source
    run = made(
        tmp_path,
        "flair",
        22,
        "--inputs",
        "FLAIR",
        "--derivatives",
        f"lesions={lesions}",
        "--participant-label",
        *others,
    )
    source = t1w.out / "models" / "eitel2019-pretraining"
    if not source.is_dir():
        studied(t1w, "eitel2019-pretraining")
    shutil.copytree(source, run.out / "models" / "eitel2019-pretraining")
    studied(run, "eitel2019")
