"""Covariates of participants as a table of numbers."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from bids_xai.arrays import Floats64
from bids_xai.core.cohort.cells import Value, number_of, refuse_missing


def encode_covariates(
    columns: Mapping[str, Sequence[Value]], categorical: Collection[str] = ()
) -> tuple[Floats64, list[str]]:
    """Covariates as numbers (n, k), and the names of the k columns.

    columns : name -> (n,) values; a column of numbers stays one, any other becomes a 0/1 column
        ``name=value`` for each value but the first (in order of text)
    categorical : columns that are categories though they look like numbers
    Raises ``BadDataError`` naming a column with missing values and how many there are.
    """
    table: list[Floats64] = []
    names: list[str] = []
    for name, values in columns.items():
        refuse_missing(values, name)
        numbers = [number_of(value) for value in values]
        if name not in categorical and None not in numbers:
            table.append(np.array(numbers, dtype=np.float64))
            names.append(name)
            continue
        texts = np.array([str(value) for value in values])
        for level in sorted(set(texts.tolist()))[1:]:
            table.append((texts == level).astype(np.float64))
            names.append(f"{name}={level}")
    n = len(next(iter(columns.values()), ()))
    return (np.stack(table, axis=1) if table else np.zeros((n, 0))), names


def names_of_columns(table: Floats64, names: Sequence[str] | None) -> list[str]:
    """Return the names of the columns of a table (n, k): those given, or ``column 0`` and so on."""
    return list(names or (f"column {i}" for i in range(table.shape[1])))


def covariate_table(covariates: npt.ArrayLike, n: int, names: Sequence[str] | None) -> Floats64:
    """Covariates (n, k) of two groups; ``BadDataError`` for missing values, naming the column."""
    table: Floats64 = np.asarray(covariates, dtype=np.float64)
    if table.ndim != 2 or len(table) != n or len(names_of_columns(table, names)) != table.shape[1]:
        raise ValueError(f"covariates {table.shape} for {n} participants and names {names}")
    for name, column in zip(names_of_columns(table, names), table.T, strict=True):
        refuse_missing([value if math.isfinite(value) else None for value in column], name)
    return table
