"""What the ground-truth benchmark consists of: cohorts, configurations, sizes, and their cost."""

from __future__ import annotations

from dataclasses import dataclass

from bids_xai.attribution import METHODS

TRAINED = ("A", "B", "C")
UNTRAINED = {"A": "A0", "B": "B0", "C": "A0"}
"""Configuration -> the untrained network of the same initial weights that sees the same input."""
CONFIGURATIONS = {
    "A": "plain",
    "B": "skull-stripped",
    "C": "relevance-guided",
    "A0": "A, untrained",
    "B0": "B, untrained",
}
PLACES = {
    "megre": "caudate, putamen and pallidum (more R2*)",
    "t1w": "hippocampi and lateral ventricles (atrophy)",
    "flair": "white-matter lesions",
}
PATIENTS = {"megre": "AD", "t1w": "AD", "flair": "MS"}
GUIDED_BY = "lrp-zplus"
"""The method whose relevance guidance trains."""

VOXEL_MM = 4.0  # of the simulated T1w images
INPUT_MM = 5.0  # of the networks' input
TOLERANCE_MM = 5.0  # of the pointing game: one voxel of that
SEED = 5

OPTIONS: dict[str, dict[str, object]] = {
    "occlusion": {"size": 6, "stride": 6},
    "integrated-gradients": {"steps": 12},
    "smoothgrad": {"samples": 8},
}
"""Options of methods that are not at their defaults, for time: cubes of 30 mm side by side, and
fewer passes. With overlapping cubes and all passes these three take nine tenths of all scoring."""


@dataclass(frozen=True)
class Cohort:
    """A simulated cohort; ``marker``: most patients and few controls carry the shortcut."""

    kind: str
    effect: float
    marker: bool = False

    @property
    def name(self) -> str:
        """``megre-30-marker``."""
        return f"{self.kind}-{self.effect:g}{'-marker' if self.marker else ''}"

    @property
    def clean(self) -> Cohort:
        """The same people without markers."""
        return Cohort(self.kind, self.effect)

    @classmethod
    def parse(cls, name: str) -> Cohort:
        """From :attr:`name`."""
        kind, effect, *marked = name.split("-")
        return cls(kind, float(effect), bool(marked))


@dataclass(frozen=True)
class Plan:
    """How much is done.

    effects : kind -> effects (percent) without markers; ``marked`` the same with markers
    validation, test : participants of each class; the other ``n_participants`` train
    repetitions : trainings of every configuration from other initial weights
    explained : patients of the test set whose scans are explained, by every network
    guidance_weight, guidance_after : of configuration C, see ``[training]`` of a study
    """

    effects: dict[str, tuple[float, ...]]
    marked: dict[str, tuple[float, ...]]
    n_participants: int
    validation: int
    test: int
    repetitions: int
    epochs: int
    explained: int
    guidance_weight: float = 1.0
    guidance_after: int = 12

    @property
    def cohorts(self) -> list[Cohort]:
        """All cohorts; before each with markers the one without."""
        clean = [
            Cohort(kind, effect) for kind, effects in self.effects.items() for effect in effects
        ]
        marked = [
            Cohort(kind, effect, True)
            for kind, effects in self.marked.items()
            for effect in effects
        ]
        return list(dict.fromkeys([*clean, *(cohort.clean for cohort in marked), *marked]))

    @property
    def n_training(self) -> int:
        """Scans that a network is trained on."""
        return self.n_participants - 2 * (self.validation + self.test)


SIZES = {
    "small": Plan(
        effects={"megre": (0, 15, 30, 100), "t1w": (20, 50), "flair": (15, 60)},
        marked={"megre": (0, 100)},
        n_participants=92,
        validation=6,
        test=16,
        repetitions=2,
        epochs=30,
        explained=6,
    ),
    "large": Plan(
        effects={
            "megre": (0, 15, 30, 60, 100),
            "t1w": (0, 10, 20, 35, 50),
            "flair": (0, 5, 15, 30, 60),
        },
        marked={"megre": (0, 15, 30, 60, 100), "t1w": (0, 20, 50), "flair": (0, 15, 60)},
        n_participants=200,
        validation=15,
        test=40,
        repetitions=4,
        epochs=45,
        explained=20,
    ),
}


def aliases() -> dict[str, str]:
    """Methods that are another name of one before them."""
    first: dict[str, str] = {}
    same: dict[str, str] = {}
    for name, method in METHODS.items():
        first_name = first.setdefault(method.function, name)
        if first_name != name:
            same[name] = first_name
    return same
