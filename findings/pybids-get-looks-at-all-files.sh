#!/usr/bin/env bash
# pybids 0.22.0: to find the files of one participant looks at those of all.
#
# Guess: layout.get(subject=...) asks an indexed database; its work depends on what it returns.
# Seen:  the table of entities has no key by value. The work of the database (steps of SQLite's machine)
#        for one participant's files grows with the number of all participants: four times as many
#        participants, about four times the steps. To ask for everybody one after the other takes time
#        with the square of their number. CREATE INDEX tags_by_value ON tags (entity_name, _value) ends
#        that: the same steps for any number.
# Date:  2026-12-01, x86-64.
# Exits with 1 if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pybids==0.22.0 sqlalchemy==2.1.9
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import json
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

warnings.simplefilter("ignore")
from bids import BIDSLayout
from sqlalchemy import text


def dataset(people):
    root = Path(sys.argv[1]) / f"raw-{people}"
    for number in range(people):
        anat = root / f"sub-{number:03d}" / "anat"
        anat.mkdir(parents=True)
        for suffix in ("T1w", "FLAIR"):
            (anat / f"sub-{number:03d}_{suffix}.nii.gz").touch()
    about = {"Name": "x", "BIDSVersion": "1.10.0"}
    (root / "dataset_description.json").write_text(json.dumps(about))
    return BIDSLayout(root, validate=False)


def steps(layout):
    """Hundreds of steps of SQLite's machine for the T1w image of one participant."""
    connection = layout.session.connection().connection.dbapi_connection
    counted = [0]

    def count():
        counted[0] += 1

    connection.set_progress_handler(count, 100)
    (file,) = layout.get(subject="005", suffix="T1w", extension=".nii.gz")
    connection.set_progress_handler(None, 0)
    return counted[0]


few, many = dataset(60), dataset(240)
before = steps(few), steps(many)
for layout in (few, many):
    layout.session.execute(text("CREATE INDEX tags_by_value ON tags (entity_name, _value)"))
after = steps(few), steps(many)
print("pybids", version("pybids"), "sqlalchemy", version("sqlalchemy"))
print("hundreds of steps for one participant of 60 and of 240:", *before)
print("with the key by value:", *after)
as_seen = before[1] > 3 * before[0] > 0 and after[1] <= after[0] + 2
sys.exit(0 if as_seen else 1)
PYTHON
