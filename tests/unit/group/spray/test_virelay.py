"""A project for ViRelAy: the files, keys and shapes that it reads."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from spray_cases import N, rows

from bids_xai.group.context import GroupContext
from bids_xai.group.spray import step


def test_a_project_for_virelay(study: GroupContext) -> None:
    """Every file that ViRelAy 0.6 looks for, with the keys and shapes it reads."""
    import h5py

    settings = dataclasses.replace(study.study.spray, virelay=True, inputs=False)
    step.run(dataclasses.replace(study, study=dataclasses.replace(study.study, spray=settings)))
    folder = study.folder / "spray" / "A_T1w" / "virelay"
    project = json.loads((folder / "project.yaml").read_text())["project"]
    named = [
        project["label_map"],
        project["dataset"]["path"],
        *project["attributions"]["sources"],
        *project["analyses"][0]["sources"],
    ]
    assert all((folder / name).is_file() for name in named)
    assert [label["name"] for label in json.loads((folder / "labels.json").read_text())] == [
        "NC",
        "AD",
    ]
    clusters = rows(folder.parent / "clusters.tsv")
    with h5py.File(folder / "analysis.h5") as file:
        (name,) = file["all/cluster"]
        labels = file[f"all/cluster/{name}"][:]
        assert [str(label + 1) for label in labels] == [row["cluster"] for row in clusters]
        assert file["all/embedding/tsne"].shape == (N, 2)
        assert file["all/embedding/spectral"].attrs["eigenvalue"].shape == (10,)
    with h5py.File(folder / "attribution.h5") as file:
        shape = file["attribution"].shape
        assert shape == (N, 3, 14, 12 + 12 + 14)
        assert not file["attribution"][:, 1:].any()
        np.testing.assert_allclose(file["prediction"][:].sum(axis=1), 1)
        assert list(file["label"][:4]) == [0, 1, 0, 1]
    with h5py.File(folder / "input.h5") as file:
        assert file["data"].shape == (N, 3, *shape[2:])
        assert file["data"].dtype == np.uint8


def test_virelay_itself_opens_the_project(study: GroupContext) -> None:
    model = pytest.importorskip("virelay.model", reason="needs virelay: pip install virelay")
    settings = dataclasses.replace(study.study.spray, virelay=True, inputs=False)
    step.run(dataclasses.replace(study, study=dataclasses.replace(study.study, spray=settings)))
    folder = study.folder / "spray" / "A_T1w"
    project = model.Project(str(folder / "virelay" / "project.yaml"))
    try:
        (method,) = project.get_analysis_methods()
        (category,) = project.get_analysis_categories(method)
        (clustering,) = project.get_analysis_clustering_names(method)
        assert set(project.get_analysis_embedding_names(method)) == {"spectral", "tsne"}
        found = project.get_analysis(method, category.name, clustering, "tsne")
        assert found.embedding.shape == (N, 2)
        clusters = [row["cluster"] for row in rows(folder / "clusters.tsv")]
        assert [str(label + 1) for label in found.clustering] == clusters
        attribution = project.get_attribution(0)
        assert attribution.labels[0].name == "NC"
        for colours in ("gray-red", "black-fire-red"):
            assert attribution.render_heatmap(colours).shape[:2] == attribution.data.shape[:2]
        assert project.get_sample(1).labels[0].name == "AD"
    finally:
        project.close()
