"""The analyses of a study, one a configuration and space, and what they are called."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bids_xai.reports.study_description import AnalysisDescription
from bids_xai.reports.study_files import StudyFiles
from bids_xai.tables.spray import CLUSTERS
from bids_xai.tables.table import Row, Table

FOLDER = "spray"
"""Of the study's folder, where the step writes."""
SPACES = {"T1w": "subject space", "template": "template space"}
_EMBEDDINGS = {"tsne": "t-SNE", "umap": "UMAP"}
_NOT_DESCRIBED = AnalysisDescription()


@dataclass(frozen=True)
class Analysis:
    """Where the analysis of a configuration in a space lies, and what ``study.json`` says of it."""

    configuration: str
    space: str
    folder: Path
    description: AnalysisDescription

    @property
    def title(self) -> str:
        """``Configuration A, subject space``."""
        return analysis_title(self.configuration, self.space)

    def rows(self, table: Table[Row]) -> list[Row]:
        """Return the lines of a table, none where it is missing. Raises as :meth:`Table.read`."""
        return table.read_if_written(self.folder / table.file)

    @property
    def n_clusters(self) -> int:
        """Number of clusters, 0 where nothing says it."""
        if self.description.n_clusters is not None:
            return self.description.n_clusters
        return len({member.cluster for member in self.rows(CLUSTERS)})


def analysis_title(configuration: str, space: str) -> str:
    """Return ``Configuration A, subject space``."""
    return f"Configuration {configuration}, {SPACES.get(space, space)}"


def analyses_of(study: StudyFiles) -> list[Analysis]:
    """Return the analyses that were done, spaces one after the other within a configuration."""
    analyses = []
    for configuration in study.identifiers:
        for space in SPACES:
            name = f"{configuration}_{space}"
            description = study.description.spray.get(name, _NOT_DESCRIBED)
            folder = study.folder / FOLDER / name
            if folder.is_dir():
                analyses.append(Analysis(configuration, space, folder, description))
    return analyses


def embedding_name(study: StudyFiles) -> str:
    """Return ``t-SNE`` or ``UMAP``, as the study's settings say."""
    name = study.settings.spray.embedding
    return _EMBEDDINGS.get(name, name)
