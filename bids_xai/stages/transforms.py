"""Transform files that depend on nothing but the transform."""

from __future__ import annotations

import os
from pathlib import Path


def without_times(path: Path) -> Path:
    """Rewrite an ITK composite transform (HDF5) without the times of its making; return it.

    ITK stores when each of its objects was made, so that equal transforms differ in bytes.
    """
    import h5py

    temporary = path.with_name(f".{path.name}.tmp")
    with h5py.File(path, "r") as source, h5py.File(temporary, "w", libver="earliest") as target:
        target.attrs.update(source.attrs)

        def copy(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset):
                target.create_dataset(
                    name, data=item[()], dtype=item.dtype, track_times=False
                ).attrs.update(item.attrs)

        source.visititems(copy)
    os.replace(temporary, path)
    return path
