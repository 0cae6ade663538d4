"""How a network is trained: every number in one frozen place."""

from __future__ import annotations

from dataclasses import dataclass

from bids_xai.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Defaults of Tinauer et al. 2025.

    epochs : passes over the training scans
    batch_size : scans in memory at once; a step of Adam uses ``batch_size * accumulate`` scans
    accumulate : batches a step
    learning_rate : of Adam at the start, lowered by ``factor`` on a plateau down to
        ``min_learning_rate``
    patience : epochs without a validation loss lower by ``min_delta`` that make a plateau
    reset_weights : on a plateau, go back to the best epoch so far
    relevance_guided : add ``- guidance_weight * mean over scans of sum(M * R)`` to the loss
    guidance_after : epochs of cross-entropy alone before the guidance term joins the loss (0 in
        the papers). In a small cohort guidance from the start moves relevance to the middle of the
        brain before the network has learnt anything, and it stays there
    seed : of the order of scans and of dropout; not of the initial weights
    """

    epochs: int = 60
    batch_size: int = 6
    accumulate: int = 1
    learning_rate: float = 1e-3
    patience: int = 5
    min_delta: float = 1e-4
    factor: float = 0.3
    min_learning_rate: float = 1e-6
    reset_weights: bool = True
    relevance_guided: bool = False
    guidance_weight: float = 1.0
    guidance_after: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        wrong = [
            name
            for name in ("epochs", "batch_size", "accumulate", "patience", "learning_rate")
            if not getattr(self, name) > 0
        ]
        wrong += [
            name
            for name in (
                "min_delta",
                "min_learning_rate",
                "guidance_weight",
                "guidance_after",
                "seed",
            )
            if not getattr(self, name) >= 0
        ]
        if not 0 < self.factor < 1:
            wrong.append("factor")
        if wrong:
            values = ", ".join(f"{name} = {getattr(self, name)}" for name in wrong)
            raise UsageError(
                f"Training cannot run with {values}",
                fix="give positive numbers, and a factor between 0 and 1",
            )
