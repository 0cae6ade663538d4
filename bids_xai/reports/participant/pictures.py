"""The pictures of a session on a participant's page: their order, titles and captions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from bids_xai.bids.names import file_name, parse_name
from bids_xai.reports.blocks import Block, Picture, Subheading, png_size
from bids_xai.reports.participant.qc import Look
from bids_xai.reports.participant.session_files import anat_folder, map_name, relevance_name
from bids_xai.reports.participant.session_pictures import RELEVANCE_PERCENTILES
from bids_xai.reports.volumes import ZERO_NOTE, ImageFile

RELMAP = "relmap"
HOW_TO_READ = (
    f"Colours run from the {RELEVANCE_PERCENTILES[0]:g} to the {RELEVANCE_PERCENTILES[1]:g} "
    "percentile of the positive values of one map (of the magnitudes where the method gives both "
    f"signs), so colours cannot be compared between pictures. {ZERO_NOTE} Relevance shows what the "
    "model used, not what is diseased."
)

_ORDER = (
    "brainmask",
    "lesion",
    "lesionfilled",
    "histogram",
    "residual",
    "registration",
    "templatemask",
)
_CAPTIONS = {
    "brainmask": (
        "Brain mask on the T1w image",
        "The yellow line should follow the surface of the brain, with no skull inside and no "
        "brain outside.",
    ),
    "lesion": (
        "Lesion mask on the T1w image",
        "The slices shown have the largest lesion area. The outlines should surround what is "
        "dark in white matter (old or demyelinated lesions); healthy tissue inside points to a "
        "mask in another space.",
    ),
    "lesionfilled": (
        "T1w image with lesions filled",
        "The same slices and outlines: inside them the image should look like the surrounding "
        "white matter. A lesion that is still dark is too far from white matter.",
    ),
    "registration": (
        "on the T1w grid with outlines from the T1w image",
        "Both outlines come from the T1w image: its brain mask, and its brightest voxels, "
        "roughly the white matter without the ventricles. The brain surface, white matter "
        "and ventricles of this image should match them.",
    ),
    "residual": (
        "Residuals of the R2* fit over S0",
        "What the exponential decay does not explain, as a fraction of the signal: 0.02 "
        "is 2 %. Expect a uniform dark grey with bright vessels and bright edges near the sinuses "
        "and ears; stripes or shifted edges everywhere suggest motion between echoes.",
    ),
    "templatemask": (
        "T1w image in template space",
        "The legend names the source of the outlines. The brain should fill the outer "
        "one; an inner one, where present, is the template's white matter and should match "
        "that of the image.",
    ),
}
_HISTOGRAM = "Grey values in the unit of the bar under the histogram."
_HISTOGRAM_R2STAR = (
    "Grey values in 1/s. Expect a single peak near 20 1/s at 3 T and bright basal ganglia; "
    "a peak at 0 or many voxels above the window suggest a failed fit."
)
_SHOWS_INPUT = {"T1w": "brainmask", "FLAIR": "registration"}  # of a map: its histogram


@dataclass(frozen=True)
class SessionPicture:
    """A picture with what the sentences on top of the page need to point at it."""

    look: Look
    picture: Picture

    @property
    def is_heatmap(self) -> bool:
        """Whether it shows relevance."""
        return self.look.suffix == RELMAP

    def shows_input(self, suffix: str) -> bool:
        """Whether it is the picture of images of this suffix as a model reads them."""
        desc = _SHOWS_INPUT.get(suffix, "histogram")
        return self.look.suffix == suffix and self.look.entities.get("desc") == desc

    def blocks(self, session: str) -> list[Block]:
        """The picture under a heading that can be linked to; session : ``Session 1: ``, if any."""
        heading = Markup('<span id="{}">{}{}</span>').format(
            self.look.anchor, session, self.look.title
        )
        return [Subheading(heading), self.picture]


def pictures(output_dir: Path, participant: str, session: str) -> list[SessionPicture]:
    """Return the pictures of a session, in the order they are to be looked at.

    session : label, empty where there is none
    """
    folder = output_dir / f"sub-{participant}" / "figures"
    files = [(p, *parse_name(p.name)[:2]) for p in sorted(folder.glob("*.png"))]
    of_session = [(p, e, s) for p, e, s in files if e.get("ses", "") == session]
    of_session.sort(key=lambda item: _rank(item[1], item[2]))
    return [_shown(output_dir, path, entities, suffix) for path, entities, suffix in of_session]


def _shown(output_dir: Path, path: Path, entities: dict[str, str], suffix: str) -> SessionPicture:
    title, caption = _describe(output_dir, entities, suffix)
    with path.open("rb") as stream:
        width, height = png_size(stream.read(32))
    picture = Picture(path.relative_to(output_dir).as_posix(), title, caption, width, height)
    return SessionPicture(Look(title, f"picture-{path.stem}", entities, suffix), picture)


def _rank(entities: dict[str, str], suffix: str) -> tuple[int, tuple[str, ...], bool]:
    """Heatmaps by model, method and class, on the own grid before the template."""
    description = entities.get("desc", "")
    if suffix == RELMAP:
        explanation = tuple(entities.get(key, "") for key in ("model", "desc", "label"))
        return len(_ORDER), explanation, entities.get("space") != "T1w"
    ranks = {name: rank for rank, name in enumerate(_ORDER)}
    return ranks.get(description, len(_ORDER) + 1), (), False


def _describe(output_dir: Path, entities: dict[str, str], suffix: str) -> tuple[str, str]:
    if suffix == RELMAP:
        return _relevance_title(output_dir, entities), ""
    description = entities.get("desc", "")
    name = map_name(suffix)
    if description == "histogram":
        title = f"{name} map with the histogram of its values"
        return title, _HISTOGRAM_R2STAR if suffix == "R2starmap" else _HISTOGRAM
    title, caption = _CAPTIONS.get(description, ("Picture", ""))
    if description == "registration":
        return f"{name} {'image' if name == suffix else 'map'} {title}", caption
    space = entities.get("space")
    return (f"{title} ({space})" if space not in (None, "T1w") else title), caption


def _relevance_title(output_dir: Path, entities: dict[str, str]) -> str:
    """``Relevance for AD by lrp-zplus on the T1w image (model A)``."""
    path = anat_folder(output_dir, entities) / file_name(entities, RELMAP, ".nii.gz")
    space, model = entities.get("space", "native"), entities.get("model", "n/a")
    where = "on the T1w image" if space == "T1w" else f"in {space}"
    grid = ", grid of the network" if entities.get("res") == "input" else ""
    run = "".join(f", {key} {entities[key]}" for key in ("acq", "rec", "run") if key in entities)
    name = relevance_name(ImageFile(path, entities, RELMAP))
    return f"{name} {where} (model {model}{grid}{run})"
