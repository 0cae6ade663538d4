"""What goes wrong on real machines: kills, full disks, broken files. Nothing stays half-written."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import EMBEDDED, begin, command, fresh, simulate

pytestmark = pytest.mark.slow

N_KILLS = 10
LONGEST_LIFE_S = 5.0  # about as long as a whole run on a quiet machine


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two participants, small."""
    folder = tmp_path_factory.mktemp("faults") / "raw"
    made = simulate(folder, "--n-participants", 2, "--seed", 5, "--voxel-mm", 4, "--sessions", 1)
    assert made.status == 0, made.err
    return folder


def line(raw: Path, out: Path, *more: object) -> tuple[object, ...]:
    return (
        raw,
        out,
        "participant",
        "--output-spaces",
        f"{EMBEDDED}:res-4",
        "--sloppy",
        "--nprocs",
        1,
        *more,
    )


@pytest.fixture(scope="module")
def undisturbed(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """From a new interpreter, so that equal bytes do not depend on what a process shares."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    done = fresh(*line(raw, out))
    assert done.status == 0, done.err
    return out


def results(out: Path) -> dict[str, bytes]:
    """The content of every result; logs and pages hold times and paths."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.glob("sub-*/**/anat/*"))
    }


def assert_whole(out: Path) -> None:
    """No file under a final name is half-written."""
    for path in out.glob("sub-*/**/anat/*"):
        if path.name.startswith(".tmp-"):
            continue
        if path.name.endswith(".nii.gz"):
            image = nib.load(path)
            assert np.asarray(image.dataobj).shape == image.shape
        elif path.suffix == ".json":
            json.loads(path.read_text())
        else:
            assert path.stat().st_size > 0


def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(
    raw: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    chance, killed, longest = random.Random(0), 0, LONGEST_LIFE_S
    for _ in range(3 * N_KILLS):
        process = begin(*line(raw, out))
        try:
            process.wait(timeout=chance.uniform(0.1, longest))
        except subprocess.TimeoutExpired:
            process.kill_all()
            killed += process.wait() == -signal.SIGKILL
        assert_whole(out)
        if killed == N_KILLS:
            break
        if process.returncode == 0:  # done before its turn: from the start, and less time
            shutil.rmtree(out)
            longest *= 0.7
    assert killed == N_KILLS
    begun = out / "sub-02" / "anat" / ".tmp-0123"  # killed while writing
    begun.parent.mkdir(parents=True, exist_ok=True)
    begun.write_text("half")
    (out / "logs" / "sub-02" / "sub-02.json").unlink(missing_ok=True)
    done = command(*line(raw, out))
    assert done.status == 0, done.err
    assert results(out) == results(undisturbed)
    assert not list(out.rglob(".tmp-*"))


def test_two_runs_into_one_folder_do_not_hurt_each_other(
    raw: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    runs = [begin(*line(raw, out, "--participant-label", label)) for label in ("01", "02")]
    for process in runs:
        assert process.wait(timeout=300) == 0, process.err
    assert results(out) == results(undisturbed)
    assert not (out / "work").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB, which only root can make."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    made = (
        mount
        and subprocess.run(
            [mount, "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)],
            capture_output=True,
            check=False,
        ).returncode
        == 0
    )
    if not made:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


def test_a_full_disk_is_told_and_leaves_nothing_half_written(
    raw: Path, small_disk: Path, tmp_path: Path
) -> None:
    done = command(*line(raw, small_disk / "out", "-w", tmp_path / "work"))
    assert done.status in (1, 73, 74), done.err
    assert "No space left on device" in done.err
    assert "Traceback" not in done.err
    assert_whole(small_disk / "out")


def test_a_full_work_disk_is_told(raw: Path, small_disk: Path, tmp_path: Path) -> None:
    done = command(*line(raw, tmp_path / "out", "-w", small_disk / "work"))
    assert done.status in (1, 73, 74), done.err
    assert "No space left on device" in done.err
    assert "Traceback" not in done.err
    assert_whole(tmp_path / "out")


def _t1w(anat: Path) -> Path:
    return anat / f"{anat.parent.name}_T1w.nii.gz"


def _echo(anat: Path, ending: str = ".nii.gz") -> Path:
    return anat / f"{anat.parent.name}_echo-2_MEGRE{ending}"


def _corrupt_gz(anat: Path) -> Path:
    data = bytearray(_t1w(anat).read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = os.urandom(200)
    _t1w(anat).write_bytes(data)
    return _t1w(anat)


def _empty(anat: Path) -> Path:
    _echo(anat).write_bytes(b"")
    return _echo(anat)


def _all_nan(anat: Path) -> Path:
    image = nib.load(_t1w(anat))
    nib.save(nib.Nifti1Image(np.full(image.shape, np.nan, np.float32), image.affine), _t1w(anat))
    return _t1w(anat)


def _echo_time(value: object) -> Callable[[Path], Path]:
    def spoil(anat: Path) -> Path:
        path = _echo(anat, ".json")
        content = json.loads(path.read_text())
        path.write_text(json.dumps(content | {"EchoTime": value}))
        return _echo(anat)

    return spoil


def _latin1_sidecar(anat: Path) -> Path:
    _echo(anat, ".json").write_bytes(
        '{"EchoTime": 0.01, "InstitutionName": "Universität"}'.encode("latin-1")
    )
    return _echo(anat, ".json")


def _not_gzip(anat: Path) -> Path:
    _t1w(anat).write_bytes(gzip.decompress(_t1w(anat).read_bytes()))
    return _t1w(anat)


BROKEN = {
    "corruptgz": (_corrupt_gz, "damaged"),
    "zerobytes": (_empty, "the image is empty: 0 bytes"),
    "onlynan": (_all_nan, "no contrast"),
    "negative": (_echo_time(-0.01), "not positive"),
    "list": (_echo_time([0.01, 0.02]), "not a number"),
    "hours": (_echo_time(9000), "milliseconds"),
    "nan": (_echo_time(float("nan")), "EchoTime"),
    "notgzip": (_not_gzip, "Not a gzipped file"),
}


@pytest.fixture(scope="module")
def broken(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """sub-02 as it is, and one participant for each kind of damage, in one run."""
    folder = tmp_path_factory.mktemp("broken")
    mine, out = folder / "raw", folder / "out"
    shutil.copytree(raw, mine, ignore=shutil.ignore_patterns("derivatives", "sub-01"))
    for label, (spoil, _) in BROKEN.items():
        anat = mine / f"sub-{label}" / "anat"
        shutil.copytree(raw / "sub-01" / "anat", anat)
        for path in sorted(anat.iterdir()):
            path.rename(anat / path.name.replace("sub-01", f"sub-{label}"))
        spoil(anat)
    done = command(*line(mine, out))
    assert done.status == 1, done.err
    assert "Traceback" not in done.err
    return mine, out, done.err


@pytest.mark.parametrize("label", BROKEN)
def test_a_broken_input_is_named_with_what_to_do(
    broken: tuple[Path, Path, str], label: str
) -> None:
    _, out, said = broken
    (message,) = [each for each in said.splitlines() if f"failed: sub-{label}: " in each]
    assert BROKEN[label][1] in message
    assert f"sub-{label}_" in message.partition("[")[2]  # the file
    assert "Fix: " in message
    assert f"sub-{label}" in (out / f"sub-{label}.html").read_text()


def test_broken_participants_do_not_stop_the_others(
    broken: tuple[Path, Path, str], undisturbed: Path
) -> None:
    _, out, _ = broken
    whole = {k: v for k, v in results(undisturbed).items() if k.startswith("sub-02")}
    assert {k: v for k, v in results(out).items() if k.startswith("sub-02")} == whole
    assert_whole(out)


def test_a_sidecar_that_is_not_utf8_is_named(raw: Path, tmp_path: Path) -> None:
    mine = tmp_path / "raw"
    shutil.copytree(raw, mine, ignore=shutil.ignore_patterns("derivatives"))
    file = _latin1_sidecar(mine / "sub-01" / "anat")
    done = command(*line(mine, tmp_path / "out"))
    assert done.status in (1, 16, 65)
    assert "Traceback" not in done.err
    assert file.name in done.err


def test_undefined_voxels_are_counted_and_move_nothing(
    raw: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """NaN in every echo and infinity in the T1w image: registrations find the same place."""
    mine, out = tmp_path / "raw", tmp_path / "out"
    shutil.copytree(raw, mine, ignore=shutil.ignore_patterns("derivatives"))
    for file in sorted((mine / "sub-01" / "anat").glob("*.nii.gz")):
        image = nib.load(file)
        data = np.asarray(image.dataobj, dtype=np.float32).copy()
        data[2:4, 2:4, 2:4] = np.inf if "T1w" in file.name else np.nan
        nib.save(nib.Nifti1Image(data, image.affine), file)
    done = command(*line(mine, out, "--participant-label", "01"))
    assert done.status == 0, done.err
    anat = out / "sub-01" / "anat"
    values = np.asarray(nib.load(anat / "sub-01_R2starmap.nii.gz").dataobj)
    assert np.isfinite(values).all()
    assert (values[2:4, 2:4, 2:4] == 0).all()
    about = json.loads((anat / "sub-01_R2starmap.json").read_text())
    assert about["NumberOfNonFiniteVoxels"] == 8
    twin = undisturbed / "sub-01" / "anat"
    brain = np.asarray(nib.load(twin / "sub-01_desc-brain_mask.nii.gz").dataobj) > 0
    for name in ("sub-01_desc-preproc_T1w.nii.gz", "sub-01_space-T1w_R2starmap.nii.gz"):
        here, there = (np.asarray(nib.load(folder / name).dataobj) for folder in (anat, twin))
        assert np.isfinite(here).all()
        assert np.corrcoef(here[brain], there[brain])[0, 1] > 0.99
