"""Columns of long tables, against the records of the same lines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bids_xai.bids.files import write_text
from bids_xai.errors import BadDataError, NoInputError
from bids_xai.tables import columns
from bids_xai.tables.columns import columns_of
from bids_xai.tables.table import Table, column


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """A line of a table with cells of every kind."""

    tree: str = column("Tree")
    branch: str | None = column("Branch")
    number: int = column("Number", name="n")
    length: float | None = column("Length")
    veins: int | None = column("Veins")


LEAVES = Table("leaves.tsv", Leaf, "atlas")
NAMES = ("length", "tree", "n", "branch", "veins")


def written(folder: Path, n: int = 11) -> tuple[Path, list[Leaf]]:
    rows = [
        Leaf(
            tree="01" if i % 3 else "oak",
            branch=None if i % 4 == 1 else f"b{i}",
            number=i,
            length=None if i % 5 == 2 else i / 8,
            veins=None if i == 3 else 2 * i,
        )
        for i in range(n)
    ]
    return LEAVES.write(folder / LEAVES.file, rows)[0], rows


@pytest.mark.parametrize("lines", [2, 1000])
def test_columns_are_those_of_the_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: int
) -> None:
    monkeypatch.setattr(columns, "_LINES", lines)
    path, rows = written(tmp_path)
    length, tree, number, branch, veins = columns_of(LEAVES, path, NAMES)
    np.testing.assert_array_equal(length, np.array([row.length for row in rows], float))
    np.testing.assert_array_equal(veins, np.array([row.veins for row in rows], float))
    assert number.tolist() == [row.number for row in rows]
    assert number.dtype == np.int64
    assert tree.tolist() == [row.tree for row in rows]
    assert branch.tolist() == [row.branch or "n/a" for row in rows]


def test_lines_are_chosen_by_their_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "_LINES", 3)
    path, rows = written(tmp_path)
    (number,) = columns_of(LEAVES, path, ("n",), {"tree": "oak", "branch": "b6"})
    assert number.tolist() == [6]
    (number,) = columns_of(LEAVES, path, ("n",), {"tree": "01"})
    assert number.tolist() == [row.number for row in rows if row.tree == "01"]
    assert columns_of(LEAVES, path, ("n", "tree"), {"tree": "elm"})[1].size == 0


def test_a_table_without_lines_has_empty_columns(tmp_path: Path) -> None:
    path, _ = written(tmp_path, 0)
    assert [values.shape for values in columns_of(LEAVES, path, NAMES)] == [(0,)] * 5


@pytest.mark.parametrize(
    ("old", "new"), [("\tlength", "\tsize"), ("\t0.125", "\tlong"), ("\t7\t", "\tn/a\t")]
)
def test_a_damaged_table_is_named(tmp_path: Path, old: str, new: str) -> None:
    path, _ = written(tmp_path)
    write_text(path, path.read_text().replace(old, new))
    with pytest.raises(BadDataError, match=r"leaves\.tsv.*--steps atlas again"):
        columns_of(LEAVES, path, NAMES)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match=r"leaves\.tsv"):
        columns_of(LEAVES, tmp_path / LEAVES.file, NAMES)
