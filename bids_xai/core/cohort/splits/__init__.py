"""Who trains, who validates, who tests: participants are split, never scans.

Every split is a ``participant -> set name``, depends on the seed and the number of the repetition
only, and not on the order of the input. Input is one entry a participant or a scan: whoever comes
again must come with the same class and the same stratum.
"""

from bids_xai.core.cohort.splits.at_random import PAPER_FRACTIONS, fixed_counts, random_splits
from bids_xai.core.cohort.splits.folds import kfold_splits
from bids_xai.core.cohort.splits.leakage import check_no_leakage, split_hash
from bids_xai.core.cohort.splits.listed import SETS, listed_splits

__all__ = [
    "PAPER_FRACTIONS",
    "SETS",
    "check_no_leakage",
    "fixed_counts",
    "kfold_splits",
    "listed_splits",
    "random_splits",
    "split_hash",
]
