"""Tables of a study file: what to predict, from which maps, of whom, and who trains."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """What to predict: a column of participants.tsv, or of each participant's sessions.tsv.

    Two classes by ``negative`` and ``positive``, or any number by ``classes``; ``positive``
    (the last where not given) is the one that sensitivity and one-class relevance refer to.
    """

    column: str
    negative: str = ""
    positive: str = ""
    classes: tuple[str, ...] = ()
    table: str = "participants"

    @property
    def names(self) -> tuple[str, ...]:
        """The classes in the order of the network's outputs."""
        return self.classes or (self.negative, self.positive)

    @property
    def positive_name(self) -> str:
        """The class called positive."""
        return self.positive or self.names[-1]

    @property
    def positive_index(self) -> int:
        """Its place among the network's outputs."""
        return self.names.index(self.positive_name)


@dataclass(frozen=True)
class Input:
    """Which maps a network sees, how they are scaled, and on which voxels.

    suffix, desc, space : of the file name; ``space`` is ``T1w`` or ``template``
    scaling : ``fixed`` gives min(map, maximum) / scale; ``minmax`` brings every map to 0 … 1;
        ``zscore`` takes mean and sd of every voxel over the training scans (not for z+ relevance)
    scale, maximum : in units of the map (1/s for R2*); a ``maximum`` of 0 keeps all values
    voxel_mm : edge of cubic voxels, 0 keeps those of the map
    derivatives : name of a ``--derivatives NAME=PATH`` folder that holds the maps, where it is not
        the output folder itself
    """

    suffix: str = "R2starmap"
    desc: str = ""
    space: str = "T1w"
    scaling: str = "fixed"
    scale: float = 40.0
    maximum: float = 0.0
    voxel_mm: float = 0.0
    derivatives: str = ""


@dataclass(frozen=True)
class Undersampling:
    """As many participants of each class in every band of age, within each sex.

    equalise : ``classes``, or ``sexes`` for as many of each sex in every band of age, within each
        class (Klingenberg et al. 2021)
    """

    age: str = "age"
    sex: str = "sex"
    bin_years: float = 5.0
    equalise: str = "classes"


@dataclass(frozen=True)
class Cohort:
    """Who takes part.

    include : an expression over the columns of participants.tsv (``age >= 55 and site == "A"``)
    match : columns for 1:1 propensity matching of the positive class; ``caliper`` in standard
        deviations of the logit, 0 for none
    undersample : see :class:`Undersampling`; off where the table is absent
    exclude_failed_qc : leave out scans whose quality figures are outside their limits
    """

    include: str = ""
    match: tuple[str, ...] = ()
    caliper: float = 0.0
    undersample: Undersampling | None = None
    exclude_failed_qc: bool = True


@dataclass(frozen=True)
class Splits:
    """How participants are shared out to train, validation and test.

    scheme : ``random`` (``repeats`` times, by ``fractions`` or ``counts`` within class), ``kfold``
        (``folds``; ``fractions[1]`` of the rest validates) or ``fixed`` (the TSV ``file`` with
        participant_id, split, set)
    counts : participants of each class in validation and test; the others train
    stratify : columns whose values are shared out evenly; ``age:5`` means bands of five years
    repetitions : trainings of every split from different initial weights; they count as splits
    test_baseline_only : only the first session of a participant is tested
    """

    scheme: str = "random"
    repeats: int = 10
    fractions: tuple[float, ...] = (0.70, 0.15, 0.15)
    counts: tuple[int, ...] = ()
    folds: int = 5
    stratify: tuple[str, ...] = ()
    file: str = ""
    repetitions: int = 1
    test_baseline_only: bool = False
