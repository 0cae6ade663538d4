"""The stage of the brain: what is no brain is no result."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_xai.bids.images import Volume
from bids_xai.errors import BadDataError
from bids_xai.stages import anatomy
from bids_xai.stages.brain import BrainExtraction
from bids_xai.stages.products import Origin


def extraction(share: float, *, is_biased: bool = False) -> BrainExtraction:
    """A head of 2.7 litres, of which a share is taken for brain."""
    data = np.random.default_rng(0).uniform(50, 100, (30, 30, 30)).astype(np.float32)
    mask = np.zeros(data.shape, bool)
    mask[: round(30 * share)] = True
    return BrainExtraction(Volume(data, np.diag([10 / 3, 10, 3, 1])), mask, is_biased)


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, result: BrainExtraction) -> str:
    file = folder / "sub-01_T1w.nii.gz"
    nib.save(nib.Nifti1Image(result.corrected.data, result.corrected.affine), file)
    monkeypatch.setattr(anatomy, "extract_brain", lambda *_, **__: result)
    folder = folder / "stage"
    folder.mkdir()
    origin = Origin({"sub": "01"}, ("bids::sub-01/anat/sub-01_T1w.nii.gz",))
    made = anatomy.brain(folder, origin, file, None, synthstrip=None, seed=0, sloppy=True)
    return made.manifest.read_text()


@pytest.mark.parametrize("share", [0.05, 0.97])
def test_a_mask_that_is_no_brain_is_refused_with_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    """2.6 litres with the scalp were published, with status 0."""
    with pytest.raises(BadDataError, match=r"not a plausible brain volume.*sub-01_T1w") as caught:
        run(tmp_path, monkeypatch, extraction(share))
    assert "--brain-mask derivatives" in caught.value.fix
    assert not list((tmp_path / "stage").iterdir())


@pytest.mark.parametrize("is_biased", [False, True])
def test_a_second_attempt_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    is_biased: bool,
) -> None:
    text = run(tmp_path, monkeypatch, extraction(0.5, is_biased=is_biased))
    assert ("in a second attempt" in text) == is_biased
    assert ("look at the brain mask" in caplog.text) == is_biased
