"""Multi-echo GRE: from the files of one acquisition to a series sorted by echo time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bids_xai.arrays import Floats64
from bids_xai.bids.images import read_header
from bids_xai.bids.layout import read_json
from bids_xai.bids.records import EchoSeries
from bids_xai.bids.sessions.raw_images import check_magnitude, check_present
from bids_xai.errors import BadDataError

_LONGEST_PLAUSIBLE_ECHO_S = 1.0
_NOT_BIDS = "split the series into one 3-D file per echo, named echo-<n>, as BIDS requires"


def echo_series(files: Sequence[Any], entities: Mapping[str, str]) -> EchoSeries:
    """Return the series of pybids files that differ in echo and part alone.

    entities : of the series' name, without echo and part
    Raises :class:`BadDataError` naming the file where there are no magnitudes, fewer than two
    echoes, unusable echo times, or echoes that do not share one grid; :class:`NoInputError` for a
    link to content that is not here.
    """
    magnitude = [f for f in files if f.entities.get("part") in (None, "", "mag")]
    if not magnitude:
        raise _no_magnitude(files)
    for file in magnitude:
        check_present(file)
        check_magnitude(file)
    _check_not_4d(magnitude)
    timed = sorted(
        (time, str(f.path)) for time, f in zip(_echo_times_s(magnitude), magnitude, strict=True)
    )
    if len(timed) < 2:
        raise BadDataError(
            "R2* needs at least two echoes, found one",
            file=timed[0][1],
            fix="add the other echoes as …_echo-<n>_MEGRE.nii.gz",
        )
    for (early, first), (late, second) in itertools.pairwise(timed):
        if early == late:
            raise BadDataError(
                f"two echoes have the same EchoTime {early:g} s ({Path(first).name})",
                file=second,
                fix="correct EchoTime in the sidecars, or distinguish the runs by run-<n>",
            )
    paths = tuple(Path(path) for _, path in timed)
    _check_same_grid(paths)
    times = tuple(time for time, _ in timed)
    return EchoSeries(dict(entities), paths, times, field_strength_t(magnitude[0]))


def field_strength_t(file: Any) -> float | None:
    """Return the field strength in tesla that the sidecars of an image say, if they do."""
    field = file.get_metadata().get("MagneticFieldStrength")
    is_number = isinstance(field, (int, float)) and not isinstance(field, bool)
    return float(field) if is_number and math.isfinite(field) else None


def _no_magnitude(files: Sequence[Any]) -> BadDataError:
    parts = {str(f.entities.get("part")) for f in files}
    if {"real", "imag"} <= parts:
        fix = (
            "compute sqrt(real² + imag²) for each echo and add it as part-mag; R2* is fitted to it"
        )
    else:
        fix = "add the part-mag images; R2* is fitted to magnitudes"
    return BadDataError(
        f"the multi-echo GRE has no magnitude images, only part-{', part-'.join(sorted(parts))}",
        file=files[0].path,
        fix=fix,
    )


def _check_not_4d(files: Sequence[Any]) -> None:
    """A converter may leave all echoes in one file, with a name that BIDS does not know."""
    path = Path(files[0].path)
    if len(files) > 1 or files[0].entities.get("echo") is not None:
        return
    shape, _ = read_header(path)
    if len(shape) == 4 and shape[3] > 1:
        raise BadDataError(
            f"all {shape[3]} echoes are in one 4-D file, which is not BIDS",
            file=path,
            fix=_NOT_BIDS,
        )


def _echo_times_s(files: Sequence[Any]) -> list[float]:
    """Echo times as the sidecars say them; echoes with the same fault are told at once."""
    missing = [f for f in files if f.get_metadata().get("EchoTime") is None]
    if missing:
        raise BadDataError(
            f"EchoTime is missing{_and_others(missing)}",
            file=missing[0].path,
            fix="add EchoTime in seconds to the JSON sidecar beside the image or above it",
        )
    times = [_echo_time_s(f) for f in files]
    wrong = [(t, f) for t, f in zip(times, files, strict=True) if t > _LONGEST_PLAUSIBLE_ECHO_S]
    if wrong:
        time, first = wrong[0]
        rest = f"; divide it by 1000 in the sidecars of all {len(wrong)}" if len(wrong) > 1 else ""
        raise BadDataError(
            f"EchoTime {time:g} is in milliseconds{_and_others(wrong)}",
            file=_file_with_echo_time(first),
            fix=f"write it in seconds, as BIDS requires: {time / 1000:g}{rest}",
        )
    return times


def _and_others(wrong: Sequence[object]) -> str:
    return f", here and in {len(wrong) - 1} more of the series" if len(wrong) > 1 else ""


def _echo_time_s(file: Any) -> float:
    value = file.get_metadata().get("EchoTime")
    try:
        seconds = float(value)
    except (TypeError, ValueError) as error:
        raise BadDataError(
            f"EchoTime is not a number: {value!r}",
            file=_file_with_echo_time(file),
            fix="write it in seconds",
        ) from error
    if not seconds > 0:
        raise BadDataError(
            f"EchoTime {seconds:g} is not positive",
            file=_file_with_echo_time(file),
            fix="write it in seconds",
        )
    return seconds


def _file_with_echo_time(file: Any) -> str:
    """The sidecar beside an image that gives its EchoTime, else the image."""
    name = str(file.path).removesuffix(".gz").removesuffix(".nii") + ".json"
    beside = Path(name)
    in_sidecar = beside.is_file() and "EchoTime" in read_json(beside)
    return name if in_sidecar else str(file.path)


def _header(path: Path) -> tuple[tuple[int, ...], Floats64]:
    """Shape and affine; a fourth axis of one volume, which converters leave, does not count."""
    shape, affine = read_header(path)
    return (shape[:3] if all(n == 1 for n in shape[3:]) else shape), affine


def _check_same_grid(paths: tuple[Path, ...]) -> None:
    shape, affine = _header(paths[0])
    if len(shape) != 3:
        raise BadDataError(
            f"an echo has shape {shape}, not three dimensions", file=paths[0], fix=_NOT_BIDS
        )
    for path in paths[1:]:
        other_shape, other_affine = _header(path)
        if other_shape != shape:
            raise BadDataError(
                f"echoes have different shapes: {shape} ({paths[0].name}) and {other_shape}",
                file=path,
                fix="convert the series again; all echoes must share one grid",
            )
        if not np.allclose(other_affine, affine, atol=1e-3):
            raise BadDataError(
                f"echoes lie on different grids (affine differs from {paths[0].name})",
                file=path,
                fix="convert the series again; all echoes must share one grid",
            )
