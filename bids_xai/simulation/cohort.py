"""Who takes part: age, sex, diagnosis, site, visits, everybody's own R2*, effect and marker.

Everything about a person is drawn from the seed and the person's number, so a larger cohort
begins with the same people.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np

from bids_xai.errors import UsageError
from bids_xai.simulation.anatomy import NUCLEUS_TISSUES
from bids_xai.simulation.kinds import KINDS
from bids_xai.simulation.signal import TISSUES

CONTROL = "NC"
YEARS_BETWEEN_SESSIONS = 2


class Disease(NamedTuple):
    """What patients of a kind are called, what they have, and everybody's age (years)."""

    label: str
    name: str
    ages: tuple[float, float]


DISEASES = {
    "megre": Disease("AD", "Alzheimer's disease", (55.0, 85.0)),
    "t1w": Disease("AD", "Alzheimer's disease", (55.0, 85.0)),
    "flair": Disease("MS", "multiple sclerosis", (25.0, 60.0)),
}

# Range of effect_percent; a structure cannot shrink to nothing without folding the head.
_EFFECTS = {"megre": (-90, 1000), "t1w": (0, 50), "flair": (0, 1000), "digits": (30, 30)}
_LARGEST_EFFECT = {"t1w": 0.7}  # of one patient
_MOST_DIGITS = 1740  # ten times the rarest class: nobody shares an image

_REFERENCE_AGE = 30.0
_SPREAD = 0.03  # sd of R2* between healthy people of one age
_NUCLEUS_SPREAD = 0.06
_EFFECT_SPREAD = 0.25  # sd of the effect between patients, as a share of the effect
_PAIR_KEY = 1_000_000  # spawn key of a patient-control pair, out of the way of persons
_MARKER_KEY = 1_000_001
_GOLDEN = (np.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class SimulationOptions:
    """What a cohort depends on; equal options give equal bytes.

    cheat : share of patients with a marker beside the head; ``None`` for no markers at all
    cheat_controls : share of controls with one; ``None`` for as many as patients without, or for
        none where fewer than half of the patients have one
    receive_bias : how many times as sensitive the coil is at the brightest point of the head as at
        the darkest; 1 for prescan-normalised images
    """

    n_participants: int = 24
    effect_percent: float = 30.0
    snr: float = 100.0
    voxel_mm: float = 2.0
    max_sessions: int = 2
    seed: int = 0
    kind: str = "megre"
    cheat: float | None = None
    cheat_controls: float | None = None
    receive_bias: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"no kind '{self.kind}'", fix=f"choose from {', '.join(KINDS)}")
        is_digits = self.kind == "digits"
        if is_digits and self.receive_bias != 1:
            raise UsageError("digits have no head in a coil", fix="leave out --receive-bias")
        if is_digits and (self.cheat is not None or self.effect_percent != 30):
            raise UsageError(
                "digits have no patients, so no effect and no markers",
                fix="leave out --effect and --cheat, or choose another --kind",
            )
        if self.cheat_controls is not None and self.cheat is None:
            raise UsageError(
                "a share of controls with markers, but none of patients", fix="give --cheat, too"
            )
        limits = {
            "n_participants": (1, _MOST_DIGITS if is_digits else 9999),
            "effect_percent": _EFFECTS[self.kind],
            "snr": (1, 1e6),
            "voxel_mm": (1, 8),
            "max_sessions": (1, 9),
            "seed": (0, 2**63),
            "cheat": (0, 1),
            "cheat_controls": (0, 1),
            "receive_bias": (1, 100),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise UsageError(
                    f"{name} = {value} is out of range",
                    fix=f"choose a value from {low} to {high:g}",
                )

    @property
    def marked_shares(self) -> tuple[float, float]:
        """Shares of patients and of controls with a marker."""
        patients = self.cheat or 0.0
        if self.cheat_controls is not None:
            return patients, self.cheat_controls
        return patients, 1 - patients if patients >= 0.5 else 0.0

    def as_text(self) -> str:
        """The options in one line, those that are off left out."""
        shown = {
            "kind": self.kind != "megre",
            "cheat": self.cheat is not None,
            "cheat_controls": self.cheat_controls is not None,
            "receive_bias": self.receive_bias != 1,
        }
        items = asdict(self).items()
        return ", ".join(f"{name}={value}" for name, value in items if shown.get(name, True))


@dataclass(frozen=True)
class Participant:
    """One simulated person.

    effect : true relative size of what sets patients apart; 0 in controls
    marker : whether a marker lies beside the head
    """

    index: int
    label: str
    age: int
    sex: str
    diagnosis: str
    site: str
    n_sessions: int
    effect: float
    r2star_factors: dict[str, float]
    marker: bool = False

    @property
    def group(self) -> str:
        """What the person is shown as: the diagnosis."""
        return self.diagnosis

    @property
    def is_patient(self) -> bool:
        """Whether the person is no control."""
        return self.diagnosis != CONTROL

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
    return [_draw(index, label, options) for index, label in enumerate(labels(options))]


def labels(options: SimulationOptions) -> list[str]:
    """Labels of all participants: numbers of equal width, at least two digits."""
    width = max(2, len(str(options.n_participants)))
    return [f"{number:0{width}d}" for number in range(1, options.n_participants + 1)]


def generator(seed: int, *key: int) -> np.random.Generator:
    """Random numbers of their own for each key (person, session)."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _draw(index: int, label: str, options: SimulationOptions) -> Participant:
    rng = generator(options.seed, index)
    pair = index // 2
    disease = DISEASES[options.kind]
    pair_age = generator(options.seed, _PAIR_KEY, pair).uniform(*disease.ages)
    individual = max(0.0, rng.normal(1, _EFFECT_SPREAD))
    effect = min(
        options.effect_percent / 100 * individual, _LARGEST_EFFECT.get(options.kind, np.inf)
    )
    is_patient = index % 2 == 0
    return Participant(
        index=index,
        label=label,
        age=round(float(np.clip(pair_age + rng.normal(0, 2), *disease.ages))),
        sex=("F", "M")[pair % 2],
        diagnosis=disease.label if is_patient else CONTROL,
        site=str(rng.choice(["A", "B"])),
        n_sessions=n_sessions(index, options),
        effect=float(effect) if is_patient else 0.0,
        r2star_factors=_r2star_factors(rng),
        marker=_has_marker(index, options),
    )


def n_sessions(index: int, options: SimulationOptions) -> int:
    """Number of visits of a participant, counted from 0."""
    return options.max_sessions if _has_follow_up(index) else 1


def _has_marker(index: int, options: SimulationOptions) -> bool:
    """Whether a marker lies beside the head.

    Steps of the golden ratio fill [0, 1) evenly, so that any beginning of the cohort has about
    the share that was asked for, out of step with sex and follow-up.
    """
    if options.cheat is None:
        return False
    is_control = index % 2
    start = generator(options.seed, _MARKER_KEY, is_control).uniform()
    share = options.marked_shares[is_control]
    return bool((start + index // 2 * _GOLDEN) % 1 < share)


def _has_follow_up(index: int) -> bool:
    """One of every four participants, in turn of either sex and diagnosis."""
    return index % 4 == (index // 4) % 4


def _r2star_factors(rng: np.random.Generator) -> dict[str, float]:
    return {
        name: float(np.exp(rng.normal(0, _NUCLEUS_SPREAD if name in NUCLEUS_TISSUES else _SPREAD)))
        for name in TISSUES
    }
