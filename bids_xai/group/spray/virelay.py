"""A project that ViRelAy opens: middle slices of heatmaps and inputs, embeddings and clusters.

ViRelAy (Anders et al. 2021) shows pictures, so a map becomes its three middle slices side by side.
The layout of the files is that of its version 0.6.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.arrays import Floats32, Floats64
from bids_xai.bids.files import write_text
from bids_xai.group.spray.analysis import Clustering, Heatmaps
from bids_xai.group.spray.slices import Slices
from bids_xai.runtime.atomic import replacing
from bids_xai.tables.predictions import Prediction


@dataclass(frozen=True)
class _Rows:
    """A dataset that is written row by row: shape (n, …), kind of its numbers, and its rows."""

    shape: tuple[int, ...]
    dtype: type
    row: Callable[[int], NDArray[Any]]


def write_project(
    folder: Path,
    heatmaps: Heatmaps,
    clustering: Clustering,
    *,
    slices: Floats32,
    inputs: Callable[[int], Slices] | None,
    classes: Sequence[str],
    study: str,
    method: str,
) -> list[Path]:
    """Write ``project.yaml`` and what it names: inputs, heatmaps, analysis, names of classes.

    slices : (n, h, w) of the heatmaps; may lie on disk
    inputs : from the number of a heatmap to the slices of its input; without it they are black
    classes : names, in the order of the study; method : of the heatmaps
    """
    datasets = _datasets(heatmaps, clustering, slices, inputs, classes)
    names = [
        {"index": i, "word_net_id": f"class-{i}", "name": label} for i, label in enumerate(classes)
    ]
    project = _project(heatmaps, slices.shape[1:], study, method)
    spectrum = clustering.result.eigenvalues
    return [
        *(_write_hdf5(folder / file, arrays, spectrum) for file, arrays in datasets.items()),
        write_text(folder / "labels.json", json.dumps(names, indent=2) + "\n"),
        # JSON is YAML, too
        write_text(folder / "project.yaml", json.dumps({"project": project}, indent=2) + "\n"),
    ]


def _datasets(
    heatmaps: Heatmaps,
    clustering: Clustering,
    slices: Floats32,
    inputs: Callable[[int], Slices] | None,
    classes: Sequence[str],
) -> dict[str, dict[str, NDArray[Any] | _Rows]]:
    """File → name of a dataset → its content."""
    n, height, width = slices.shape
    result = clustering.result

    def input_picture(row: int) -> NDArray[np.uint8]:
        picture = np.zeros((1, 1), np.float32) if inputs is None else inputs(row)
        return _grey(_fitted(picture, (height, width)))

    codes = [list(classes).index(row.true_class) for row in heatmaps.predictions]
    labels = np.array(codes, np.uint32)
    numbers = np.arange(n, dtype=np.uint32)
    relevance = _Rows((n, 3, height, width), np.float32, lambda row: _first_of_three(slices[row]))
    return {
        "input.h5": {
            "data": _Rows((n, 3, height, width), np.uint8, input_picture),
            "label": labels,
        },
        "attribution.h5": {
            "index": numbers,
            "attribution": relevance,
            "label": labels,
            "prediction": class_probabilities(heatmaps, classes),
        },
        "analysis.h5": {
            "all/index": numbers,
            f"all/cluster/spray-{result.n_clusters}": result.labels,
            "all/embedding/spectral": result.vectors.astype(np.float32),
            "all/embedding/tsne": result.embedding.astype(np.float32),
        },
    }


def _project(heatmaps: Heatmaps, shape: tuple[int, ...], study: str, method: str) -> dict[str, Any]:
    """What ``project.yaml`` says; shape : height and width of a picture."""
    height, width = shape
    return {
        "name": f"{study}: {heatmaps.configuration}, {heatmaps.space}",
        "model": f"configuration {heatmaps.configuration}",
        "label_map": "labels.json",
        "dataset": {
            "name": study,
            "type": "hdf5",
            "path": "input.h5",
            "input_width": width,
            "input_height": height,
            "down_sampling_method": "none",
            "up_sampling_method": "none",
        },
        "attributions": {
            "attribution_method": method,
            "attribution_strategy": "true_label",
            "sources": ["attribution.h5"],
        },
        "analyses": [{"analysis_method": "SpRAy", "sources": ["analysis.h5"]}],
    }


def _first_of_three(heatmap: Slices) -> Slices:
    """A heatmap (h, w) as the sum of three channels: not all of ViRelAy's colours draw a single
    one."""
    channels = np.zeros((3, *heatmap.shape), np.float32)
    channels[0] = heatmap
    return channels


def _write_hdf5(
    path: Path, arrays: Mapping[str, NDArray[Any] | _Rows], eigenvalues: Floats64
) -> Path:
    """Write arrays by name, atomically; never more than a row of :class:`_Rows` is in memory."""
    import h5py

    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        for name, values in arrays.items():
            if isinstance(values, _Rows):
                dataset = file.create_dataset(name, values.shape, values.dtype)
                for line in range(values.shape[0]):
                    dataset[line] = values.row(line)
            else:
                dataset = file.create_dataset(name, data=values)
            if name.endswith("embedding/spectral"):
                dataset.attrs["eigenvalue"] = eigenvalues.astype(np.float32)
    return path


def _grey(slices: Slices) -> NDArray[np.uint8]:
    """A picture (h, w) from its least to its 99.5 percentile as grey (3, h, w)."""
    low, high = slices.min(), np.percentile(slices, 99.5)
    scaled = np.clip((slices - low) / max(high - low, 1e-12), 0, 1)
    return np.repeat(np.round(255 * scaled).astype(np.uint8)[None], 3, axis=0)


def _fitted(slices: Slices, shape: tuple[int, int]) -> Slices:
    """Cut or pad at the right and at the bottom; input and heatmap share a grid all but always."""
    result = np.zeros(shape, np.float32)
    h, w = min(shape[0], slices.shape[0]), min(shape[1], slices.shape[1])
    result[:h, :w] = slices[:h, :w]
    return result


def class_probabilities(heatmaps: Heatmaps, classes: Sequence[str]) -> Floats32:
    """Return probabilities (n, classes): of every class where there are several, else of both."""
    return np.array(
        [_of_classes(row, classes, heatmaps) for row in heatmaps.predictions], np.float32
    )


def _of_classes(row: Prediction, classes: Sequence[str], heatmaps: Heatmaps) -> list[float]:
    p = row.probability
    rest = (1 - p) / max(1, len(classes) - 1)
    values = [
        row.class_probabilities.get(name, p if name == heatmaps.positive else rest)
        for name in classes
    ]
    return [float("nan") if value is None else value for value in values]
