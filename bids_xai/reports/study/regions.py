"""Which brain regions hold the relevance: bars, spread over scans, shares, tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from bids_xai.core.regions.names import joined_regions, single_regions
from bids_xai.figures.regions import RegionDensity, RegionPanel, region_bars, region_violins
from bids_xai.reports.blocks import Block, Picture, Subheading, Table, Text, embedded
from bids_xai.reports.study_files import Study, section
from bids_xai.tables.numbers import MISSING, count, number, percent, plural

_TOP = 10
_SPREAD = 25
_SHARES = 4
_LINES = 200_000  # of regions.tsv read at a time
_CELLS = ["participant_id", "session_id", "split", "true_class"]


@section("Regions", "atlas")
def regions(study: Study) -> list[Block]:
    """Return the regions with most relevance: by density, with their spread, by share."""
    table = study.table("atlas/gain.tsv")
    if table is None:
        return [study.missing("atlas/gain.tsv")]
    if not table["group"].isin(study.classes[1:]).any():
        text = f"No scan of the class {study.classes[1]} has region values."
        return [Text(text, "note")]
    blocks: list[Block] = _no_gain(table)
    first = _first_method(study, table)
    values = _scan_values(study, first)
    for (method, atlas), part in table.groupby(["method", "atlas"], sort=True):
        single, joined = (part[part["merged"] == merged] for merged in ("false", "true"))
        tops = {
            name: _top(_both(study, single[single["configuration"] == name]))
            for name in study.identifiers
            if ((single["configuration"] == name) & (single["group"] == study.classes[1])).any()
        }
        if not tops:
            continue
        blocks += [Subheading(f"Method {method}, atlas {atlas}"), _bars(study, tops, str(atlas))]
        if method == first and values is not None:
            blocks += _spreads(study, single, values[values["atlas"] == atlas])
        blocks += [_region_table(study, name, top) for name, top in tops.items()]
        blocks.append(_shares(study, joined if len(joined) else single))
    return blocks


def _first_method(study: Study, table: Any) -> str:
    """The study's first method, for which single scans are shown."""
    named = str(study.description.get("method", ""))
    methods = list(dict.fromkeys(table["method"]))
    return named if named in methods else str(methods[0])


def _no_gain(table: Any) -> list[Block]:
    missing = int(table["gain"].isna().sum())
    if not missing:
        return []
    text = (
        f"The gain is n/a in {missing} of {plural(len(table), 'line')} of gain.tsv: there the "
        "controls have next to no relevance, less than a millionth of that of all regions, and a "
        "quotient would say nothing."
    )
    return [Text(text, "note")]


def _both(study: Study, part: Any) -> Any:
    """One line a region with the columns of either class, ``_positive`` and ``_negative``."""
    negative, positive = (
        part[part["group"] == name].set_index(["index", "name"]) for name in study.classes
    )
    columns = ["mean_density", "mean_share"]
    found = (
        positive[columns]
        .add_suffix("_positive")
        .join(negative[columns].add_suffix("_negative"), how="left")
        .join(positive[["n_voxels", "gain"]])
    )
    return found.reset_index()


def _top(table: Any, n: int = _TOP) -> Any:
    return table.sort_values(
        ["mean_density_positive", "name"], ascending=[False, True], kind="stable"
    ).head(n)


def _bars(study: Study, tops: dict[str, Any], atlas: str) -> Picture:
    panels = {
        name: RegionDensity(
            [str(r) for r in top["name"]],
            top["mean_density_negative"].to_numpy(),
            top["mean_density_positive"].to_numpy(),
            top["gain"].to_numpy(),
        )
        for name, top in tops.items()
    }
    image = region_bars(panels, study.classes, "mean relevance a voxel")
    described = f"Relevance a voxel in the ten leading regions of atlas {atlas}, by configuration"
    caption = (
        f"Regions in the order of mean relevance a voxel in scans of {study.classes[1]}. Filled: "
        f"{study.classes[1]}; hatched: {study.classes[0]}. × is the gain, the quotient of the mean "
        "sums of both."
    )
    return embedded(image, described, caption)


def _region_table(study: Study, identifier: str, top: Any) -> Table:
    negative, positive = study.classes
    columns = {
        "n_voxels": ("Voxels", count),
        "mean_density_positive": (f"Density {positive}", number),
        "mean_density_negative": (f"Density {negative}", number),
        "mean_share_positive": (f"Share {positive}", percent),
        "mean_share_negative": (f"Share {negative}", percent),
        "gain": ("Gain", number),
    }
    rows = tuple(
        (str(line["name"]), *(write(float(line[key])) for key, (_, write) in columns.items()))
        for _, line in top.iterrows()
    )
    caption = (
        f"Configuration {identifier}: the {len(rows)} regions with most relevance a voxel "
        "(density) in scans of the positive class. Share: part of the relevance of the whole map."
    )
    return Table(caption, ("Region", *(title for title, _ in columns.values())), rows)


def _shares(study: Study, part: Any) -> Table:
    """The leading regions of each configuration by the sum of their relevance."""
    rows = []
    for name in study.identifiers:
        cells = []
        for group in reversed(study.classes):
            mine = part[(part["configuration"] == name) & (part["group"] == group)]
            order = mine.sort_values(["mean_sum", "name"], ascending=[False, True], kind="stable")
            cells.append(
                "; ".join(
                    f"{line['name']} ({percent(line['mean_share'])})"
                    for _, line in order.head(_SHARES).iterrows()
                )
                or MISSING
            )
        if (part["configuration"] == name).any():
            rows.append((name, *cells))
    caption = (
        f"The {_SHARES} regions with most relevance by configuration, left and right together "
        "where the atlas tells them apart. In brackets: mean share of the relevance of the whole "
        "map; of maps with negative relevance it says little."
    )
    return Table(caption, ("Configuration", *reversed(study.classes)), tuple(rows))


def _scan_values(study: Study, method: str) -> Any:
    """The lines of ``regions.tsv`` of one method with what the spread needs, ``None`` without."""
    import pandas as pd

    path = study.folder / "atlas" / "regions.tsv"
    if not path.is_file():
        return None
    text = [*_CELLS, "configuration", "method", "atlas", "index"]
    kinds: Any = {**dict.fromkeys(text, str), "sum": float, "n_voxels": float}
    reader = pd.read_csv(
        path,
        sep="\t",
        usecols=list(kinds),
        dtype=kinds,
        chunksize=_LINES,
        keep_default_na=False,
        na_values={"sum": ["n/a"]},
    )
    return pd.concat([block[block["method"] == method] for block in reader])


def _spreads(study: Study, single: Any, values: Any) -> list[Block]:
    """One picture a configuration: single scans of both classes in the leading regions."""
    labels = [
        (int(i), str(n))
        for i, n in dict.fromkeys(zip(single["index"], single["name"], strict=True))
    ]
    known = joined_regions(labels) or single_regions(labels)
    region_of = {str(labels[m][0]): place for place, r in enumerate(known) for m in r.members}
    blocks: list[Block] = []
    for name in study.identifiers:
        mine = values[values["configuration"] == name]
        if not len(mine):
            continue
        scans = mine.assign(region=mine["index"].map(region_of))
        sums = scans.groupby([*_CELLS, "region"], sort=False)[["sum", "n_voxels"]].sum()
        sums = sums[sums["n_voxels"] > 0].reset_index()
        sums["density"] = sums["sum"] / sums["n_voxels"]
        blocks.append(_spread(study, name, str(mine["atlas"].iloc[0]), known, sums))
    return blocks


def _spread(study: Study, name: str, atlas: str, known: Any, sums: Any) -> Picture:
    positive = sums["true_class"] == study.classes[1]
    means = sums[positive].groupby("region")["density"].mean()
    leading = means.sort_values(ascending=False, kind="stable").head(_SPREAD).index
    arrays = [
        [sums[chosen & (sums["region"] == place)]["density"].to_numpy() for place in leading]
        for chosen in (~positive, positive)
    ]
    names = [known[int(place)].name for place in leading]
    found, told = _individuals(study, name, atlas, names)
    values = RegionPanel(names, arrays[0], arrays[1], found)
    image = region_violins(
        values, study.classes, title=f"Configuration {name}", label="relevance a voxel"
    )
    described = (
        f"Relevance a voxel of single scans in regions of atlas {atlas}, configuration {name}"
    )
    caption = (
        f"The {len(names)} regions with the highest mean density in scans of {study.classes[1]}: "
        f"distribution over scans (above the line {study.classes[1]}, below it {study.classes[0]}) "
        f"and means.{told}"
    )
    return embedded(image, described, caption)


def _individuals(
    study: Study, name: str, atlas: str, names: list[str]
) -> tuple[dict[str, Any], str]:
    """The densities of the two fingerprints in the order of the regions, and words for them."""
    table = study.table("atlas/fingerprints.tsv")
    if table is None:
        return {}, ""
    chosen = table[(table["configuration"] == name) & (table["atlas"] == atlas)]
    chosen = chosen[chosen["method"] == _first_method(study, table)]
    if (chosen["merged"] == "true").any():
        chosen = chosen[chosen["merged"] == "true"]
    found = {}
    told = []
    for individual, lines in chosen.groupby("individual"):
        densities = dict(zip(lines["name"], lines["density"], strict=True))
        found[str(individual)] = np.array([densities.get(region, np.nan) for region in names])
        first = lines.iloc[0]
        session = "" if first["session_id"] == MISSING else f" {first['session_id']}"
        told.append(f"{individual} is {first['participant_id']}{session}")
    if not found:
        return {}, ""
    distance = number(float(chosen["cosine_distance"].iloc[0]))
    n = plural(int(chosen["n_candidates"].iloc[0]), "confident true positive")
    return found, (
        f" Lines: the two of {n} (probability above 0.9) that differ most, cosine distance "
        f"{distance}; {', '.join(told)}."
    )
