"""The tables of a study file: typed, frozen, with the defaults of Tinauer et al. 2025."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

SPRAY_SPACES = ("T1w", "template")

Plain = dict[str, Any]
"""A table whose keys are checked by whom it is for: a network, a method, another table."""


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


@dataclass(frozen=True)
class Model:
    """The network, and the options of its own (``bids_xai.models``)."""

    architecture: str = "graz"
    options: Plain = field(default_factory=dict)


@dataclass(frozen=True)
class Plateau:
    """What happens when the validation loss stops falling; ``min`` is the lowest rate.

    A ``patience`` of 0 switches it off.
    """

    patience: int = 5
    factor: float = 0.3
    min: float = 1e-6
    min_delta: float = 1e-4
    reset_weights: bool = True


@dataclass(frozen=True)
class EarlyStopping:
    """Stop after ``patience`` epochs without a better ``metric``; 0 trains all epochs."""

    patience: int = 0
    metric: str = "validation_loss"
    min_delta: float = 1e-4


@dataclass(frozen=True)
class Augmentation:
    """Chance changes of training volumes.

    flip_axes : mirrored with probability 0.5: 0 left-right, 1 back-front, 2 down-up
    shift_voxels : moved by up to so many voxels along each axis
    """

    flip_axes: tuple[int, ...] = ()
    shift_voxels: int = 0


@dataclass(frozen=True)
class Transfer:
    """Weights to start from.

    model : a model's folder, or ``study/configuration`` of this output folder: split k starts from
        its split k (from split 0 where it has only one)
    layers : beginnings of the names of the tensors that are taken over; all where empty
    freeze : beginnings of the names of the tensors that are not trained
    """

    model: str
    layers: tuple[str, ...] = ()
    freeze: tuple[str, ...] = ()


@dataclass(frozen=True)
class Training:
    """The recipe (see ``training.recipe.Recipe``).

    guidance_mask : where relevance should lie: ``brain``, or ``atlas:<name>`` for all its regions,
        or ``atlas:<name>:1,2,3`` for some
    guidance_erode : layers of voxels taken off that mask
    """

    epochs: int = 60
    batch_size: int = 6
    accumulate: int = 1
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    class_weights: str = "none"
    guidance_weight: float = 1.0
    guidance_after: int = 0
    guidance_mask: str = "brain"
    guidance_erode: int = 0
    mixed_precision: str = "off"
    channels_last: bool = False
    plateau: Plateau = field(default_factory=Plateau)
    early_stopping: EarlyStopping = field(default_factory=EarlyStopping)
    augmentation: Augmentation = field(default_factory=Augmentation)
    transfer: Transfer | None = None


@dataclass(frozen=True)
class Configuration:
    """One way to train.

    input, model, training : keys that differ from the study's own tables
    """

    id: str
    skull_strip: bool = False
    relevance_guided: bool = False
    input: Plain = field(default_factory=dict)
    model: Plain = field(default_factory=dict)
    training: Plain = field(default_factory=dict)


@dataclass(frozen=True)
class Baseline:
    """A support vector machine on the same splits, chosen by cross-validation within training.

    features : ``volume`` (the network's input, flattened), ``regions`` (means over the atlas) or
        ``lesion-load``; pca : most principal components, 0 for none
    """

    id: str
    features: str = "volume"
    kernel: str = "linear"
    pca: int = 0
    inner_folds: int = 5


@dataclass(frozen=True)
class Search:
    """Random search: each draw takes one value of every list; the best by validation is kept.

    values : ``"training.learning_rate" = [1e-4, 5e-5]``
    """

    draws: int = 0
    values: Plain = field(default_factory=dict)


@dataclass(frozen=True)
class Attribution:
    """How test scans are explained.

    target : class that methods starting from one class explain: its name, ``positive``,
        ``predicted`` or ``true``
    options : method -> its options
    """

    methods: tuple[str, ...] = ("lrp-zplus",)
    target: str = "positive"
    options: Plain = field(default_factory=dict)


@dataclass(frozen=True)
class Quality:
    """Whether the heatmaps can be trusted.

    scans : most test scans of a configuration that are perturbed; 0 for none
    cube_mm, stride_mm : edge of the cubes, and from one to the next (0: the edge)
    placement : ``grid``, or ``greedy`` for cubes that are sought and do not overlap
    ordering : by ``sum`` of relevance, or of its ``absolute`` value
    steps : most steps of a curve, of ``cubes_per_step`` cubes each (0: a quarter of all cubes is
        spread over the steps)
    random_orders, noise_draws : repetitions
    randomization_scans : most test scans of a configuration that are explained with random weights;
        0 for none
    randomization_without : methods left out there, as each of their maps takes many passes
    tolerance_mm : how far outside the true region the highest voxel may lie
    """

    scans: int = 20
    cube_mm: float = 20.0
    stride_mm: float = 0.0
    placement: str = "grid"
    ordering: str = "sum"
    steps: int = 20
    cubes_per_step: int = 0
    random_orders: int = 5
    noise_draws: int = 1
    randomization_scans: int = 5
    randomization_without: tuple[str, ...] = ("occlusion", "area-occlusion")
    tolerance_mm: float = 0.0


@dataclass(frozen=True)
class Spray:
    """Spectral relevance analysis; maps finer than ``voxel_mm`` are resampled to it.

    features : what of a map is compared (``core.spray.features.FEATURES``)
    inputs : whether the input maps are clustered as well, as a control
    embedding : ``tsne`` or ``umap``; bootstraps : samples behind the stability of clusters
    approximate_from : number of maps from which neighbours are searched approximately
    precision : ``float32`` or ``float16`` of the features on disk; memory_mb : bound of the search
    virelay : whether to write projects for ViRelAy
    """

    neighbours: int = 12
    spaces: tuple[str, ...] = SPRAY_SPACES
    voxel_mm: float = 2.0
    max_clusters: int = 9
    features: str = "plain"
    inputs: bool = True
    embedding: str = "tsne"
    bootstraps: int = 50
    approximate_from: int = 20_000
    precision: str = "float32"
    memory_mb: float = 1024.0
    virelay: bool = False


@dataclass(frozen=True)
class Study:
    """A whole study file."""

    name: str
    target: Target
    configurations: tuple[Configuration, ...]
    input: Input = field(default_factory=Input)
    cohort: Cohort = field(default_factory=Cohort)
    splits: Splits = field(default_factory=Splits)
    model: Model = field(default_factory=Model)
    training: Training = field(default_factory=Training)
    baselines: tuple[Baseline, ...] = ()
    search: Search = field(default_factory=Search)
    attribution: Attribution = field(default_factory=Attribution)
    quality: Quality = field(default_factory=Quality)
    spray: Spray = field(default_factory=Spray)

    def as_plain(self) -> Plain:
        """Return the study as nested plain values."""
        return dataclasses.asdict(self)

    def of(self, configuration: Configuration) -> Study:
        """Return the study as this configuration sees it: its own keys put in."""
        return dataclasses.replace(
            self,
            input=merged(self.input, configuration.input),
            model=merged(self.model, configuration.model),
            training=merged(self.training, configuration.training),
        )


def merged(table: Any, changes: Plain) -> Any:
    """Return ``table`` with nested ``changes``, whose keys and types have been checked."""
    values = {}
    for key, value in changes.items():
        old = getattr(table, key)
        nested = dataclasses.is_dataclass(old) and isinstance(value, dict)
        values[key] = merged(old, value) if nested else value
    return dataclasses.replace(table, **values)
