"""The stage of the fit: series that are no magnitude, and what the header says in the sidecar."""

from __future__ import annotations

import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_xai.core.qc_limits import LIMITS
from bids_xai.errors import BadDataError
from bids_xai.stages.maps import _fit_in_brain
from bids_xai.stages.products import Origin
from bids_xai.stages.relaxometry import FitOptions, relaxometry

TIMES_S = (0.005, 0.010, 0.015)
ORIGIN = Origin({"sub": "01"}, ("bids::sub-01/x",))


def series(folder: Path, shift: float = 0.0, apart_mm: float = 0.0) -> list[Path]:
    rng = np.random.default_rng(0)
    start = rng.uniform(500, 1000, (6, 6, 6))
    files = []
    for number, time in enumerate(TIMES_S):
        data = start * np.exp(-20 * time) - shift
        image = nib.Nifti1Image(data.astype(np.float32), np.eye(4))
        other = np.eye(4)
        other[0, 3] = apart_mm
        image.set_qform(other, 1)
        image.set_sform(np.eye(4), 1)
        files.append(folder / f"e{number}.nii.gz")
        nib.save(image, files[-1])
    return files


def test_negative_magnitudes_are_refused(tmp_path: Path) -> None:
    relaxometry(tmp_path, ORIGIN, series(tmp_path), TIMES_S, FitOptions())
    with pytest.raises(BadDataError, match=r"no magnitude: \d+% of its signal.*e0\.nii\.gz"):
        relaxometry(tmp_path, ORIGIN, series(tmp_path, 600), TIMES_S, FitOptions())


@pytest.mark.parametrize("apart_mm", [0.0, 4.0])
def test_the_sidecar_says_what_was_done_about_the_header(tmp_path: Path, apart_mm: float) -> None:
    files = series(tmp_path, apart_mm=apart_mm)
    text = relaxometry(tmp_path, ORIGIN, files, TIMES_S, FitOptions()).manifest.read_text()
    assert "R2starmap" in text
    assert ("differ by up to 4 mm: the sform is used" in text) == bool(apart_mm)


def test_a_brain_that_is_mostly_invalid_is_no_result() -> None:
    inside = np.ones(10, bool)
    s0 = np.array([0.0] * 4 + [1.0] * 6)
    fractions = {"BrainInvalidFraction": 0.4, "BrainAtBoundFraction": 0.0}
    assert _fit_in_brain(20 * s0, s0, inside) == fractions
    with pytest.raises(BadDataError, match=r"60% of the brain has no usable"):
        _fit_in_brain(20 * s0, 1 - s0, inside)
    assert _fit_in_brain(s0, s0, ~inside) == {}


def test_echoes_that_a_threshold_set_to_zero_are_flagged(tmp_path: Path) -> None:
    """The fit takes them for decay: three times the true R2*, and nobody was told."""
    times = np.array([0.005, 0.010, 0.015, 0.020])
    decay = np.round(1000 * np.exp(-20 * times))

    def quality(last: float, options: FitOptions) -> dict[str, float]:
        files = []
        for number, value in enumerate([*decay[:3], last]):
            image = nib.Nifti1Image(np.full((8, 8, 8), value, np.int16), np.eye(4))
            image.set_sform(np.eye(4), 1)
            files.append(tmp_path / f"t{number}.nii.gz")
            nib.save(image, files[-1])
        folder = tmp_path / f"stage-{last}"
        folder.mkdir()
        done = relaxometry(folder, ORIGIN, files, list(times), options)
        text = done.manifest.read_text()
        missing = float(re.findall(r'"FitMissingEchoFraction": ([\d.]+)', text)[0])
        rate = float(np.asarray(nib.load(done.r2star).dataobj).mean())
        return {"FitMissingEchoFraction": missing, "rate": rate}

    whole, cut = quality(decay[3], FitOptions()), quality(0, FitOptions())
    assert whole["rate"] == pytest.approx(20, abs=0.1)
    assert whole["FitMissingEchoFraction"] == 0
    assert cut["rate"] > 40
    assert cut["FitMissingEchoFraction"] == 1
    limit = LIMITS["FitMissingEchoFraction"]
    assert limit.flags(1.0)
    assert not limit.flags(0.0)
