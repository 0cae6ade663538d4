"""The analyses of a study, and what is said of them."""

from __future__ import annotations

from study_cases import changed

from bids_xai.reports.study.spray.analyses import analyses_of, analysis_title, embedding_name
from bids_xai.reports.study_files import StudyFiles
from bids_xai.tables.spray import CLUSTERS


def test_analyses_stand_by_configuration_then_space(study: StudyFiles) -> None:
    analyses = analyses_of(study)
    assert [a.folder.name for a in analyses] == [
        f"{configuration}_{space}" for configuration in "ABC" for space in ("T1w", "template")
    ]
    assert analyses[1].title == "Configuration A, template space"
    assert analysis_title("A", "elsewhere") == "Configuration A, elsewhere"


def test_the_number_of_clusters_is_that_of_the_file_else_of_the_table(study: StudyFiles) -> None:
    first, *_, last = analyses_of(study)
    assert last.n_clusters == 2  # study.json; the table has 3
    assert first.n_clusters == 3
    (first.folder / CLUSTERS.file).unlink()
    assert first.n_clusters == 0


def test_an_embedding_of_another_kind_keeps_its_name(study: StudyFiles) -> None:
    assert embedding_name(changed(study, settings={"spray": {"embedding": "pca"}})) == "pca"
