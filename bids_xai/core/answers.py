"""What a network says of a volume while cubes of it become noise, one after the other.

The curves of one volume can be followed in different ways: :class:`WholeVolumes` runs all of the
network for every step, and is what faster ways are compared with.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bids_xai.arrays import Floats, Floats32, Floats64, Ints

Curves = Floats64
Boxes = Ints
Predict = Callable[[Floats32], Floats]
"""From volumes (n, x, y, z) to probabilities (n, n_classes)."""

BATCH_VOXELS = 2**18
"""Voxels that go to the network at once; larger batches leave the cache and take longer."""


@dataclass(frozen=True)
class Replacement:
    """One curve: which cubes of the volume become noise.

    steps : the boxes (n, 3, 2) replaced in every step; what was replaced before stays replaced
    draw : number of the noise
    """

    steps: Sequence[Boxes]
    draw: int = 0


Noise = Callable[[int], Floats32]
"""From the number of a draw to its noise (x, y, z)."""


class Answers(ABC):
    """What a network says of one volume: unchanged, and along curves.

    ``start`` (n_classes,) are the probabilities of the unchanged volume.
    """

    start: Curves

    @abstractmethod
    def along(self, curves: Sequence[Replacement], noise: Noise) -> list[Curves]:
        """Return the probabilities (L, n_classes) after every step of each curve."""


class WholeVolumes(Answers):
    """Every changed volume goes through all of the network, a few volumes at a time.

    volume : (x, y, z) float32, what the network sees
    """

    def __init__(self, volume: Floats32, predict: Predict) -> None:
        self.volume, self.predict = volume, predict
        self.start = np.asarray(predict(volume[None])[0], np.float64)

    def along(self, curves: Sequence[Replacement], noise: Noise) -> list[Curves]:
        """See :class:`Answers`."""
        return [self._curve(curve.steps, noise(curve.draw)) for curve in curves]

    def _curve(self, steps: Sequence[Boxes], noise: Floats32) -> Curves:
        at_once = max(1, BATCH_VOXELS // self.volume.size)
        changed = self.volume.copy()
        answers = [np.empty((0, len(self.start)))]
        for first in range(0, len(steps), at_once):
            batch = []
            for cubes in steps[first : first + at_once]:
                for (a, b), (c, d), (e, f) in cubes:
                    changed[a:b, c:d, e:f] = noise[a:b, c:d, e:f]
                batch.append(changed.copy())
            answers.append(np.asarray(self.predict(np.stack(batch)), np.float64))
        return np.concatenate(answers)
