"""One scan under two names: refused, since it could be in training and in test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bids_xai.arrays import Floats64
from bids_xai.bids.integrity import content_digest
from bids_xai.core.cohort.prints import ALIKE, ScanPrint, equal_pairs, likeness, scan_print
from bids_xai.errors import BadDataError, NoInputError
from bids_xai.group.cohort.selection import Candidate
from bids_xai.group.context import LOG
from bids_xai.runtime.atomic import replacing
from bids_xai.stages.scan_facts import map_and_brain

CACHE = "scan_prints.npz"
"""Digest of a file → print of its voxels, so that a map is read once."""

_AGAIN = "run the participant level again for this participant"
_MOST_NAMED = 5


@dataclass(frozen=True)
class NearCopy:
    """Two scans of different participants that are alike; correlation : see ``likeness``."""

    first: str
    second: str
    correlation: float


@dataclass(frozen=True)
class ComparedScans:
    """The scans with the values of their maps, and pairs that may be of one person.

    prints : one a candidate; near : most alike first
    """

    prints: tuple[ScanPrint, ...]
    near: tuple[NearCopy, ...]


def compare_scans(candidates: Sequence[Candidate], folder: Path, n_threads: int) -> ComparedScans:
    """Return what the maps are like, and which two participants' maps may be of one person.

    candidates : the scans that take part; folder : of the study, where prints are kept
    Raises :class:`BadDataError` for the same voxels under two participants, naming both.
    """
    with ThreadPoolExecutor(n_threads) as pool:  # decompression lets other threads run
        digests = list(pool.map(_digests, candidates))
        _refuse_equal(candidates, [of_map for of_map, _ in digests])
        prints = read_prints(candidates, digests, folder / CACHE, pool)
    _refuse_equal(candidates, [each.voxels for each in prints])
    near = _near_copies(candidates, likeness(prints))
    for pair in near[:_MOST_NAMED]:
        LOG.warning(
            "%s and %s are more alike than scans of two people (correlation %.2f): if they are one "
            "person, give them one participant id",
            pair.first,
            pair.second,
            pair.correlation,
        )
    return ComparedScans(tuple(prints), tuple(near))


def _digests(candidate: Candidate) -> tuple[str, str]:
    """Of the files of map and mask."""
    mask = candidate.files.mask
    return content_digest(candidate.files.map), "" if mask is None else content_digest(mask)


def read_prints(
    candidates: Sequence[Candidate],
    digests: Sequence[tuple[str, str]],
    cache: Path,
    pool: ThreadPoolExecutor,
) -> list[ScanPrint]:
    """Return the print of every scan's map; the cache then holds these and no others.

    digests : of the files of map and mask
    """
    cached, keys = _cached(cache), ["-".join(pair) for pair in digests]
    new = [number for number, key in enumerate(keys) if key not in cached]
    prints = pool.map(_print_of, [candidates[number] for number in new])
    now = cached | {keys[number]: each for number, each in zip(new, prints, strict=True)}
    now = {key: now[key] for key in keys}
    if now.keys() != cached.keys():
        _keep(cache, now)
    return [now[key] for key in keys]


def _print_of(candidate: Candidate) -> ScanPrint:
    files = candidate.files
    if files.mask is None:
        raise NoInputError("the brain mask of this map is missing", file=files.map, fix=_AGAIN)
    return scan_print(*map_and_brain(files.map, files.mask))


def _refuse_equal(candidates: Sequence[Candidate], digests: Sequence[str]) -> None:
    """Raise for equal digests of two participants' scans."""
    pairs = [(candidates[i], candidates[j]) for i, j in equal_pairs(digests)]
    doubled = [(one, other) for one, other in pairs if one.participant != other.participant]
    if not doubled:
        return
    names = [f"{_name(one)} and {_name(other)}" for one, other in doubled]
    more = f" and {len(names) - _MOST_NAMED} more pairs" if len(names) > _MOST_NAMED else ""
    raise BadDataError(
        f"one scan has two participants: {', '.join(names[:_MOST_NAMED])}{more} have the same "
        "voxels, and could be in training and in test",
        file=doubled[0][1].files.map,
        fix="correct the images of one of them and run the participant level again, or leave it "
        "out of participants.tsv",
    )


def _near_copies(candidates: Sequence[Candidate], alike: Floats64) -> list[NearCopy]:
    pairs = [
        NearCopy(_name(candidates[i]), _name(candidates[j]), round(float(alike[i, j]), 4))
        for i, j in zip(*np.nonzero(np.triu(alike >= ALIKE, 1)), strict=True)
        if candidates[i].participant != candidates[j].participant
    ]
    return sorted(pairs, key=lambda pair: -pair.correlation)


def _name(candidate: Candidate) -> str:
    return f"{candidate.participant} {candidate.session}".strip()


def _cached(cache: Path) -> dict[str, ScanPrint]:
    """What the cache holds, nothing where it is missing or damaged."""
    try:
        with np.load(cache) as content:
            columns = [content[name] for name in ("digests", "voxels", "coarse", "quantiles")]
            return {
                str(digest): ScanPrint(str(voxels), coarse, (low, middle, high))
                for digest, voxels, coarse, (low, middle, high) in zip(*columns, strict=True)
            }
    except (OSError, ValueError, KeyError, EOFError):
        return {}


def _keep(cache: Path, prints: Mapping[str, ScanPrint]) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    with replacing(cache) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            digests=np.array(list(prints)),
            voxels=np.array([each.voxels for each in prints.values()]),
            coarse=np.array([each.coarse for each in prints.values()], dtype=np.float64),
            quantiles=np.array([each.quantiles for each in prints.values()], dtype=np.float64),
        )
