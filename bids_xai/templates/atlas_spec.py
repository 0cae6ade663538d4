"""An atlas as it is asked for on the command line. Imports nothing heavy."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from bids_xai.bids.names import label_of, parse_name
from bids_xai.settings import OutputSpace

EMBEDDED_ATLAS = "TissueNuclei"
MODIFIERS = ("seg", "scale", "desc")  # entities that tell TemplateFlow's variants apart


@dataclass(frozen=True)
class AtlasSpec:
    """An atlas as asked for on the command line; ``str`` gives that text back.

    image, table : the user's files (absolute); without an image the atlas has a name that
        TemplateFlow or this package knows
    modifiers : entities that choose among TemplateFlow's variants, such as ("desc", "th50")
    """

    name: str
    image: Path | None = None
    table: Path | None = None
    modifiers: tuple[tuple[str, str], ...] = ()

    @property
    def label(self) -> str:
        """The atlas's BIDS label: its name, with the variant where one was asked for."""
        return label_of(self.name + "".join(value for _, value in self.modifiers))

    @property
    def template(self) -> str | None:
        """The template that the image's file name declares (``tpl-`` or ``space-``), if any."""
        if self.image is None:
            return None
        declared = parse_name(self.image.name)[0]
        return declared.get("space") or declared.get("tpl")

    def fits(self, space: OutputSpace) -> bool:
        """Whether the atlas does not declare another template than that of ``space``."""
        return self.template in (None, space.template)

    def __str__(self) -> str:
        if self.image is not None:
            return f"{self.name}={self.image}" + (f",{self.table}" if self.table else "")
        return self.name + "".join(f":{key}-{value}" for key, value in self.modifiers)


def parse_atlas(text: str) -> AtlasSpec:
    """Read ``NAME``, ``NAME:desc-X`` (also seg, scale), ``NAME=dseg.nii.gz[,labels.tsv]``.

    Relative paths are made absolute, ``~`` is the home folder; files are not looked at.
    Raises ``ValueError`` for anything else, and for a NAME that is no BIDS label.
    """
    head, equals, files = text.partition("=")
    name, *modifiers = head.split(":")
    if not (name.isascii() and name.isalnum()):
        raise ValueError(f"'{name}' in '{text}' is not an atlas name: use ASCII letters and digits")
    if equals:
        match = re.fullmatch(r"(.+?\.nii(?:\.gz)?)(?:,(.+))?", files)
        if modifiers or match is None:
            raise ValueError(f"'{text}' is not NAME=dseg.nii.gz,labels.tsv or NAME=dseg.nii.gz")
        return AtlasSpec(name, _absolute(match[1]), _absolute(match[2]) if match[2] else None)
    pairs = [(key, value) for key, _, value in (each.partition("-") for each in modifiers)]
    if any(key not in MODIFIERS or not value.isalnum() for key, value in pairs) or (
        len(dict(pairs)) != len(pairs)
    ):
        raise ValueError(f"'{text}' is not NAME or NAME:desc-X (also seg-X, scale-X)")
    return AtlasSpec(name, modifiers=tuple(sorted(pairs, key=lambda p: MODIFIERS.index(p[0]))))


def _absolute(text: str) -> Path:
    return Path(text).expanduser().absolute()
