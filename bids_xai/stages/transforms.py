"""Transform files that depend on nothing but the transform."""

from __future__ import annotations

from pathlib import Path

from bids_xai.runtime.atomic import replacing


def without_times(path: Path) -> Path:
    """Rewrite an ITK composite transform (HDF5) without the times of its making; return it.

    ITK stores when each of its objects was made, so that equal transforms differ in bytes.
    """
    import h5py

    with (
        replacing(path) as temporary,
        h5py.File(path, "r") as source,
        h5py.File(temporary, "x", libver="earliest") as target,
    ):
        target.attrs.update(source.attrs)

        def copy(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset):
                target.create_dataset(
                    name, data=item[()], dtype=item.dtype, track_times=False
                ).attrs.update(item.attrs)

        source.visititems(copy)
    return path
