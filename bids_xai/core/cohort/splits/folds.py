"""Cross-validation: everybody tests once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bids_xai.core.cohort.splits.draws import line_of, split_by_fractions
from bids_xai.core.cohort.splits.members import members_of_classes, strata_of_participants
from bids_xai.errors import BadDataError, UsageError


def kfold_splits(
    participants: Sequence[str],
    classes: Sequence[str],
    n_folds: int,
    *,
    validation_share: float = 0.15,
    seed: int = 0,
    repeats: int = 1,
    strata: Sequence[str] | None = None,
) -> list[dict[str, str]]:
    """Cross-validation: every participant is in the test set of one of ``n_folds`` splits.

    participants, classes, strata : as for :func:`random_splits`
    validation_share : share of each class that validates, of those who do not test; 0 for no
        validation set
    Returns ``n_folds * repeats`` splits into ``train``, ``validation`` and ``test``, the folds of
    a repetition one after the other. Participants stand in line by class and stratum, in chance
    order within, and are dealt to the folds in turn: folds differ by one participant at most, as
    a whole, within each class and within each stratum. Validation is drawn from the others of
    each class as :func:`random_splits` draws its sets.

    Source: Rieke et al. 2018 (5 folds by participant).
    Raises ``UsageError`` for fewer than two folds or an impossible share, ``BadDataError`` for a
    class too small for the folds or a participant in two classes or strata.
    """
    _check_folds(n_folds, validation_share)
    members = members_of_classes(participants, classes)
    stratum_of = strata_of_participants(participants, strata)
    _check_sizes(members, n_folds, validation_share)
    splits = []
    for repeat in range(repeats):
        rng = np.random.default_rng((seed, repeat))
        line = line_of(members.values(), stratum_of, rng)
        folds = rng.permutation(n_folds)
        fold_of = {who: int(folds[position % n_folds]) for position, who in enumerate(line)}
        for fold in range(n_folds):
            rest = {
                name: [who for who in group if fold_of[who] != fold]
                for name, group in members.items()
            }
            shares = {"train": 1 - validation_share}
            shares |= {"validation": validation_share} if validation_share else {}
            inner = np.random.default_rng((seed, repeat, fold))
            split = split_by_fractions(rest, shares, stratum_of, inner)
            split |= {who: "test" for who in line if fold_of[who] == fold}
            splits.append(dict(sorted(split.items())))
    return splits


def _check_folds(n_folds: int, validation_share: float) -> None:
    if n_folds < 2 or not 0 <= validation_share < 1:
        raise UsageError(
            f"{n_folds} folds with a validation share of {validation_share:g} are impossible",
            fix="ask for 2 folds or more and a share from 0 to below 1",
        )


def _check_sizes(members: Mapping[str, list[str]], n_folds: int, validation_share: float) -> None:
    for name, group in members.items():
        left = len(group) - -(-len(group) // n_folds)
        if len(group) < n_folds or (validation_share and left < 2):
            raise BadDataError(
                f"Class '{name}' has {len(group)} participants, too few for {n_folds} folds"
                f"{' with a validation set' if validation_share else ''}",
                fix=f"ask for fewer folds, or add participants to class '{name}'",
            )
