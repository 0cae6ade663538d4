"""Embeddings and mean maps of clusters."""

from __future__ import annotations

import numpy as np
from study_cases import changed

from bids_xai.figures.cluster_tiles import TILE_PX, projection_tile, tile_sheet
from bids_xai.figures.clusters import cluster_maps
from bids_xai.reports.study.spray import pictures
from bids_xai.reports.study.spray.analyses import analyses_of, embedding_name
from bids_xai.reports.study_files import StudyFiles


def test_the_embedding_is_called_what_it_is(study: StudyFiles) -> None:
    assert embedding_name(study) == "t-SNE"
    study = changed(study, settings={"spray": {"embedding": "umap"}})
    (picture,) = pictures.embeddings(study, analyses_of(study)[:1])
    assert "mean nothing in UMAP" in picture.caption
    assert "t-SNE" not in picture.caption + picture.alt


def test_a_tile_shows_where_relevance_lies() -> None:
    volume = np.zeros((20, 30, 20))
    volume[15, 25, 4] = 2.0  # right, front, low
    brain = np.zeros(volume.shape, dtype=bool)
    brain[5:15, 8:22, 5:15] = True
    tile = projection_tile(volume, brain)
    assert tile.shape == TILE_PX
    cell = TILE_PX[1] // 3
    axial, coronal, sagittal = (tile[:, i * cell : (i + 1) * cell] for i in range(3))
    hot = [np.argwhere(part == 62).mean(axis=0) for part in (axial, coronal, sagittal)]
    middle_y, middle_x = TILE_PX[0] / 2, cell / 2
    assert hot[0][0] < middle_y  # front at the top
    assert hot[0][1] < middle_x  # the patient's right on the left
    assert hot[1][0] > middle_y  # low
    assert hot[2][1] < middle_x  # front at the left
    assert all((part == 63).any() for part in (axial, coronal, sagittal))
    assert projection_tile(np.zeros((4, 4, 4))).max() == 0
    sheet = tile_sheet([tile] * 20)
    assert sheet.startswith(b"\x89PNG")
    import io

    from matplotlib.image import imread

    assert imread(io.BytesIO(sheet)).shape[:2] == (2 * TILE_PX[0], 16 * TILE_PX[1])


def test_maps_of_clusters_are_drawn_in_three_planes() -> None:
    rng = np.random.default_rng(0)
    image = cluster_maps(
        rng.random((20, 24, 20)),
        (4.0, 4.0, 4.0),
        {"Cluster 1": rng.random((20, 24, 20)), "Cluster 2": rng.random((20, 24, 20))},
        window=(0.5, 1.0),
        title="x",
    )
    assert image.startswith(b"\x89PNG")
