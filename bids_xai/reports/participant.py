"""The page of one participant: all sessions, from files on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from bids_xai.bids.files import write_text
from bids_xai.bids.images import read_header
from bids_xai.bids.names import parse_name
from bids_xai.errors import UserError
from bids_xai.reports.page import (
    Block,
    Items,
    Picture,
    Section,
    Subheading,
    Table,
    Text,
    png_size,
    render,
)
from bids_xai.reports.participant_context import Sources
from bids_xai.reports.participant_prediction import predictions
from bids_xai.reports.participant_regions import region_tables
from bids_xai.reports.quality import Look, quality_file, quality_table, read_quality
from bids_xai.reports.quality import problems as problems_of
from bids_xai.reports.session import RELEVANCE_PERCENTILES, quantitative_maps, sidecar_of
from bids_xai.reports.tables import MISSING, number, percent, read_object
from bids_xai.reports.viewer import link as viewer_link
from bids_xai.reports.viewers import session_page
from bids_xai.reports.volumes import ZERO_NOTE, Folder, ImageFile

_ORDER = (
    "brainmask", "lesion", "lesionfilled", "histogram", "residual", "registration", "templatemask",
)  # fmt: skip
_CAPTIONS = {
    "brainmask": (
        "Brain mask on the T1w image",
        "The yellow line should follow the surface of the brain, with no skull inside and no "
        "brain outside.",
    ),
    "lesion": (
        "Lesion mask on the T1w image",
        "The slices are those with most lesion. The outlines should surround what is dark in "
        "white matter (old or demyelinated lesions); healthy tissue inside points to a mask in "
        "another space.",
    ),
    "lesionfilled": (
        "T1w image with lesions filled",
        "The same slices and outlines: inside them the image should look like the white matter "
        "around. A lesion that is still dark lies too far from white matter.",
    ),
    "registration": (
        "on the T1w grid with outlines from the T1w image",
        "Both outlines come from the T1w image; brain surface and ventricles of this image "
        "should lie on them.",
    ),
    "residual": (
        "Residuals of the R2* fit over S0",
        "What the exponential decay does not explain, as a part of the signal: 0.02 is 2 %. "
        "Expect dark, even grey with bright vessels and bright edges near the sinuses and ears; "
        "stripes or shifted edges all over point to motion between echoes.",
    ),
    "templatemask": (
        "T1w image in template space",
        "The legend says whose outlines these are. The brain should fill the outer one; where "
        "there is an inner one, it is the template's white matter and should lie on that of the "
        "image.",
    ),
}
_HISTOGRAM = "Grey values in the unit of the bar under the histogram."
_HISTOGRAM_R2STAR = (
    "Grey values in 1/s. Expect a single peak near 20 1/s at 3 T and bright basal ganglia; "
    "a peak at 0 or many voxels above the window point to a failed fit."
)


def write_participant_page(
    output_dir: Path,
    participant: str,
    problems: Sequence[str],
    *,
    bids_dir: Path | None = None,
    model: Path | None = None,
) -> Path:
    """Write ``<out>/sub-X.html`` and return its path.

    participant : label without ``sub-``; problems : one sentence each, shown on top, followed by
        the quality measures that are out of their limits
    bids_dir, model : of the run, for the true class, ages, and the study the model comes from
    Raises :class:`BadDataError` for a table that is damaged.
    """
    sources = Sources(output_dir, participant, bids_dir, model)
    sections, found, visits = [], list(problems), []
    for title, folder in _sessions(output_dir, participant):
        section, flagged = _session(sources, title, folder)
        sections.append(section)
        found += flagged
        if label := _label_of(folder):
            visits.append((label, folder))
    if len(visits) > 1 and any(next(path.glob("*_regions.tsv"), None) for _, path in visits):
        from bids_xai.reports.participant_trajectories import trajectories

        sections += trajectories(sources, visits)
    lead = "bids_xai participant report, read from the files beside it."
    sections = [_status(found), *sections, *_methods(output_dir)]
    page = render(f"sub-{participant}", lead, sections)
    return write_text(output_dir / f"sub-{participant}.html", page)


def _status(problems: Sequence[str]) -> Section:
    if problems:
        return Section("Problems", (Items(tuple(problems), "problem"),))
    return Section("Problems", (Text("None reported."),))


def _sessions(output_dir: Path, participant: str) -> list[tuple[str, Path]]:
    """Return (title, anat folder) of every session found."""
    home = output_dir / f"sub-{participant}"
    found = [("Images", home / "anat")] if (home / "anat").is_dir() else []
    labelled = sorted(p for p in home.glob("ses-*/anat") if p.is_dir())
    return found + [(f"Session {p.parent.name.removeprefix('ses-')}", p) for p in labelled]


def _label_of(path: Path) -> str | None:
    """The session of an ``anat`` folder, ``None`` where there is none."""
    name = path.parent.name
    return name.removeprefix("ses-") if name.startswith("ses-") else None


def _session(sources: Sources, title: str, path: Path) -> tuple[Section, tuple[str, ...]]:
    """Return the section of a session, and what to say of it on top of the page."""
    folder, session = Folder.of(path), _label_of(path)
    shown = _pictures(sources.output_dir, sources.participant, session)
    said, remarks = predictions(path, sources, session)
    table = quality_file(path)
    measures = read_quality(table) if table else ()
    blocks: list[Block] = [
        *said,
        *_inputs(folder),
        *quality_table(measures),
        *_relevance(folder),
        *viewer_link(
            session_page(sources.output_dir, sources.participant, session),
            sources.output_dir,
            "Walk through the heatmaps over the T1w image",
        ),
        *region_tables(path, sources),
        *(block for look, picture in shown for block in (_heading(look), picture)),
    ]
    flagged = (*remarks, *problems_of(measures, [look for look, _ in shown], session or ""))
    nothing = [Text("No derivative of this session was found.", "note")]
    return Section(title, tuple(blocks or nothing)), flagged


def _inputs(folder: Folder) -> list[Block]:
    shown = folder.find("T1w", space=None, desc="preproc")
    shown += [*quantitative_maps(folder), *folder.find("FLAIR", space="T1w", desc="preproc")]
    shown += folder.find("mask", space="T1w", label="lesion")
    rows = tuple(_input_row(image) for image in shown)
    if not rows:
        return []
    header = ("Image", "Voxels", "Voxel size (mm)", "Echo times (ms)", "Estimation")
    return [Table("Images and how they were made", header, rows)]


def _input_row(image: ImageFile) -> tuple[str, ...]:
    sidecar = read_object(sidecar_of(image.path))
    try:
        shape, affine = read_header(image.path)
        size = " × ".join(f"{float((affine[:3, i] ** 2).sum() ** 0.5):.2f}" for i in range(3))
        grid = " × ".join(str(n) for n in shape[:3])
    except UserError as error:
        grid, size = f"unreadable: {error.problem}", "n/a"
    times = sidecar.get("EchoTime")
    if isinstance(times, (list, int, float)):
        values = times if isinstance(times, list) else [times]
        times = ", ".join(f"{1000 * float(t):.4g}" for t in values)
    method = sidecar.get("EstimationAlgorithm")
    return image.path.name, grid, size, number(times), number(method)


def _relevance(folder: Folder) -> list[Block]:
    """Where relevance starts and how much of it lies in the brain, from the sidecars."""
    maps = [(i, read_object(sidecar_of(i.path))) for i in folder.find("relmap")]
    rows = tuple(
        (
            str(about.get("Method", image.entities.get("desc", "n/a"))),
            image.entities.get("space", "n/a"),
            number(about.get("Start")),
            _options(about.get("Options")),
            percent(_fraction(about.get("InnerMaskShare"))),
        )
        for image, about in maps
    )
    header = ("Method", "Space", "Relevance starts at", "Options", "Share inside the brain mask")
    return [Table("Relevance maps", header, rows)] if rows else []


def _options(value: Any) -> str:
    """The options of a method; what the other columns say is left out."""
    options = value if isinstance(value, dict) else {}
    told = {key: each for key, each in options.items() if key not in ("method", "target", "start")}
    return ", ".join(f"{key} {number(each)}" for key, each in told.items()) or MISSING


def _fraction(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _pictures(
    output_dir: Path, participant: str, session: str | None
) -> list[tuple[Look, Picture]]:
    """Return the pictures of a session, in the order they are to be looked at."""
    folder = output_dir / f"sub-{participant}" / "figures"
    files = [(p, *parse_name(p.name)[:2]) for p in sorted(folder.glob("*.png"))]
    mine = [(p, e, s) for p, e, s in files if e.get("ses") == session]
    mine.sort(key=lambda item: _rank(item[1], item[2]))
    pictures = []
    for path, entities, suffix in mine:
        title, caption = _describe(entities, suffix)
        with path.open("rb") as stream:
            width, height = png_size(stream.read(32))
        source = f"sub-{participant}/figures/{path.name}"
        text = f"{caption} {path.name}"
        picture = Picture(source, f"{title}: {path.name}", text, width, height)
        look = Look(title, f"picture-{path.stem}", entities, suffix)
        pictures.append((look, picture))
    return pictures


def _heading(look: Look) -> Subheading:
    """The heading of a picture, which the sentences on top of the page link to."""
    return Subheading(Markup('<span id="{}">{}</span>').format(look.anchor, look.title))


def _rank(entities: dict[str, str], suffix: str) -> int:
    description = entities.get("desc", "")
    if suffix == "relmap":
        return len(_ORDER)
    return _ORDER.index(description) if description in _ORDER else len(_ORDER) + 1


def _describe(entities: dict[str, str], suffix: str) -> tuple[str, str]:
    if suffix == "relmap":
        low, high = RELEVANCE_PERCENTILES
        title = (
            f"Relevance for {entities.get('label', 'the class')} in space "
            f"{entities.get('space', 'native')}, model {entities.get('model', 'n/a')}, "
            f"method {entities.get('desc', 'n/a')}"
        )
        caption = (
            f"Colours run from the {low:g} to the {high:g} percentile of the positive values of "
            "this one map (of the magnitudes where the method gives both signs), so colours "
            f"cannot be compared between pictures. {ZERO_NOTE} Relevance tells what the model "
            "used, not what is ill."
        )
        return title, caption
    description = entities.get("desc", "")
    name = "R2*" if suffix == "R2starmap" else suffix.removesuffix("map")
    if description == "histogram":
        title = f"{name} map with the histogram of its values"
        return title, _HISTOGRAM_R2STAR if suffix == "R2starmap" else _HISTOGRAM
    title, caption = _CAPTIONS.get(description, ("Picture", ""))
    if description == "registration":
        return f"{name} {'image' if name == suffix else 'map'} {title}", caption
    space = entities.get("space")
    return (f"{title} ({space})" if space not in (None, "T1w") else title), caption


def _methods(output_dir: Path) -> list[Section]:
    path = output_dir / "logs" / "CITATION.md"
    if not path.is_file():
        return []
    paragraphs = [p.strip() for p in path.read_text(encoding="utf-8").split("\n\n")]
    blocks: list[Block] = []
    for paragraph in (p for p in paragraphs if p):
        heading = paragraph.startswith("#") and "\n" not in paragraph
        text = paragraph.lstrip("# ")
        blocks.append(Subheading(text) if heading else Text(" ".join(paragraph.split())))
    return [Section("Methods", tuple(blocks))]
