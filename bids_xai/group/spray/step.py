"""Step ``spray``: spectral relevance analysis of every configuration in both spaces, and its audit.

Heatmaps are read one after the other into an array in the work folder, clustered, and every
cluster is tested against what is known of its scans. The input maps are clustered likewise, as a
control.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

import bids_xai
from bids_xai.bids.files import remove_if_empty, write_bytes, write_json, write_nifti
from bids_xai.bids.images import Volume, read_volume
from bids_xai.bids.layout import read_json
from bids_xai.bids.names import scan_name
from bids_xai.bids.stamps import (
    fingerprint,
    is_current,
    remove_leftovers,
    stamped_outputs,
    write_stamp,
)
from bids_xai.core.spray.audit import LEAST_SHARE, Audit, Covariate, audit
from bids_xai.core.spray.embedding import check_embedding
from bids_xai.errors import BadDataError
from bids_xai.figures.cluster_tiles import MOST_TILES, TILE_PX, projection_tile, tile_sheet
from bids_xai.group.context import LOG, GroupContext, Scan, read_rows, write_table
from bids_xai.group.scans import known_scan
from bids_xai.group.spray.control import Controls, clustered
from bids_xai.group.spray.covariates import Column, covariate_files, covariates, study_columns
from bids_xai.group.spray.places import cluster_means, places_in_words, spot_covariates
from bids_xai.group.spray.stack import Places, build_stack
from bids_xai.group.spray.tables import (
    CONFOUND_COLUMNS,
    VERDICT_COLUMNS,
    Analysis,
    write_covariates,
)
from bids_xai.group.spray.virelay import SliceFile, Slices, write_project
from bids_xai.group.study_file import add_to_study
from bids_xai.runtime.progress import Progress
from bids_xai.studies.tables import Configuration
from bids_xai.templates.grid import TemplateGrid, load_template_grid

_MAP_COLUMN = {"T1w": "relevance", "template": "warped"}

Row = Mapping[str, str]


@dataclass
class _Job:
    """One run of the step, and what it has written and found so far."""

    context: GroupContext
    grid: TemplateGrid | None
    columns: list[Column]
    work: Path
    controls: Controls
    written: list[Path] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    confounds: list[dict[str, Any]] = field(default_factory=list)
    verdicts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.context.folder / "spray"


@dataclass(frozen=True)
class _Heatmaps:
    """The heatmaps of a configuration: lines of ``predictions.tsv`` and the scan of each."""

    configuration: Configuration
    rows: Sequence[Row]
    scans: Sequence[Scan]

    @property
    def names(self) -> list[str]:
        return [scan.name for scan in self.scans]


def run(context: GroupContext) -> list[Path]:
    """Write ``spray/``: a folder an analysis, and the verdicts of all of them.

    Nothing is done where heatmaps, covariates and options are those of the last run.
    """
    check_embedding(context.study.spray.embedding)
    everything = _heatmaps(context)
    scans = list({s.name: s for maps in everything for s in maps.scans}.values())
    folder = context.folder / "spray"
    stamp, digest = folder / "stamp.json", _digest(context, everything, scans)
    if is_current(stamp, digest, context.folder):
        LOG.info("spray: heatmaps and options have not changed")
        return [add_to_study(context.folder, spray=read_json(folder / "summary.json"))]
    remove_leftovers(stamped_outputs(stamp, context.folder), [folder])
    work = context.settings.work_folder.resolve() / "group"
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work, prefix=f"{context.study.name}-spray-") as cache:
        grid = load_template_grid(context.template) if context.template else None
        controls = Controls(context, grid, Path(cache))
        job = _Job(context, grid, study_columns(context, scans), Path(cache), controls)
        watch = Progress("analyses", sum(len(_spaces(context, maps)) for maps in everything))
        for maps in everything:
            _configuration(job, maps, watch)
    remove_if_empty(work, work.parent)
    written = [
        *job.written,
        *write_table(folder / "confounds.tsv", job.confounds, CONFOUND_COLUMNS),
        *write_table(folder / "verdicts.tsv", job.verdicts, VERDICT_COLUMNS),
        *write_covariates(folder / "covariates.tsv", job.columns, [s.name for s in scans]),
        write_json(folder / "summary.json", job.summary),
    ]
    write_stamp(stamp, digest, context.folder, written)
    return [*written, add_to_study(context.folder, spray=job.summary)]


def _heatmaps(context: GroupContext) -> list[_Heatmaps]:
    """The configurations that have heatmaps of the study's first method."""
    method = context.study.attribution.methods[0]
    rows = [
        row
        for row in read_rows(context.folder / "predictions.tsv", "explain")
        if row["method"] == method
    ]
    every, found = context.scans(), []
    for configuration in context.study.configurations:
        mine = [row for row in rows if row["configuration"] == configuration.id]
        if mine:
            scans = {scan.name: scan for scan in context.scans_of(configuration, every)}
            own = [
                known_scan(context.folder, scans, scan_name(Path(row["relevance"]).name))
                for row in mine
            ]
            found.append(_Heatmaps(configuration, mine, own))
    return found


def _digest(context: GroupContext, everything: Sequence[_Heatmaps], scans: Sequence[Scan]) -> str:
    maps = [
        context.folder / row[column]
        for one in everything
        for row in one.rows
        for column in _MAP_COLUMN.values()
        if row[column] != "n/a"
    ]
    own = [file for scan in scans for file in (scan.map_file, scan.mask_file)]
    options = {
        "spray": asdict(context.study.spray),
        "target": asdict(context.study.target),
        "seed": context.settings.random_seed,
        "version": bids_xai.__version__,
        "template": context.template,
    }
    tables = [context.folder / "predictions.tsv", *covariate_files(context, scans)]
    return fingerprint([*maps, *own, *tables], options)


def _spaces(context: GroupContext, maps: _Heatmaps) -> list[str]:
    """The spaces to analyse; T1w comes first, it shows where the relevance lies."""
    return sorted(
        space
        for space in context.study.spray.spaces
        if all(row[_MAP_COLUMN[space]] != "n/a" for row in maps.rows)  # n/a: no template
    )


def _configuration(job: _Job, maps: _Heatmaps, watch: Progress) -> None:
    """All analyses of one configuration; places of relevance are looked at on the way."""
    places = Places([scan.mask_file for scan in maps.scans])
    spaces = _spaces(job.context, maps)
    for space in set(job.context.study.spray.spaces) - set(spaces):
        LOG.warning(
            "spray %s_%s: left out, since %d of %d heatmaps are not there in this space",
            maps.configuration.id,
            space,
            sum(row[_MAP_COLUMN[space]] == "n/a" for row in maps.rows),
            len(maps.rows),
        )
    if "T1w" not in spaces:
        for number, row in enumerate(maps.rows):
            places(number, read_volume(job.context.folder / row["relevance"]))
    for space in spaces:
        _analysis(job, maps, space, places)
        watch.step()


def _analysis(job: _Job, maps: _Heatmaps, space: str, places: Places) -> None:
    """Cluster, audit and write the heatmaps of one configuration in one space."""
    context, settings = job.context, job.context.study.spray
    name = f"{maps.configuration.id}_{space}"
    files = [context.folder / row[_MAP_COLUMN[space]] for row in maps.rows]
    readers = [partial(read_volume, file) for file in files]
    tiles: list[NDArray[np.uint8]] = []
    slices = SliceFile(job.work / f"{name}.slices", len(readers))
    grid = job.grid if space == "template" else None
    inside = None if grid is None else grid.template.mask.data > 0

    def look(number: int, volume: Volume) -> None:
        brain = inside if inside is not None else places(number, volume)
        if number < MOST_TILES:
            mask = Volume(np.asarray(brain, np.uint8), volume.affine).canonical().data > 0
            tiles.append(projection_tile(volume.canonical().data, mask))
        if settings.virelay:
            slices.add(number, volume.canonical().data)

    stack = build_stack(job.work / f"{name}.maps", readers, settings, inside, look, files)
    LOG.info("spray %s: %d maps of %d voxels", name, *stack.maps.shape)
    analysis = Analysis(
        maps.configuration.id,
        space,
        maps.rows,
        maps.names,
        context.study.target.positive_name,
        *clustered(context, stack),
    )
    folder = job.folder / name
    job.written += analysis.write(folder, places)
    means = cluster_means(stack, analysis.result.labels)
    for cluster, mean in means.items():
        file = folder / f"cluster-{cluster + 1}_mean.nii.gz"
        job.written.append(write_nifti(file, mean, stack.affine))
    job.written.append(write_bytes(folder / "mosaics.png", tile_sheet(tiles)))
    sizes = np.bincount(analysis.result.labels)
    words = places_in_words(
        stack, means, sizes, grid=grid, brain=None if space == "template" else places.brain
    )
    spots = []
    if space == "T1w" and places.brain is not None:
        spots = spot_covariates(
            stack,
            analysis.result.labels,
            analysis.participants,
            places.brain,
            context.settings.random_seed,
        )
    found = _audited(job, analysis, [*_known(job, analysis, places), *spots], words)
    job.summary[name] = _said(analysis, found, places) | {
        "tile": {"height": TILE_PX[0], "width": TILE_PX[1], "tiles": len(tiles)}
    }
    inputs = _control(job, maps, space, analysis) if settings.inputs else None
    if settings.virelay:
        study = context.study
        job.written += write_project(
            folder / "virelay",
            analysis,
            heatmaps=slices.slices,
            inputs=inputs,
            classes=study.target.names,
            study=study.name,
            method=study.attribution.methods[0],
        )
    del stack
    (job.work / f"{name}.maps").unlink()


def _known(job: _Job, analysis: Analysis, places: Places) -> list[Covariate]:
    """What is known of the scans, whatever their clusters."""
    return covariates(job.columns, analysis.names, analysis.rows, places.outside, places.edge)


def _audited(
    job: _Job, analysis: Analysis, known: Sequence[Covariate], words: Mapping[int, str]
) -> Audit:
    """Test the clusters, write the tests beside them, keep the verdicts."""
    found = audit(
        analysis.result.labels,
        known,
        classes=[row["true_class"] for row in analysis.rows],
        participants=analysis.participants,
        splits=[row["split"] for row in analysis.rows],
        stability=analysis.stability.clusters,
        survives=analysis.stability.survives,
        places=words,
        seed=job.context.settings.random_seed,
    )
    name = f"{analysis.configuration}_{analysis.space}"
    rows = analysis.confounds(found)
    job.written += write_table(job.folder / name / "confounds.tsv", rows, CONFOUND_COLUMNS)
    job.confounds += rows
    job.verdicts += analysis.verdicts(found)
    for verdict in found.suspicious:
        LOG.warning("spray %s: %s", name, verdict.text)
    return found


def _said(analysis: Analysis, found: Audit, places: Places) -> dict[str, Any]:
    """What the report says of an analysis besides its tables."""
    result, sure = analysis.result, analysis.stability
    outside = float(np.nanmean(places.outside)) if np.isfinite(places.outside).any() else 0.0
    far = f"On average {100 * outside:.0f} % of the relevance lies outside the brain"
    for note in result.notes:
        LOG.info("spray %s_%s: %s", analysis.configuration, analysis.space, note)
    return {
        "n_clusters": result.n_clusters,
        "n_maps": len(result.labels),
        "n_suspicious": len(found.suspicious),
        "notes": [*result.notes, *found.notes, *([far] if outside >= LEAST_SHARE else [])],
        "ari": {what: sure.mean_ari(what) for what in ("seed", "neighbours", "bootstrap")},
        "same_number": sure.share_of_same_number(),
        "recall": result.neighbours.recall,
    }


def _control(
    job: _Job, maps: _Heatmaps, space: str, analysis: Analysis
) -> Callable[[int], Slices] | None:
    """Write the clusters of the input maps; return what gives the slices of a heatmap's input."""
    name = f"{maps.configuration.id}_{space}"
    try:
        found = job.controls.of(maps.configuration, maps.scans, space)
        why = "no input maps in this space"
    except BadDataError as error:  # such as z-scored inputs, which have no sum to be divided by
        found, why = None, f"input maps: {error.problem}"
    if found is None:
        job.summary[name]["notes"].append(f"there is no control ({why})")
        return None
    once = Analysis(
        maps.configuration.id,
        space,
        [maps.rows[i] for i in found.first],
        [maps.names[i] for i in found.first],
        analysis.positive,
        found.result,
        found.stability,
    )
    job.written += once.write(job.folder / f"{name}_input")
    same = float(adjusted_rand_score(analysis.result.labels, found.labels))
    job.summary[name]["inputs"] = {"n_clusters": found.result.n_clusters, "ari": same}
    slices, scan_of = found.slices, found.scan_of
    return (lambda line: slices[scan_of[line]]) if len(slices) else None
