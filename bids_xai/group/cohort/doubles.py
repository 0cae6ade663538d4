"""One scan under two names: refused, since it could be in training and in test."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bids_xai.arrays import Floats64
from bids_xai.bids.integrity import content_digest, is_stamped, state_of
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
class PrintCache:
    """What is known of maps from earlier runs.

    prints : by the digests of map and mask; by_state : state → digest of files without a stamp
    """

    prints: Mapping[str, ScanPrint]
    by_state: Mapping[str, str]

    @classmethod
    def read(cls, file: Path) -> PrintCache:
        """Return what a file holds, nothing where it is missing or damaged."""
        try:
            with file.open("rb") as stream, np.load(stream) as content:
                columns = [content[name] for name in ("digests", "voxels", "coarse", "quantiles")]
                prints = {
                    str(digest): ScanPrint(str(voxels), coarse, (low, middle, high))
                    for digest, voxels, coarse, (low, middle, high) in zip(*columns, strict=True)
                }
                states = zip(content["states"], content["state_digests"], strict=True)
                return cls(prints, {str(state): str(digest) for state, digest in states})
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return cls({}, {})

    def write(self, file: Path) -> None:
        """Write it, in one piece. Raises :class:`CannotCreateError` where the disk refuses."""
        file.parent.mkdir(parents=True, exist_ok=True)
        prints = self.prints.values()
        with replacing(file) as temporary, temporary.open("wb") as stream:
            np.savez(
                stream,
                digests=np.array(list(self.prints), dtype=np.str_),
                voxels=np.array([each.voxels for each in prints], dtype=np.str_),
                coarse=np.array([each.coarse for each in prints], dtype=np.float64),
                quantiles=np.array([each.quantiles for each in prints], dtype=np.float64),
                states=np.array(list(self.by_state), dtype=np.str_),
                state_digests=np.array(list(self.by_state.values()), dtype=np.str_),
            )


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
    cache = PrintCache.read(folder / CACHE)
    with ThreadPoolExecutor(n_threads) as pool:  # decompression lets other threads run
        digests = list(pool.map(partial(_digests, earlier=cache.by_state), candidates))
        _refuse_equal(candidates, [of_map for of_map, _ in digests])
        prints = read_prints(candidates, digests, cache, pool)
    now = PrintCache(
        dict(zip(map("-".join, digests), prints, strict=True)), _by_state(candidates, digests)
    )
    if (now.prints.keys(), now.by_state) != (cache.prints.keys(), cache.by_state):
        now.write(folder / CACHE)
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


def _files(candidate: Candidate) -> tuple[Path, Path]:
    """The map and its brain mask, which every scan that takes part has."""
    files = candidate.files
    if files.mask is None:
        raise NoInputError("the brain mask of this map is missing", file=files.map, fix=_AGAIN)
    return files.map, files.mask


def _digests(candidate: Candidate, earlier: Mapping[str, str]) -> tuple[str, str]:
    """Of the files of map and mask."""
    of_map, of_mask = (content_digest(file, earlier) for file in _files(candidate))
    return of_map, of_mask


def _by_state(
    candidates: Sequence[Candidate], digests: Sequence[tuple[str, str]]
) -> dict[str, str]:
    """Digests of files that no stamp knows, so that they are not read again."""
    return {
        state_of(file): digest
        for candidate, both in zip(candidates, digests, strict=True)
        for file, digest in zip(_files(candidate), both, strict=True)
        if not is_stamped(file)
    }


def read_prints(
    candidates: Sequence[Candidate],
    digests: Sequence[tuple[str, str]],
    cache: PrintCache,
    pool: ThreadPoolExecutor,
) -> list[ScanPrint]:
    """Return the print of every scan's map; what the cache does not hold is read.

    digests : of the files of map and mask
    """
    keys = ["-".join(pair) for pair in digests]
    new = [number for number, key in enumerate(keys) if key not in cache.prints]
    prints = pool.map(_print_of, [candidates[number] for number in new])
    now = {keys[number]: each for number, each in zip(new, prints, strict=True)}
    return [now.get(key) or cache.prints[key] for key in keys]


def _print_of(candidate: Candidate) -> ScanPrint:
    return scan_print(*map_and_brain(*_files(candidate)))


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
