"""Who takes part: age, sex, diagnosis, site, visits, and everybody's own R2* and effect.

Everything about a person is drawn from the seed and the person's number, so a larger cohort
begins with the same people.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_xai.errors import UsageError
from bids_xai.simulation.anatomy import NUCLEUS_TISSUES
from bids_xai.simulation.signal import TISSUES

PATIENT, CONTROL = "AD", "NC"
YEARS_BETWEEN_SESSIONS = 2
AGE_RANGE = (55.0, 85.0)

_REFERENCE_AGE = 30.0
_SPREAD = 0.03  # sd of R2* between healthy people of one age
_NUCLEUS_SPREAD = 0.06
_EFFECT_SPREAD = 0.25  # sd of the effect between patients, as a share of the effect
_PAIR_KEY = 1_000_000  # spawn key of a patient-control pair, out of the way of persons


@dataclass(frozen=True)
class SimulationOptions:
    """What a cohort depends on; equal options give equal bytes."""

    n_participants: int = 24
    effect_percent: float = 30.0
    snr: float = 100.0
    voxel_mm: float = 2.0
    max_sessions: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        limits = {
            "n_participants": (1, 9999),
            "effect_percent": (-90, 1000),
            "snr": (1, 1e6),
            "voxel_mm": (1, 8),
            "max_sessions": (1, 9),
            "seed": (0, 2**63),
        }
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise UsageError(
                    f"{name} = {getattr(self, name)} is out of range",
                    fix=f"choose a value from {low} to {high:g}",
                )


@dataclass(frozen=True)
class Participant:
    """One simulated person. ``effect`` is the true relative R2* increase in the nuclei."""

    index: int
    label: str
    age: int
    sex: str
    diagnosis: str
    site: str
    n_sessions: int
    effect: float
    r2star_factors: dict[str, float]

    def age_at(self, session: int) -> int:
        """Age in years at a session, counted from 1."""
        return self.age + YEARS_BETWEEN_SESSIONS * (session - 1)

    def r2star_per_s(self, session: int) -> dict[str, float]:
        """True R2* (1/s) of every tissue at a session."""
        years = self.age_at(session) - _REFERENCE_AGE
        return {
            name: tissue.r2star_per_s
            * (1 + tissue.growth_per_year * years)
            * self.r2star_factors[name]
            * (1 + (self.effect if name in NUCLEUS_TISSUES else 0))
            for name, tissue in TISSUES.items()
        }


def draw_cohort(options: SimulationOptions) -> list[Participant]:
    """All participants: patients and controls alternate, matched in age and balanced in sex."""
    width = max(2, len(str(options.n_participants)))
    return [
        _draw(index, f"{index + 1:0{width}d}", options) for index in range(options.n_participants)
    ]


def generator(seed: int, *key: int) -> np.random.Generator:
    """Random numbers of their own for each key (person, session)."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _draw(index: int, label: str, options: SimulationOptions) -> Participant:
    rng = generator(options.seed, index)
    pair = index // 2
    pair_age = generator(options.seed, _PAIR_KEY, pair).uniform(*AGE_RANGE)
    individual = max(0.0, rng.normal(1, _EFFECT_SPREAD))
    diagnosis = (PATIENT, CONTROL)[index % 2]
    return Participant(
        index=index,
        label=label,
        age=round(float(np.clip(pair_age + rng.normal(0, 2), *AGE_RANGE))),
        sex=("F", "M")[pair % 2],
        diagnosis=diagnosis,
        site=str(rng.choice(["A", "B"])),
        n_sessions=options.max_sessions if _has_follow_up(index) else 1,
        effect=options.effect_percent / 100 * individual if diagnosis == PATIENT else 0.0,
        r2star_factors=_r2star_factors(rng),
    )


def _has_follow_up(index: int) -> bool:
    """One of every four participants, in turn of either sex and diagnosis."""
    return index % 4 == (index // 4) % 4


def _r2star_factors(rng: np.random.Generator) -> dict[str, float]:
    return {
        name: float(np.exp(rng.normal(0, _NUCLEUS_SPREAD if name in NUCLEUS_TISSUES else _SPREAD)))
        for name in TISSUES
    }
