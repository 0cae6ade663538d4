"""Inner folds of the scans that train: participants stay whole."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bids_xai.arrays import Ints
from bids_xai.errors import BadDataError


def inner_fold_numbers(
    labels: npt.ArrayLike, groups: Sequence[str], n_folds: int, seed: int
) -> Ints:
    """Return the fold (n,) of every scan, from 0; participants stay whole.

    labels : (n,) whole numbers; groups : (n,) participants
    Participants stand in line by class (one who changes class by the rarest of them), in chance
    order within, and are dealt to the folds in turn; the order of the input does not matter.
    There are never more folds than a class has participants.

    Raises ``BadDataError`` where a class has fewer than two participants, or cannot be in the
    other folds of each.
    """
    classes_of: dict[str, set[int]] = defaultdict(set)
    for label, who in zip(np.asarray(labels).tolist(), groups, strict=True):
        classes_of[who].add(label)
    sizes = Counter(label for classes in classes_of.values() for label in classes)
    if min(sizes.values()) < 2:
        raise BadDataError(
            "a class has only one participant in the training set",
            fix="a baseline chosen by cross-validation needs two or more of each class",
        )
    line: dict[int, list[str]] = defaultdict(list)
    for who in sorted(classes_of):
        line[min(classes_of[who], key=lambda label: (sizes[label], label))].append(who)
    rng = np.random.default_rng(seed)
    order = [line[label][i] for label in sorted(line) for i in rng.permutation(len(line[label]))]
    used = min(n_folds, *sizes.values())
    fold_of = {who: index % used for index, who in enumerate(order)}
    folds: Ints = np.array([fold_of[who] for who in groups], dtype=np.int64)
    for fold in range(used):
        there = set(np.asarray(labels)[folds != fold].tolist())
        if len(there) < len(sizes) or not np.any(folds == fold):
            raise BadDataError(
                "the training participants cannot be divided so that each inner "
                "fold leaves scans of all classes",
                fix="include more participants of each class, or ask for other inner_folds",
            )
    return folds
