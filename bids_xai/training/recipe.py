"""How a network is trained: every number in one frozen place."""

from __future__ import annotations

from dataclasses import dataclass

from bids_xai.errors import UsageError

CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": ("adam", "adamw", "sgd"),
    "stop_metric": ("validation_loss", "validation_balanced_accuracy"),
    "end_with": ("best", "last"),
    "class_weights": ("none", "balanced"),
    "mixed_precision": ("off", "bf16", "fp16"),
}
"""Name of a field of :class:`Recipe` -> what it may be."""

_POSITIVE = ("batch_size", "accumulate", "learning_rate")
_NOT_NEGATIVE = (
    "epochs",
    "patience",
    "min_delta",
    "min_learning_rate",
    "stop_patience",
    "stop_min_delta",
    "weight_decay",
    "shift_voxels",
    "guidance_weight",
    "guidance_after",
    "seed",
)
_FRACTIONS = {"factor": (0.0, 1.0, False), "momentum": (0.0, 1.0, True)}
_PROBABILITIES = ("skull_strip",)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Defaults of Tinauer et al. 2025.

    epochs : passes over the training scans, at most; 0 leaves the network as it comes
    batch_size : scans in memory at once; a step uses ``batch_size * accumulate`` scans
    accumulate : batches a step
    learning_rate : at the start; a plateau multiplies it by ``factor``, down to
        ``min_learning_rate``
    optimizer : ``adam``, ``adamw`` or ``sgd``, the one that has ``momentum``
    weight_decay : of every weight and bias; decoupled from the gradient in ``adamw``, a part of
        it (decay times weight) in the others. The penalties of single layers that a network
        names in ``l2`` come on top
    plateau : whether a plateau has consequences; ``patience`` 0 switches it off, too
    patience : epochs without a validation loss lower by more than ``min_delta`` that make a
        plateau
    reset_weights : on a plateau, go back to the epoch with the lowest loss so far
    stop_patience : epochs without a ``stop_metric`` better by more than ``stop_min_delta`` that
        end the training, 0 for never
    stop_metric : ``validation_loss`` (the objective) or ``validation_balanced_accuracy``; where
        ``stop_patience`` is not 0 it also says which epoch is the best, else the loss does
    end_with : the weights that training ends with, those of the ``best`` epoch or of the ``last``
    flip_axes : axes (0 to 2) along which a training scan is mirrored with probability 1/2 each;
        axis 0 runs from left to right
    shift_voxels : k moves a training scan by -k to k voxels along each axis, zeros move in
    skull_strip : probability with which a training scan is set to zero outside its mask
    class_weights : ``balanced`` weighs the cross-entropy of a class by n scans / (n classes * n
        scans of the class), from the training scans, in validation, too
    relevance_guided : add ``- guidance_weight * mean over scans of sum(M * R)`` to the loss
    guidance_after : epochs of cross-entropy alone before the guidance term joins the loss (0 in
        the papers). In a small cohort guidance from the start moves relevance to the middle of the
        brain before the network has learnt anything, and it stays there
    freeze : names of layers (``layers.0``) whose weights stay as they come, and the running
        statistics of batch norm among them
    mixed_precision : ``bf16`` or ``fp16`` for the forward pass of steps without guidance;
        relevance, and with it guided steps and validation, stay in float32
    channels_last : whether volumes and weights of convolutions lie in memory with their channels
        last; None lets the device decide, see :meth:`lies_last`. Rounding differs
    seed : of the order of scans, of dropout and of augmentation; not of the initial weights
    """

    epochs: int = 60
    batch_size: int = 6
    accumulate: int = 1
    learning_rate: float = 1e-3
    optimizer: str = "adam"
    momentum: float = 0.9
    weight_decay: float = 0.0
    plateau: bool = True
    patience: int = 5
    min_delta: float = 1e-4
    factor: float = 0.3
    min_learning_rate: float = 1e-6
    reset_weights: bool = True
    stop_patience: int = 0
    stop_metric: str = "validation_loss"
    stop_min_delta: float = 1e-4
    end_with: str = "best"
    flip_axes: tuple[int, ...] = ()
    shift_voxels: int = 0
    skull_strip: float = 0.0
    class_weights: str = "none"
    relevance_guided: bool = False
    guidance_weight: float = 1.0
    guidance_after: int = 0
    freeze: tuple[str, ...] = ()
    mixed_precision: str = "off"
    channels_last: bool | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        wrong = [name for name in _POSITIVE if not getattr(self, name) > 0]
        wrong += [name for name in _NOT_NEGATIVE if not getattr(self, name) >= 0]
        wrong += [name for name in _FRACTIONS if not self._is_fraction(name)]
        wrong += [name for name in _PROBABILITIES if not 0 <= getattr(self, name) <= 1]
        if wrong:
            raise UsageError(
                f"Training cannot run with {self._shown(wrong)}",
                fix="give positive numbers, and a factor and momentum between 0 and 1",
            )
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise UsageError(
                    f"Training cannot run with {self._shown([name])}",
                    fix=f"use one of {', '.join(allowed)}",
                )
        if len(set(self.flip_axes)) != len(self.flip_axes) or not set(self.flip_axes) <= {0, 1, 2}:
            raise UsageError(
                f"Training cannot run with {self._shown(['flip_axes'])}",
                fix="name axes from 0 to 2, each once",
            )

    @property
    def has_plateau(self) -> bool:
        """Whether a plateau has consequences."""
        return self.plateau and self.patience > 0

    def lies_last(self, device: object) -> bool:
        """Whether channels lie last on a device: on a CPU, where steps are then faster, yes.

        device : a ``torch.device`` or its name
        """
        if self.channels_last is None:
            return str(device).partition(":")[0] == "cpu"
        return self.channels_last

    def _is_fraction(self, name: str) -> bool:
        low, high, with_low = _FRACTIONS[name]
        value = getattr(self, name)
        return bool(low < value < high or (with_low and value == low))

    def _shown(self, names: list[str]) -> str:
        return ", ".join(f"{name} = {getattr(self, name)}" for name in names)
