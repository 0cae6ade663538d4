"""Types of arrays: one name for each kind of content, whatever the shape.

Shapes and units stand in the docstring of the function that takes or returns the array.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating[Any]]
"""Any floating-point type: the function keeps or converts it, as its docstring says."""

Floats32: TypeAlias = NDArray[np.float32]
"""Maps and volumes as they are stored."""

Floats64: TypeAlias = NDArray[np.float64]
"""Where sums, fits and statistics are computed."""

Bools: TypeAlias = NDArray[np.bool_]
"""Masks and selections."""

Ints: TypeAlias = NDArray[np.int64]
"""Labels and indices."""

Affine: TypeAlias = NDArray[np.float64]
"""(4, 4), voxel indices to mm in RAS."""
