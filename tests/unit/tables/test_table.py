"""Every table is described once: what is written is read back as the same records."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

from bids_xai.errors import BadDataError, NoInputError
from bids_xai.group import STEPS
from bids_xai.tables import TABLES
from bids_xai.tables.table import Table, column, more_columns

EVERY = [getattr(import_module(module), name) for module, names in TABLES.items() for name in names]


@dataclass(frozen=True, kw_only=True)
class Muscle:
    """A record of every kind of cell."""

    name: str = column("Name")
    class_name: str | None = column("Class", name="class")
    fibres: int = column("Number of fibres")
    force: float | None = column("Force", unit="N")
    striated: bool = column("Whether striated")
    image: Path | None = column("Image")
    scores: Mapping[str, float | None] = more_columns("score_", "Score of {}")


MUSCLES = Table("muscles.tsv", Muscle, "explain")
ROWS = [
    Muscle(
        name="biceps",
        class_name="01",
        fibres=3,
        force=0.1 + 0.2,
        striated=True,
        image=Path("a/b.nii.gz"),
        scores={"A": 0.5, "B": None},
    ),
    Muscle(
        name='"heart"',
        class_name=None,
        fibres=-1,
        force=None,
        striated=False,
        image=None,
        scores={"A": 1e-9, "B": 2.0},
    ),
]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "muscles.tsv"
    written = MUSCLES.write(path, iter(ROWS), more=["A", "B"])
    assert written == [path, tmp_path / "muscles.json"]
    assert MUSCLES.read(path) == [ROWS[0].__class__(**{**vars(ROWS[0]), "force": 0.3}), ROWS[1]]
    header, first, second = path.read_text().splitlines()
    assert header.split("\t") == [
        *("name", "class", "fibres", "force", "striated", "image"),
        *("score_A", "score_B"),
    ]
    assert first.split("\t")[1:6] == ["01", "3", "0.3", "true", "a/b.nii.gz"]
    assert second.split("\t")[3] == "n/a"
    described = json.loads((tmp_path / "muscles.json").read_text())
    assert described["class"] == {"Description": "Class"}
    assert described["score_B"] == {"Description": "Score of B"}


def test_a_table_that_did_not_change_keeps_its_time(tmp_path: Path) -> None:
    path = tmp_path / "muscles.tsv"
    MUSCLES.write(path, ROWS, more=["A", "B"])
    before = path.stat().st_mtime_ns
    MUSCLES.write(path, ROWS, more=["A", "B"])
    assert path.stat().st_mtime_ns == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["muscles.json", "muscles.tsv"]


def test_a_table_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "muscles.tsv"

    def broken() -> object:
        yield ROWS[0]
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        MUSCLES.write(path, broken(), more=["A", "B"])  # type: ignore[arg-type]
    assert not path.exists()
    assert [file.name for file in tmp_path.iterdir()] == ["muscles.json"]


def test_a_table_of_several_blocks_is_that_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [dataclasses.replace(ROWS[0], fibres=n, force=n / 3) for n in range(8)]
    MUSCLES.write(tmp_path / "whole.tsv", rows, more=["A", "B"])
    monkeypatch.setattr("bids_xai.tables.table._LINES", 3)
    MUSCLES.write(tmp_path / "blocks.tsv", iter(rows), more=["A", "B"])
    lines = (tmp_path / "blocks.tsv").read_text().splitlines()
    assert lines == (tmp_path / "whole.tsv").read_text().splitlines()
    assert [line.split("\t")[2] for line in lines[1:]] == [str(n) for n in range(8)]
    assert lines[2].split("\t")[3] == "0.333333333"


def test_a_note_stands_behind_the_meaning(tmp_path: Path) -> None:
    MUSCLES.write(tmp_path / "muscles.tsv", ROWS, more=["A"], notes={"force": "; n/a in 1 line"})
    described = json.loads((tmp_path / "muscles.json").read_text())
    assert described["force"]["Description"] == "Force; n/a in 1 line"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("\t3\t", "\tthree\t", "line 2 of the table: the column fibres contains 'three'"),
        ("\t3\t", "\tn/a\t", "line 2 of the table: the column fibres contains 'n/a'"),
        ("true", "True", "the column striated contains 'True', expected: true or false"),
        ("0.3", "inf", "the column force contains 'inf', expected: number"),
        ("\tfibres\t", "\tfibers\t", "the table lacks the columns fibres"),
        ("\t3\t", "\t", "line 2 of the table has 7 cells instead of 8"),
        ("0.5", "half", "line 2 of the table: the column score_A contains 'half'"),
        ("biceps", '"biceps', "cannot read the table"),
    ],
)
def test_a_damaged_table_is_refused_with_its_line(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    path = tmp_path / "muscles.tsv"
    MUSCLES.write(path, ROWS, more=["A", "B"])
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(BadDataError) as caught:
        MUSCLES.read(path)
    assert problem in str(caught.value)
    assert str(path) in str(caught.value)
    assert "run --steps explain again" in str(caught.value)


def test_a_missing_table_names_the_step(tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match="run --steps explain first"):
        MUSCLES.read(tmp_path / "muscles.tsv")
    assert MUSCLES.read_if_written(tmp_path / "muscles.tsv") == []


@pytest.mark.parametrize("table", EVERY, ids=lambda table: table.file)
def test_every_table_is_described(table: Table[object]) -> None:
    assert table.step == "participant" or table.step in STEPS
    names = [column.name for column in table.columns]
    assert len(set(names)) == len(names)
    assert all(column.meaning for column in table.columns)
    assert table.row.__doc__
