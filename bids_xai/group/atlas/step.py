"""Step ``atlas``: relevance of every test scan by region, mean maps, and what follows from them.

Each map is read once, for all regions of all atlases and for the means; maps are never held
together. The tables that compare scans are made from the region sums, which are small.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import bids_xai
from bids_xai.bids.images import read_volume
from bids_xai.bids.session_times import SessionTimes, session_times, sessions_file
from bids_xai.bids.stamps import fingerprint, is_current, stamped_outputs, write_stamp
from bids_xai.core.map_similarity import Similarity
from bids_xai.errors import BadDataError, naming
from bids_xai.group.atlas.biology import BIOLOGY_COLUMNS, biology_rows
from bids_xai.group.atlas.gain import (
    GAIN_COLUMNS,
    OVERLAP_COLUMNS,
    RANKING_COLUMNS,
    gain_rows,
    ranking_rows,
)
from bids_xai.group.atlas.groups import Groups
from bids_xai.group.atlas.individuals import (
    FINGERPRINT_COLUMNS,
    TRAJECTORY_COLUMNS,
    fingerprints,
    trajectories,
)
from bids_xai.group.atlas.mean_maps import (
    MeanMaps,
    compare_means,
    compare_splits,
    compared_groups,
    write_means,
)
from bids_xai.group.atlas.overlap import ranking_overlaps, split_overlaps
from bids_xai.group.atlas.region_values import (
    Part,
    RegionValues,
    Row,
    View,
    find_atlases,
    parts_of,
    region_lines,
    stream_table,
)
from bids_xai.group.atlas.volumes import VOLUME_COLUMNS, Biology, gather, source_files
from bids_xai.group.context import LOG, GroupContext, read_rows, write_table
from bids_xai.runtime.progress import Progress
from bids_xai.tables.atlas import REGIONS_OF_SCAN
from bids_xai.templates.grid import TemplateGrid, load_template_grid
from bids_xai.templates.lookup import atlas_files

REGIONS_TABLE_COLUMNS = {
    "participant_id": "Participant",
    "session_id": "Session, n/a where the dataset has none",
    "configuration": "Configuration of the study",
    "split": "Number of the split, from 0",
    **REGIONS_OF_SCAN.meanings(),
    "true_class": "Class of the participant",
    "outcome": "TP, FP, TN or FN",
}
_Lines = list[dict[str, Any]]


def run(context: GroupContext) -> list[Path]:
    """Write the tables of ``atlas/`` and ``means/``; nothing is done while they are up to date."""
    predictions = read_rows(context.folder / "predictions.tsv", "explain")
    predictions = [row for row in predictions if row["warped"] != "n/a"]  # baselines have no map
    if not context.template:
        LOG.warning("no template: no region tables and no mean maps")
        return []
    stamp, digest = context.folder / "atlas" / "stamp.json", _digest(context, predictions)
    if is_current(stamp, digest, context.folder):
        LOG.info("atlas: up to date")
        return sorted(stamped_outputs(stamp, context.folder))
    grid = load_template_grid(context.template)
    atlases = find_atlases(context)
    rows, parts = parts_of(context, predictions)
    values = RegionValues(atlases, len(rows)) if atlases else None
    written, overlaps = _read_maps(context, grid, rows, parts, values)
    if values is None:
        LOG.warning("no atlas for %s: no region tables", context.template)
    else:
        written += _write_tables(context, rows, parts, values, overlaps)
    for old in stamped_outputs(stamp, context.folder) - set(written):
        old.unlink(missing_ok=True)
    write_stamp(stamp, digest, context.folder, written)
    return sorted(set(written))


def _digest(context: GroupContext, rows: Sequence[Row]) -> str:
    files = [context.folder / row["warped"] for row in rows]
    files += [context.folder / "predictions.tsv", *atlas_files(context.settings.atlas)]
    files += source_files(context)
    people = dict.fromkeys(row["participant_id"] for row in rows)
    files += [sessions_file(context.settings.bids_dir, person) for person in people]
    study = context.study
    return fingerprint(
        [file for file in files if file.is_file()],
        {
            "version": bids_xai.__version__,
            "template": context.template,
            "atlas": list(context.settings.atlas),
            "target": study.as_plain()["target"],
            "configurations": [c.id for c in study.configurations],
            "methods": study.attribution.methods,
            "seed": context.settings.random_seed,
        },
    )


def _read_maps(
    context: GroupContext,
    grid: TemplateGrid,
    rows: Sequence[Row],
    parts: Sequence[Part],
    values: RegionValues | None,
) -> tuple[list[Path], _Lines]:
    """One pass over all maps: region sums, mean maps, and how alike those are."""
    similarity = Similarity(grid.template.mask.data > 0)
    written: list[Path] = []
    overlaps: _Lines = []
    watch = Progress("heatmaps", len(rows))
    for part in parts:
        means = MeanMaps(compared_groups(context))
        for line in range(part.start, part.stop):
            data = _read_map(context, grid, rows[line])
            means.add(rows[line], data)
            if values is not None:
                with naming(context.folder / rows[line]["warped"]):
                    values.add(line, data)
            watch.step()
        written += write_means(context, grid, part, means)
        overlaps += compare_splits(part, means, similarity)
    overlaps += compare_means(context, parts, set(written), similarity)
    return written, overlaps


def _read_map(context: GroupContext, grid: TemplateGrid, row: Row) -> Any:
    path = context.folder / row["warped"]
    data = read_volume(path).data
    if data.shape != grid.template.brain.data.shape:
        raise BadDataError(
            "the relevance map is not on the template grid",
            file=path,
            fix="run --steps explain again",
        )
    return data


def _write_tables(
    context: GroupContext,
    rows: Sequence[Row],
    parts: Sequence[Part],
    values: RegionValues,
    overlaps: _Lines,
) -> list[Path]:
    folder, views = context.folder / "atlas", values.views()
    written = stream_table(folder / "regions.tsv", region_lines(rows, views), REGIONS_TABLE_COLUMNS)
    courses = _courses(context, rows, parts, views)
    written += stream_table(folder / "trajectories.tsv", courses, TRAJECTORY_COLUMNS)
    known, volumes = gather(context, rows, values.atlases)
    gains: _Lines = []
    rankings: _Lines = []
    prints: _Lines = []
    biology: _Lines = []
    for part in parts:
        mine = rows[part.lines]
        groups = Groups.of(mine, context.study.target)
        own = [view.of(part) for view in views]
        for view in own:
            gains += gain_rows(view, part, groups)
            rankings += ranking_rows(view, part, groups)
            overlaps += split_overlaps(view, part, groups)
            positive = context.study.target.positive_name
            prints += fingerprints(view, part, mine, groups, positive)
        seed = context.settings.random_seed
        biology += biology_rows(own, part, mine, groups, _of_part(known, part), seed)
    overlaps += ranking_overlaps(views, rankings)
    for name, lines, columns in (
        ("gain", gains, GAIN_COLUMNS | {"gain": _told(gains)}),
        ("rankings", rankings, RANKING_COLUMNS),
        ("overlap", overlaps, OVERLAP_COLUMNS),
        ("fingerprints", prints, FINGERPRINT_COLUMNS),
        ("volumes", volumes, VOLUME_COLUMNS),
        ("biology", biology, BIOLOGY_COLUMNS),
    ):
        written += write_table(folder / f"{name}.tsv", lines, columns)
    return written


def _courses(
    context: GroupContext, rows: Sequence[Row], parts: Sequence[Part], views: Sequence[View]
) -> Iterator[dict[str, Any]]:
    """The lines of ``trajectories.tsv``; the sessions of a participant are looked up once."""

    @cache
    def known(person: str, sessions: tuple[str, ...]) -> SessionTimes:
        return session_times(sessions_file(context.settings.bids_dir, person), sessions)

    for part in parts:
        for view in views:
            if not view.merged:
                yield from trajectories(
                    view.of(part), part, rows[part.lines], lambda p, s: known(p, tuple(s))
                )


def _of_part(known: Biology, part: Part) -> Biology:
    volumes = {name: found[part.lines] for name, found in known.volumes.items()}
    return replace(
        known,
        volumes=volumes,
        lesion_load=known.lesion_load[part.lines],
        lesion_share=known.lesion_share[part.lines],
    )


def _told(gains: Sequence[Mapping[str, Any]]) -> str:
    """The meaning of ``gain`` with the number of lines that have none, which the log has too."""
    missing = sum(1 for row in gains if row["gain"] != row["gain"])
    if missing:
        LOG.warning(
            "atlas: no gain in %d of %d lines of gain.tsv, where the controls' mean relevance is "
            "next to nothing, or there are no controls",
            missing,
            len(gains),
        )
    return f"{GAIN_COLUMNS['gain']}; n/a in {missing} of {len(gains)} lines of this table"
