"""How long a dataset of thousands of participants takes before any work begins: time and memory.

    python benchmarks/many_participants.py OUT [--people 5000] [--without-index]

Makes a dataset of tiny files in OUT, unless it is there: for each participant a T1w image and three
echoes, each with a sidecar. Then ``participant --dry-run`` of all and of one, first with the index
of ``--bids-database-dir``, which the first run makes, then, if asked for, without any. Processor
time is that of the process and its children, user and system; memory is the largest resident set.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
from noop import cost_of

ECHO_TIMES_S = (0.004, 0.012, 0.020)
SHAPE = (4, 4, 4)
SPACE = "MNI152NLin2009aSym"


def make_dataset(root: Path, people: int) -> None:
    """Write a valid BIDS dataset whose images have 64 voxels."""
    root.mkdir(parents=True)
    about = {"Name": "many participants", "BIDSVersion": "1.10.0"}
    (root / "dataset_description.json").write_text(json.dumps(about))
    rng = np.random.default_rng(0)
    image = nib.Nifti1Image(rng.integers(1, 1000, SHAPE, dtype=np.int16), np.diag([10, 10, 10, 1]))
    image.set_sform(image.affine, 1)
    image.set_qform(image.affine, 1)
    nib.save(image, root / "image.nii.gz")
    content = (root / "image.nii.gz").read_bytes()
    (root / "image.nii.gz").unlink()
    labels = [f"{number:05d}" for number in range(1, people + 1)]
    for label in labels:
        anat = root / f"sub-{label}" / "anat"
        anat.mkdir(parents=True)
        sidecars = {"T1w": {"RepetitionTime": 2.3}}
        for echo, seconds in enumerate(ECHO_TIMES_S, 1):
            sidecars[f"echo-{echo}_part-mag_MEGRE"] = {"EchoTime": seconds}
        for name, sidecar in sidecars.items():
            (anat / f"sub-{label}_{name}.nii.gz").write_bytes(content)
            (anat / f"sub-{label}_{name}.json").write_text(json.dumps(sidecar))
    table = "".join(f"sub-{label}\n" for label in labels)
    (root / "participants.tsv").write_text("participant_id\n" + table)


def measure(what: str, root: Path, out: Path, program: str, *options: str) -> None:
    """Run once and print a line."""
    command = [program, str(root), str(out / "derivatives"), "participant", "--dry-run"]
    command += ["--output-spaces", SPACE, *options]
    began = time.monotonic()
    cost = cost_of(command, out / "log.txt")
    seconds = time.monotonic() - began
    print(f"{what}: {seconds:.1f} s, {cost.seconds:.1f} s of processor, {cost.gigabytes:.2f} GB")


def main() -> None:
    """Measure, print a line a command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder of the dataset, made where it is missing")
    parser.add_argument("--people", type=int, default=5000)
    parser.add_argument("--without-index", action="store_true", help="measure that as well")
    parser.add_argument("--command", default=str(Path(sys.executable).with_name("bids_xai")))
    options = parser.parse_args()
    out = options.out.resolve()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    root = out / f"raw-{options.people}"
    if not root.is_dir():
        make_dataset(root, options.people)
    index, single = out / f"index-{options.people}", ("--participant-label", "00001")
    shutil.rmtree(index, ignore_errors=True)
    kept = ("--bids-database-dir", str(index))
    measure("index made, all", root, out, options.command, *kept)
    measure("with the index, all", root, out, options.command, *kept)
    measure("with the index, one", root, out, options.command, *kept, *single)
    if options.without_index:
        measure("without an index, one", root, out, options.command, *single)
        measure("without an index, all", root, out, options.command)


if __name__ == "__main__":
    main()
