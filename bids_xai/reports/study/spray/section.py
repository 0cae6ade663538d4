"""Spectral relevance analysis: which clusters the heatmaps form, and who is in them."""

from __future__ import annotations

from bids_xai.reports.blocks import Block, Details, Subheading, Text
from bids_xai.reports.study.spray.analyses import FOLDER, SPACES, Analysis, analyses_of
from bids_xai.reports.study.spray.explorer import explorer
from bids_xai.reports.study.spray.pictures import cluster_pictures, eigenvalues, embeddings
from bids_xai.reports.study.spray.tables import confounds, contingency
from bids_xai.reports.study.spray.verdicts import verdicts
from bids_xai.reports.study_files import StudyFiles, section
from bids_xai.tables.numbers import MISSING, percent, plural


@section("Spectral relevance analysis (SpRAy)", FOLDER)
def spectral(study: StudyFiles) -> list[Block]:
    """Return verdicts, embeddings, eigenvalues, tables and mean maps of all analyses."""
    analyses = analyses_of(study)
    if not analyses:
        return [study.missing_file("spray/<configuration>_<space>/clusters.tsv", "spray")]
    blocks: list[Block] = [*verdicts(study, analyses), *embeddings(study, analyses)]
    blocks += explorer(study, analyses)
    spectra = [block for space in SPACES for block in eigenvalues(space, analyses)]
    if spectra:
        title = "Eigenvalues: how the number of clusters was chosen"
        blocks.append(Details(title, tuple(spectra)))
    for analysis in analyses:
        blocks += [
            Subheading(analysis.title),
            *(Text(note, "note") for note in analysis.description.notes),
            *sureness(analysis),
            *contingency(study, analysis),
            *confounds(analysis),
            *cluster_pictures(study, analysis),
        ]
    return blocks


def sureness(analysis: Analysis) -> list[Block]:
    """Return agreement over seeds, neighbours and samples, and with clusters of the input maps."""
    description = analysis.description
    if description.ari is None:
        return []
    text = (
        "Stability of the clusters, as adjusted Rand index (1: the same clusters) with "
        f"other runs of the analysis: other seeds {_two(description.ari.seed)}, other numbers of "
        f"neighbours {_two(description.ari.neighbours)}, bootstrap samples "
        f"{_two(description.ari.bootstrap)}. {percent(description.same_number, 0)} of the samples "
        "give the same number of clusters."
    )
    if description.inputs is not None:
        text += (
            f" Control: the input maps of the same scans form "
            f"{plural(description.inputs.n_clusters, 'cluster')}; the adjusted Rand index with the "
            f"clusters of heatmaps is {_two(description.inputs.ari)}."
        )
    return [Text(text)]


def _two(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2f}"
