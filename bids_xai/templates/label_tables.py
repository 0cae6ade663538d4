"""Label tables as users have them: BIDS TSV, CSV, FreeSurfer, ITK-SNAP, MRIcron, AAL and FSL XML.

Every reader returns a list of (row, index, name) texts; one function checks them all.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

from bids_xai.core.regions.labels import side_of_name
from bids_xai.errors import BadDataError, FileAccessError, NoInputError

ENDINGS = (".tsv", ".csv", ".txt", ".lut", ".ctbl", ".label", ".xml")

Row = tuple[str, str]  # index and name as written

_INDEX = (
    "index",
    "idx",
    "id",
    "value",
    "labelvalue",
    "labelid",
    "labelindex",
    "roiid",
    "roiindex",
    "label",
    "roi",
    "number",
    "no",
    "nr",
    "key",
    "code",
    "intensity",
)
_NAME = (
    "name",
    "labelname",
    "regionname",
    "roiname",
    "fullname",
    "region",
    "label",
    "roi",
    "structure",
    "anatomy",
    "description",
    "abbreviation",
    "abbr",
)
_HEMISPHERE = ("hemisphere", "hemi", "side", "lateralization", "lr")
_SIDES = {"l": "Left", "lh": "Left", "left": "Left", "r": "Right", "rh": "Right", "right": "Right"}
_BACKGROUND = re.compile(
    r"background|unknown|unlabell?ed|unclassified|clear.?label|outside|exterior|none|null|void"
    r"|nothing|empty|zero|other|n/?a|bg|0|\?+|\*+|-*",
    re.IGNORECASE,
)
_LARGEST = 2**31 - 1
_FIX = "give a table with the columns index and name, separated by tabs"


def read_label_table(path: Path) -> dict[int, str]:
    """Return the name of every label but 0 (background), in the order of the table.

    Layouts: a header with an index and a name column (many spellings; a hemisphere column is put
    before names that claim no side), or none: index and name in either order, FreeSurfer colour
    tables, ITK-SNAP label files; AAL and FSL XML. UTF-8, UTF-16 with its mark, else Latin-1.
    Raises :class:`NoInputError` without a file, :class:`BadDataError` for a table that cannot be
    understood, gives two names to one label, or names label 0 like a region.
    """
    text = _text(path)
    if text.lstrip().startswith("<"):
        rows = _xml_rows(text, path)
    else:
        rows = _text_rows(_lines(text), path)
    return _checked(rows, path)


def find_label_table(image: Path) -> Path | None:
    """Return the table beside a label image: of the same name, or inherited as in BIDS.

    ``tpl-X_atlas-A_res-1_dseg.nii.gz`` finds ``tpl-X_atlas-A_res-1_dseg.tsv``, then
    ``tpl-X_atlas-A_dseg.tsv``: same suffix, no entity of its own, the most entities in common.
    """
    stem = image.name.removesuffix(".gz").removesuffix(".nii")
    for ending in ENDINGS:
        if (table_file := image.with_name(stem + ending)).is_file():
            return table_file
    parts = stem.split("_")
    inherited = [
        other
        for other in image.parent.glob(f"*_{parts[-1]}.tsv")
        if set(other.name.removesuffix(".tsv").split("_")[:-1]) <= set(parts[:-1])
    ]
    return max(inherited, key=lambda other: (other.name.count("_"), other.name), default=None)


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise NoInputError(
            "no such label table", file=path, fix="check the name after the comma of --atlas"
        ) from error
    except OSError as error:
        raise FileAccessError("cannot read the label table", file=path, fix="chmod +r") from error
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    if "\0" in text:
        raise BadDataError("the label table is not a text file", file=path, fix=_FIX)
    return text


def _lines(text: str) -> list[str]:
    """Lines that are neither empty nor comments (``# …``; ``#No. Name`` before numbers too)."""
    lines = re.split(r"\r\n|\r|\n", text)  # splitlines would also break at Latin-1 characters
    return [line for line in lines if line.strip() and not line.lstrip().startswith(("#", "//"))]


def _text_rows(lines: list[str], path: Path) -> list[Row]:
    if not lines:
        return []
    snap = [re.match(r'\s*(\d+)(?:\s+[\d.]+){4,6}\s+"(.*)"\s*$', line) for line in lines]
    if all(snap):
        return [(match[1], match[2]) for match in snap if match]
    delimiter = next((d for d in ("\t", ";", ",") if all(d in line for line in lines)), None)
    if delimiter is None and path.suffix in (".tsv", ".csv"):
        delimiter_of_ending = "\t" if path.suffix == ".tsv" else ","
        delimiter = delimiter_of_ending if delimiter_of_ending in lines[0] else None
    if delimiter is None:
        return _spaced_rows(lines, path)
    table = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
    width = max(len(row) for row in table)
    table = [row + [""] * (width - len(row)) for row in table]
    if any(_is_whole(cell) for cell in table[0]):
        return _headless_rows(table, path)
    return _headed_rows(table[0], table[1:], path)


def _spaced_rows(lines: list[str], path: Path) -> list[Row]:
    """Rows of columns set apart by spaces; names after the index may hold spaces themselves."""
    table = [line.split() for line in lines]
    if len({len(row) for row in table}) == 1:
        if not any(_is_whole(cell) for cell in table[0]):
            return _headed_rows(table[0], table[1:], path)
        if _has_words_only(table):
            return _headless_rows(table, path)
    if not _is_whole(table[0][0]):
        table = table[1:]  # a header; what it says is not needed where the index comes first
    wrong = next((row for row in table if len(row) < 2 or not _is_whole(row[0])), None)
    if wrong is not None:
        raise BadDataError(
            f"cannot read the line '{' '.join(wrong)[:60]}' of the label table", file=path, fix=_FIX
        )
    colours = next((n for n in (4, 3) if all(_ends_in_colour(row, n) for row in table)), 0)
    return [(row[0], " ".join(row[1 : len(row) - colours])) for row in table]


def _has_words_only(table: list[list[str]]) -> bool:
    """Whether names have no spaces: one column of different words, or short name, name, index."""
    words = [c for c in zip(*table, strict=True) if not all(map(_is_number, c))]
    if len(words) == 1:
        return len(set(words[0])) == len(table)
    return len(table[0]) == 3 and all(not _is_whole(a) and _is_whole(c) for a, _, c in table)


def _ends_in_colour(row: list[str], n: int) -> bool:
    """Whether a row of index and name ends in n whole numbers from 0 to 255."""
    return len(row) > n + 1 and all(c.isdigit() and int(c) <= 255 for c in row[-n:])


def _headed_rows(header: list[str], table: list[list[str]], path: Path) -> list[Row]:
    keys = [re.sub(r"[^a-z]", "", cell.lower()) for cell in header]

    def column(names: Sequence[str], fits: Callable[[list[str]], bool]) -> int | None:
        candidates = [keys.index(name) for name in names if name in keys]
        return next((c for c in candidates if fits([row[c] for row in table])), None)

    table = [row for row in table if len(row) == len(header)]
    index = column(_INDEX, lambda cells: all(_is_whole(cell) for cell in cells if cell))
    name = column(_NAME, lambda cells: not all(_is_whole(cell) for cell in cells))
    if index is None or name is None:
        raise BadDataError(
            f"the label table has no columns index and name (it has {', '.join(header)[:200]})",
            file=path,
            fix="rename its columns to index and name",
        )
    side = column(_HEMISPHERE, lambda cells: any(cell.lower() in _SIDES for cell in cells))
    sides = [_SIDES.get(row[side].lower(), "") if side is not None else "" for row in table]
    return [(row[index], _sided(row[name], side)) for row, side in zip(table, sides, strict=True)]


def _sided(name: str, side: str) -> str:
    return f"{side} {name}" if side and name and side_of_name(name) is None else name


def _headless_rows(table: list[list[str]], path: Path) -> list[Row]:
    """Rows without a header: the first column of different whole numbers, the longest names."""
    columns = list(zip(*table, strict=True))
    indices = [c for c in columns if all(map(_is_whole, c)) and len(set(c)) == len(c)]
    names = [c for c in columns if not all(_is_number(cell) for cell in c)]
    names = [c for c in names if not all(cell.startswith("#") for cell in c)]  # colours
    if not (indices and names):
        raise BadDataError(
            "the label table has no column of different whole numbers beside one of names",
            file=path,
            fix=_FIX,
        )
    longest = max(names, key=lambda column: (len(set(column)), sum(map(len, column))))
    return list(zip(indices[0], longest, strict=True))


def _xml_rows(text: str, path: Path) -> list[Row]:
    """AAL: ``<index>`` and ``<name>``; FSL: an attribute, from 0 in probabilistic atlases."""
    try:
        root = ElementTree.fromstring(text.encode())
    except (ElementTree.ParseError, ValueError) as error:
        raise BadDataError(
            f"the label table is not valid XML ({error})", file=path, fix=_FIX
        ) from error
    kind = (root.findtext(".//type") or "").strip().lower()
    offset = 1 if kind.startswith("prob") else 0
    rows = []
    for label in root.iter("label"):
        number = label.get("index")
        if number is None:
            rows.append((label.findtext("index", ""), label.findtext("name", "")))
        else:
            shifted = str(_whole(number) + offset) if _is_whole(number) else number
            rows.append((shifted, "".join(label.itertext())))
    return rows


def _checked(rows: Sequence[Row], path: Path) -> dict[int, str]:
    names: dict[int, str] = {}
    for index, name in _numbered(rows, path):
        if index == 0:
            if not _BACKGROUND.fullmatch(name):
                raise BadDataError(
                    f"label 0 is background, but the label table calls it '{name[:60]}'",
                    file=path,
                    fix="compare names and image: the numbers may start at 0 while those "
                    "of the image start at 1; then add 1 to every index",
                )
        elif names.setdefault(index, name) != name:
            raise BadDataError(
                f"the label table calls label {index} '{names[index][:60]}' and '{name[:60]}'",
                file=path,
                fix="keep one line for each label",
            )
    if not names:
        raise BadDataError("the label table names no labels", file=path, fix=_FIX)
    return names


def _numbered(rows: Sequence[Row], path: Path) -> Iterator[tuple[int, str]]:
    """Yield index and tidied name; rows that name nothing are left out."""
    for text, raw in rows:
        name = " ".join(raw.strip().strip('"').split())
        if name.lower() in ("", "n/a"):
            continue
        if not _is_whole(text) or not 0 <= _whole(text) <= _LARGEST:
            raise BadDataError(
                f"label '{text[:30]}' of '{name[:60]}' is not a whole number from 0 to {_LARGEST}",
                file=path,
                fix="correct the index",
            )
        yield _whole(text), name


def _is_whole(text: str) -> bool:
    return re.fullmatch(r"\s*[+-]?\d+(?:\.0*)?\s*", text) is not None


def _whole(text: str) -> int:
    return int(text.strip().partition(".")[0])


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\s*[+-]?\d*\.?\d+(?:[eE][+-]?\d+)?\s*", text) is not None
