"""Tables of a study file: the network, its training, what it is compared with."""

from __future__ import annotations

from dataclasses import dataclass, field

from bids_xai.studies.tables.plain import Plain


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
    skull_strip : probability with which a volume is set to zero outside the brain mask
    """

    flip_axes: tuple[int, ...] = ()
    shift_voxels: int = 0
    skull_strip: float = 0.0


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
    channels_last : layout in memory; None lets the device decide
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
    channels_last: bool | None = None
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
