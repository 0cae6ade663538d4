"""One small, nearly noiseless simulated cohort for all tests here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from bids_xai.simulation.cohort import Participant
from bids_xai.simulation.write import simulate_cohort


@dataclass(frozen=True)
class Cohort:
    """A simulated dataset; ``raw`` and ``truth`` are its folders."""

    raw: Path
    people: list[Participant]
    lines: list[str]

    @property
    def truth(self) -> Path:
        return self.raw / "derivatives" / "truth"

    def stems(self) -> list[str]:
        """Path of every scan up to its suffix, relative to a dataset."""
        found = sorted(self.raw.glob("sub-*/ses-*/anat/*_T1w.nii.gz"))
        return [str(each.relative_to(self.raw)).removesuffix("_T1w.nii.gz") for each in found]


@pytest.fixture(scope="package")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    raw = tmp_path_factory.mktemp("simulated")
    lines: list[str] = []
    people = simulate_cohort(
        raw, n_participants=4, voxel_mm=4, snr=1e5, seed=7, progress=lines.append
    )
    return Cohort(raw, people, lines)
